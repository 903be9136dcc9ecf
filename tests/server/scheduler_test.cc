// What sequences are answered, in which batches, and in which order they are let in.
#include "server/engine/scheduler.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "tests/base/populates.h"
#include "tests/server/fake_call.h"
#include "tests/server/fake_language_model.h"

namespace heed {

inline void PrintTo(const SchedulerOptions& options, std::ostream* out) {
  *out << "sequences " << options.max_live_sequences << ", step " << options.max_step_tokens
       << ", chunk " << options.prefill_chunk_tokens << ", rows " << options.max_step_logits_rows;
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

std::vector<int64_t> AllPositions(const FakeCall& call) {
  std::vector<int64_t> positions(call.prompt.size());
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

void ExpectLogits(const FakeCall& call, absl::Span<const TokenId> tokens, bool causal = true) {
  ASSERT_EQ(call.logits.size(), call.logits_positions.size());
  for (size_t i = 0; i < call.logits.size(); ++i) {
    const int64_t position = call.logits_positions[i];
    const auto visible = tokens.first(causal ? position + 1 : tokens.size());
    EXPECT_EQ(call.logits[i], FakeLogits(visible, position, FakeConfig().vocab_size))
        << "position " << position;
  }
}

TEST(SchedulerTest, AnswersTheGreedyContinuation) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({});
  const auto call = MakeCall(10, 20);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  EXPECT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_EQ(call->appended, FakeContinuation(call->prompt, 20));
}

TEST(SchedulerTest, EveryAppendedTokenIsAnsweredWithARow) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({});
  const auto call = MakeCall(3, 2);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_THAT(call->logits_positions, ElementsAre(2, 3, 4));
  std::vector<TokenId> tokens = call->prompt;
  tokens.insert(tokens.end(), call->appended.begin(), call->appended.end());
  ExpectLogits(*call, tokens);
}

TEST(SchedulerTest, APromptWithoutWantedLogitsJustRuns) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({});
  const auto call = MakeCall(10, 0);
  call->positions = std::vector<int64_t>{};
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_THAT(call->chunks, ElementsAre(Pair(0, 10)));
  EXPECT_THAT(call->logits, IsEmpty());
}

TEST(SchedulerTest, ChosenPositionsAreAnsweredInOrder) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_step_tokens = 4});
  const auto call = MakeCall(10, 0);
  call->positions = {0, 3, 4, 8};
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_THAT(call->logits_positions, ElementsAre(0, 3, 4, 8));
  ExpectLogits(*call, call->prompt);
}

// Chunks of the prompt and generated tokens alike.
TEST(SchedulerTest, EverySliceKnowsTheLengthOfItsPrompt) {
  const FakeServed model = ServeFake();
  std::vector<int64_t> lengths;
  model.fake->SetHook([&](absl::Span<const SequenceSlice> batch) {
    for (const SequenceSlice& slice : batch) lengths.push_back(slice.prompt_tokens);
    return absl::OkStatus();
  });
  Scheduler scheduler({.max_step_tokens = 3});
  const auto call = MakeCall(8, 2);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_THAT(lengths, ElementsAre(8, 8, 8, 8, 8));
}

class Chunking : public testing::TestWithParam<SchedulerOptions> {};

TEST_P(Chunking, ChangesNoLogitsAndNoToken) {
  const FakeServed model = ServeFake();
  Scheduler scheduler(GetParam());
  model.fake->Hold();
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 6; ++i) {
    calls.push_back(MakeCall(1 + 9 * i, i, i));
    calls.back()->positions = AllPositions(*calls.back());
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls.back(), model)).ok());
  }
  model.fake->Release();
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    EXPECT_EQ(call->appended, FakeContinuation(call->prompt, call->new_tokens));
    EXPECT_EQ(call->logits.size(), call->prompt.size() + call->new_tokens);
    std::vector<TokenId> tokens = call->prompt;
    tokens.insert(tokens.end(), call->appended.begin(), call->appended.end());
    ExpectLogits(*call, tokens);
    EXPECT_EQ(call->chunks.front().first, 0);
    EXPECT_EQ(call->chunks.back().second, static_cast<int64_t>(call->prompt.size()));
    for (size_t i = 1; i < call->chunks.size(); ++i) {
      EXPECT_EQ(call->chunks[i].first, call->chunks[i - 1].second);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Limits, Chunking,
    testing::Values(SchedulerOptions{}, SchedulerOptions{.max_step_tokens = 2},
                    SchedulerOptions{.max_step_tokens = 7, .prefill_chunk_tokens = 3},
                    SchedulerOptions{.max_step_tokens = 16, .max_step_logits_rows = 2},
                    SchedulerOptions{.prefill_chunk_tokens = 1, .max_step_logits_rows = 5},
                    SchedulerOptions{.max_live_sequences = 1},
                    SchedulerOptions{.max_live_sequences = 3, .max_step_tokens = 3}));

TEST(SchedulerTest, LiveSequencesShareEachBatch) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_draft_tokens = 0});
  model.fake->Hold();
  std::vector<std::shared_ptr<FakeCall>> calls = {MakeCall(4, 3)};
  ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[0], model)).ok());
  model.fake->AwaitHeld();
  for (int i = 1; i < 8; ++i) {
    calls.push_back(MakeCall(4, 3, i));
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[i], model)).ok());
  }
  model.fake->Release();
  for (const auto& call : calls) ASSERT_TRUE(call->Wait().ok());
  const std::vector<BatchRecord> batches = model.fake->batches();
  std::vector<size_t> sizes;
  for (const BatchRecord& batch : batches) sizes.push_back(batch.size());
  EXPECT_THAT(sizes, ElementsAre(1, 8, 8, 8, 7));
}

TEST(SchedulerTest, DecodingGoesOnWhileALongPromptIsRead) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_step_tokens = 20, .prefill_chunk_tokens = 8});
  model.fake->Hold();
  const auto decoding = MakeCall(4, 30);
  const auto reading = MakeCall(50, 0, 1);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(decoding, model)).ok());
  model.fake->AwaitHeld();
  ASSERT_TRUE(scheduler.Submit(MakeRequest(reading, model)).ok());
  model.fake->Release();
  ASSERT_TRUE(decoding->Wait().ok());
  ASSERT_TRUE(reading->Wait().ok());
  const std::vector<BatchRecord> batches = model.fake->batches();
  for (size_t step = 1; step <= 7; ++step) {
    ASSERT_EQ(batches[step].size(), 2u) << step;
    EXPECT_EQ(batches[step][0].tokens.size(), 1u) << step;
  }
  EXPECT_EQ(reading->chunks.size(), 7u);
  EXPECT_THAT(reading->chunks[0], Pair(0, 8));
}

// Sixteen that decode, in one pass, and the pieces of four prompts that fill each step to its last
// token.
TEST(SchedulerTest, PiecesOfPromptsFillTheStepsOfManyThatDecode) {
  const FakeServed model = ServeFake(/*pool_pages=*/256);
  Scheduler scheduler({.max_step_tokens = 64, .prefill_chunk_tokens = 40});
  std::vector<std::shared_ptr<FakeCall>> calls;
  model.fake->Hold();
  for (int i = 0; i < 16; ++i) {
    calls.push_back(MakeCall(1, 60, i));
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls.back(), model)).ok());
  }
  model.fake->AwaitHeld();
  std::vector<std::shared_ptr<FakeCall>> prompts;
  model.fake->SetHook([&](absl::Span<const SequenceSlice> batch) {
    while (batch.size() == 16 && prompts.size() < 4) {  // all have begun
      prompts.push_back(MakeCall(200, 0, 20 + static_cast<int64_t>(prompts.size())));
      EXPECT_TRUE(scheduler.Submit(MakeRequest(prompts.back(), model)).ok());
    }
    return absl::OkStatus();
  });
  model.fake->Release();
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->status;
  for (const auto& call : prompts) EXPECT_TRUE(call->Wait().ok()) << call->status;
  int64_t full_steps = 0;
  for (const BatchRecord& batch : model.fake->batches()) {
    const auto is_decode = [](const SliceRecord& slice) {
      return slice.begin > 0 && slice.tokens.size() == 1;
    };
    int64_t tokens = 0;
    for (const SliceRecord& slice : batch) tokens += slice.tokens.size();
    if (tokens < 64) continue;
    EXPECT_EQ(tokens, 64);
    EXPECT_EQ(std::count_if(batch.begin(), batch.end(), is_decode), 16);
    ++full_steps;
  }
  // 48 tokens of prompts each, until the last prompt is left alone with its 40 a step.
  EXPECT_EQ(full_steps, 14);
  EXPECT_EQ(scheduler.stats().generated_tokens, 16 * 60);
}

TEST(SchedulerTest, DecodesThatDoNotFitAStepTakeTurns) {
  const FakeServed model = ServeFake();
  std::string turns;  // touched on the engine thread
  Scheduler scheduler({.max_step_tokens = 2});
  model.fake->Hold();
  std::vector<std::shared_ptr<FakeCall>> calls = {MakeCall(1, 0)};
  ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[0], model)).ok());
  model.fake->AwaitHeld();
  for (int i = 0; i < 4; ++i) {
    calls.push_back(MakeCall(1, 3, i));
    calls.back()->on_logits = [&turns, i](absl::Span<const int64_t> positions) {
      turns += static_cast<char>('a' + i);
      return positions.back() < 3 ? std::optional<TokenId>(1) : std::nullopt;
    };
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls.back(), model)).ok());
  }
  model.fake->Release();
  for (const auto& call : calls) ASSERT_TRUE(call->Wait().ok());
  EXPECT_EQ(turns, "abacbdacbdacbdcd");
}

TEST(SchedulerTest, ALonePromptTakesTheWholeBudget) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_step_tokens = 40, .prefill_chunk_tokens = 8});
  const auto call = MakeCall(50, 0);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_THAT(call->chunks, ElementsAre(Pair(0, 40), Pair(40, 50)));
}

TEST(SchedulerTest, NoMoreSequencesAreLiveThanAllowed) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_live_sequences = 3});
  model.fake->Hold();
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(MakeCall(4, 5, i));
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[i], model)).ok());
  }
  model.fake->Release();
  for (const auto& call : calls) ASSERT_TRUE(call->Wait().ok());
  for (const BatchRecord& batch : model.fake->batches()) EXPECT_LE(batch.size(), 3u);
}

// A pool of 4 pages: one live call of 3 pages, then one of 4 that has to wait, then one of 1 that
// would fit.
TEST(SchedulerTest, TheHeadOfTheQueueIsNotOvertaken) {
  const FakeServed model = ServeFake(/*pool_pages=*/4);
  Scheduler scheduler({});
  std::vector<int> order;
  std::vector<std::shared_ptr<FakeCall>> calls = {MakeCall(20, 28), MakeCall(60, 4),
                                                  MakeCall(4, 2)};
  model.fake->Hold();
  for (int i = 0; i < 3; ++i) {
    calls[i]->on_done = [&order, i] { order.push_back(i); };
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[i], model)).ok());
  }
  model.fake->Release();
  for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
  for (const BatchRecord& batch : model.fake->batches()) EXPECT_EQ(batch.size(), 1u);
}

TEST(SchedulerTest, AFullModelDoesNotHoldUpAnother) {
  const FakeServed full = ServeFake(/*pool_pages=*/1);
  const FakeServed other = ServeFake(64, FakeConfig(), "other");
  Scheduler scheduler({});
  const auto parked = MakeCall(8, 8);
  parked->can_advance = false;
  const auto waiting = MakeCall(8, 8, 1);
  const auto free = MakeCall(8, 8, 2);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(parked, full)).ok());
  ASSERT_TRUE(scheduler.Submit(MakeRequest(waiting, full)).ok());
  ASSERT_TRUE(scheduler.Submit(MakeRequest(free, other)).ok());
  EXPECT_TRUE(free->Wait().ok());
  EXPECT_FALSE(waiting->done.HasBeenNotified());
  parked->can_advance = true;
  scheduler.Wake();
  EXPECT_TRUE(parked->Wait().ok());
  EXPECT_TRUE(waiting->Wait().ok());
}

TEST(SchedulerTest, ModelsTakeTurns) {
  const FakeServed first = ServeFake(64, FakeConfig(), "first");
  const FakeServed second = ServeFake(64, FakeConfig(), "second");
  std::string turns;  // touched on the engine thread
  first.fake->SetHook([&](auto) { return turns += '1', absl::OkStatus(); });
  second.fake->SetHook([&](auto) { return turns += '2', absl::OkStatus(); });
  Scheduler scheduler({});
  first.fake->Hold();
  const auto a = MakeCall(4, 5);
  const auto b = MakeCall(4, 5);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(a, first)).ok());
  first.fake->AwaitHeld();
  ASSERT_TRUE(scheduler.Submit(MakeRequest(b, second)).ok());
  first.fake->Release();
  ASSERT_TRUE(a->Wait().ok());
  ASSERT_TRUE(b->Wait().ok());
  EXPECT_EQ(turns, "112121212122");
}

ModelConfig Bidirectional() {
  ModelConfig config = FakeConfig();
  config.causal = false;
  return config;
}

TEST(SchedulerTest, ABidirectionalPromptRunsWholeWithAllItsRows) {
  const FakeServed model = ServeFake(64, Bidirectional());
  Scheduler scheduler({.max_step_tokens = 8, .prefill_chunk_tokens = 4, .max_step_logits_rows = 4});
  const auto call = MakeCall(50, 0);
  call->positions = AllPositions(*call);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  EXPECT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_THAT(call->chunks, ElementsAre(Pair(0, 50)));
  EXPECT_EQ(call->logits.size(), 50u);
  ExpectLogits(*call, call->prompt, /*causal=*/false);
}

TEST(SchedulerTest, ShortBidirectionalPromptsShareAStep) {
  const FakeServed model = ServeFake(64, Bidirectional());
  Scheduler scheduler({.max_step_tokens = 20});
  model.fake->Hold();
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(MakeCall(8, 0, i));
    ASSERT_TRUE(scheduler.Submit(MakeRequest(calls[i], model)).ok());
    if (i == 0) model.fake->AwaitHeld();
  }
  model.fake->Release();
  for (const auto& call : calls) {
    EXPECT_TRUE(call->Wait().ok());
    ExpectLogits(*call, call->prompt, /*causal=*/false);
  }
  const std::vector<BatchRecord> batches = model.fake->batches();
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[1].size(), 2u);
  EXPECT_EQ(batches[2].size(), 2u);
}

// Runs the newest sequence alone.
class NewestOnly : public StepPlanner {
 public:
  void Plan(absl::Span<const RunnableSequence> sequences, bool,
            std::vector<PlannedSlice>* plan) const override {
    const RunnableSequence& newest = sequences.back();
    const bool wanted = newest.decoding() || (!newest.logits_positions.empty() &&
                                              newest.logits_positions[0] == newest.position);
    *plan = {{sequences.size() - 1, newest.position, newest.position + 1, wanted ? 1 : 0}};
  }
};

TEST(SchedulerTest, AnotherPolicyCanBePutIn) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({}, std::make_unique<NewestOnly>());
  const auto call = MakeCall(3, 2);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  EXPECT_TRUE(call->Wait().ok()) << call->status;
  EXPECT_THAT(call->chunks, ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
  EXPECT_EQ(call->appended, FakeContinuation(call->prompt, 2));
}

// Writes down what it is asked.
class Watcher : public ForwardObserver {
 public:
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override {
    ranges.emplace_back(begin, end);
    return {};
  }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  std::vector<std::pair<int64_t, int64_t>> ranges;
};

TEST(SchedulerTest, TheObserverSeesEveryPosition) {
  const FakeServed model = ServeFake();
  Watcher watcher;
  Scheduler scheduler({.max_step_tokens = 4});
  const auto call = MakeCall(6, 2);
  EngineRequest request = MakeRequest(call, model);
  request.plan.observer = &watcher;
  ASSERT_TRUE(scheduler.Submit(std::move(request)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_THAT(watcher.ranges, ElementsAre(Pair(0, 4), Pair(4, 6), Pair(6, 7), Pair(7, 8)));
}

TEST(SchedulerTest, CountsWhatItDoes) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.max_step_tokens = 4});
  SchedulerStats inside;
  model.fake->SetHook([&](auto) { return inside = scheduler.stats(), absl::OkStatus(); });
  const auto call = MakeCall(6, 3);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_EQ(inside.live, 1);
  EXPECT_EQ(inside.queued, 0);
  const SchedulerStats stats = scheduler.stats();
  EXPECT_EQ(stats.live, 0);
  EXPECT_EQ(stats.queued, 0);
  EXPECT_EQ(stats.steps, 5);
  EXPECT_EQ(stats.prompt_tokens, 6);
  EXPECT_EQ(stats.generated_tokens, 3);
}

TEST(SchedulerTest, OneWorkspaceServesAllStepsOfAModel) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({});
  for (int i = 0; i < 3; ++i) {
    const auto call = MakeCall(4, 4, i);
    ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
    ASSERT_TRUE(call->Wait().ok());
  }
  EXPECT_EQ(model.fake->workspaces(), 1);
}

TEST(SchedulerTest, TheEngineThreadHasItsNameAndTeam) {
  const FakeServed model = ServeFake();
  std::string name(16, '\0');
  int threads = 0;
  model.fake->SetHook([&](auto) {
    pthread_getname_np(pthread_self(), name.data(), name.size());
    threads = omp_get_max_threads();
    return absl::OkStatus();
  });
  Scheduler scheduler({.threads = 3});
  const auto call = MakeCall(1, 0);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_STREQ(name.c_str(), "heed-engine");
  EXPECT_EQ(threads, 3);
}

// Whether all of the pool's memory is there, at the latest in some seconds.
bool BecomesReady(const KvPool& pool) {
  const int64_t all = pool.total_pages() * pool.layout().page_bytes();
  for (int i = 0; i < 1000 && pool.touched_bytes() < all; ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  return pool.touched_bytes() == all;
}

TEST(SchedulerTest, WithNothingToRunMemoryIsReadiedForTheNextPrompts) {
  const FakeServed model = ServeFake(), other = ServeFake();
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  Scheduler scheduler({});
  const auto call = MakeCall(10, 20);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_TRUE(BecomesReady(model.pool()));
  EXPECT_EQ(other.pool().touched_bytes(), 0);
  scheduler.Expect(other.served);
  EXPECT_TRUE(BecomesReady(other.pool()));
}

TEST(SchedulerTest, AModelThatNobodyHoldsIsLetGo) {
  FakeServed dropped = ServeFake();
  const FakeServed kept = ServeFake(64, FakeConfig(), "kept");
  const std::weak_ptr<const ServedModel> watch = dropped.served;
  Scheduler scheduler({});
  const auto first = MakeCall(2, 0);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(first, dropped)).ok());
  dropped.served = nullptr;
  ASSERT_TRUE(first->Wait().ok());
  bool gone = false;
  kept.fake->SetHook([&](auto) { return gone = watch.expired(), absl::OkStatus(); });
  const auto second = MakeCall(2, 0);
  ASSERT_TRUE(scheduler.Submit(MakeRequest(second, kept)).ok());
  ASSERT_TRUE(second->Wait().ok());
  EXPECT_TRUE(gone);
}

}  // namespace
}  // namespace heed
