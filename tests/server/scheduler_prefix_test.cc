// Prompts that begin like earlier ones: what they need not run, and that nobody can tell by the
// answer. The fake's logits say which tokens the pages hold.
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/print_formats.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class SchedulerPrefixTest : public SchedulerFixture {
 protected:
  std::shared_ptr<FakeCall> Finished(std::shared_ptr<FakeCall> call) {
    Started(call);
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    return call;
  }
  std::shared_ptr<FakeCall> Finished(EngineRequest request, std::shared_ptr<FakeCall> call) {
    EXPECT_TRUE(scheduler().Submit(std::move(request)).ok());
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    return call;
  }
  void ExpectAnswer(const FakeCall& call) {
    EXPECT_EQ(call.appended, FakeContinuation(call.prompt, call.new_tokens));
    for (size_t i = 0; i < call.logits.size(); ++i) {
      std::vector<TokenId> tokens = call.prompt;
      tokens.insert(tokens.end(), call.appended.begin(), call.appended.end());
      const int64_t position = call.logits_positions[i];
      EXPECT_EQ(call.logits[i], FakeLogits(absl::MakeSpan(tokens).first(position + 1), position,
                                           FakeConfig().vocab_size));
    }
  }
};

TEST_F(SchedulerPrefixTest, AWarmPromptRunsOnlyWhatIsNew) {
  const auto cold = Finished(MakeCall(40, 3));
  EXPECT_EQ(cold->timings.cached_tokens, 0);
  const auto warm = Finished(MakeCall(40, 3));
  EXPECT_THAT(warm->chunks, ElementsAre(Pair(32, 40)));
  EXPECT_EQ(warm->timings.cached_tokens, 32);
  EXPECT_EQ(warm->logits, cold->logits);
  ExpectAnswer(*warm);
  EXPECT_EQ(scheduler().stats().cached_tokens, 32);
  EXPECT_EQ(scheduler().stats().prompt_tokens, 40 + 8);
  ExpectAllFree();
}

// A prompt of whole pages too: nobody has its last logits.
TEST_F(SchedulerPrefixTest, TheLastTokenOfAPromptAlwaysRuns) {
  Finished(MakeCall(48, 0));
  const auto warm = Finished(MakeCall(48, 0));
  EXPECT_THAT(warm->chunks, ElementsAre(Pair(32, 48)));
  ExpectAnswer(*warm);
  const auto silent = MakeCall(48, 0);
  silent->positions = std::vector<int64_t>{};
  EXPECT_THAT(Finished(silent)->chunks, ElementsAre(Pair(32, 48)));
}

TEST_F(SchedulerPrefixTest, WantedLogitsAreComputed) {
  Finished(MakeCall(60, 0));
  const auto warm = MakeCall(60, 0);
  warm->positions = {20, 59};
  Finished(warm);
  EXPECT_THAT(warm->chunks, ElementsAre(Pair(16, 60)));
  EXPECT_EQ(warm->logits.size(), 2u);
  ExpectAnswer(*warm);
}

// Wants the rows of one position.
class Watcher : public ForwardObserver {
 public:
  explicit Watcher(int64_t position) : query_(position) {}
  int64_t FirstWatchedPosition() const override { return query_; }
  AttentionRows WantAttention(int, int64_t begin, int64_t end) override {
    if (query_ < begin || query_ >= end) return {};
    return {heads_, absl::MakeConstSpan(&query_, 1)};
  }
  void OnAttentionRow(int, int, int64_t query, absl::Span<const float>) override {
    seen.push_back(query);
  }
  std::vector<int64_t> seen;

 private:
  const int64_t query_;
  const std::vector<int> heads_ = {0};
};

TEST_F(SchedulerPrefixTest, WatchedRowsAreComputed) {
  Finished(MakeCall(60, 0));
  Watcher watcher(33);
  const auto warm = MakeCall(60, 0);
  EngineRequest request = MakeRequest(warm, model_);
  request.plan.observer = &watcher;
  Finished(std::move(request), warm);
  EXPECT_THAT(watcher.seen, ElementsAre(33));
  EXPECT_THAT(warm->chunks, ElementsAre(Pair(32, 60)));
}

// Every observer that does not say otherwise is shown all.
TEST_F(SchedulerPrefixTest, AnObserverSeesEverythingUnlessItSaysWhatItDoesNotNeed) {
  class Plain : public ForwardObserver {
    AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
    void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  };
  Finished(MakeCall(60, 0));
  Plain plain;
  const auto warm = MakeCall(60, 0);
  EngineRequest request = MakeRequest(warm, model_);
  request.plan.observer = &plain;
  Finished(std::move(request), warm);
  EXPECT_THAT(warm->chunks, ElementsAre(Pair(0, 60)));
}

TEST_F(SchedulerPrefixTest, AnEditedSequenceNeitherTakesNorLeavesPages) {
  ForwardEditor editor;
  const auto edited = [&] {
    const auto call = MakeCall(60, 0);
    EngineRequest request = MakeRequest(call, model_);
    request.plan.editor = &editor;
    return Finished(std::move(request), call);
  };
  edited();
  EXPECT_EQ(Finished(MakeCall(60, 0))->timings.cached_tokens, 0);
  EXPECT_EQ(edited()->timings.cached_tokens, 0);
}

TEST_F(SchedulerPrefixTest, CanBeTurnedOff) {
  options_.prefix_cache = false;
  Finished(MakeCall(60, 0));
  EXPECT_EQ(Finished(MakeCall(60, 0))->timings.cached_tokens, 0);
  EXPECT_EQ(model_.pool().idle_pages(), 0);
}

TEST_F(SchedulerPrefixTest, BidirectionalPromptsRunWhole) {
  ModelConfig config = FakeConfig();
  config.causal = false;
  model_ = ServeFake(64, config);
  Finished(MakeCall(60, 0));
  EXPECT_THAT(Finished(MakeCall(60, 0))->chunks, ElementsAre(Pair(0, 60)));
}

// A conversation: the next prompt is the last one, its answer and something more.
TEST_F(SchedulerPrefixTest, AnAnswerIsRememberedAsAPromptIs) {
  const auto first = Finished(MakeCall(20, 30));
  const auto next = MakeCall(0, 5);
  next->prompt = first->prompt;
  next->prompt.insert(next->prompt.end(), first->appended.begin(), first->appended.end());
  next->prompt.push_back(3);
  Finished(next);
  EXPECT_EQ(next->timings.cached_tokens, 48);
  ExpectAnswer(*next);
}

TEST_F(SchedulerPrefixTest, APromptStillRunningIsSharedAsFarAsItCame) {
  options_.max_step_tokens = 24;
  const auto second = MakeCall(60, 4);
  model_.fake->SetHook([&](absl::Span<const SequenceSlice> batch) {
    if (batch[0].cache->size() == 0) Started(second);  // it comes after this step's 24 tokens
    return absl::OkStatus();
  });
  const auto first = Started(MakeCall(60, 4));
  EXPECT_TRUE(first->Wait().ok());
  EXPECT_TRUE(second->Wait().ok());
  EXPECT_EQ(second->timings.cached_tokens, 16);
  ExpectAnswer(*first);
  ExpectAnswer(*second);
  ExpectAllFree();
}

TEST_F(SchedulerPrefixTest, ACancelledPromptLeavesOnlyWhatItHasRun) {
  options_.max_step_tokens = 24;
  const auto cancelled = MakeCall(60, 4);
  model_.fake->SetHook([&](absl::Span<const SequenceSlice> batch) {
    if (batch[0].cache->size() == 24) cancelled->stop->Cancel();
    return absl::OkStatus();
  });
  Started(cancelled);
  EXPECT_TRUE(absl::IsCancelled(cancelled->Wait()));
  model_.fake->SetHook(nullptr);
  EXPECT_EQ(model_.pool().idle_pages(), 1);
  const auto again = Finished(MakeCall(60, 4));
  EXPECT_EQ(again->timings.cached_tokens, 16);
  ExpectAnswer(*again);
  ExpectAllFree();
}

TEST_F(SchedulerPrefixTest, ASequenceOfLogitsThatAreNotFiniteLeavesNothing) {
  const auto bad = MakeCall(40, 0);
  model_.fake->Poison(bad->prompt.back(), std::numeric_limits<float>::quiet_NaN());
  Started(bad);
  EXPECT_FALSE(bad->Wait().ok());
  EXPECT_EQ(model_.pool().idle_pages(), 0);
}

// Five pages: two shared ones held, two more, and one for a call that would need three of its own.
TEST_F(SchedulerPrefixTest, ACallThatFitsBecauseItSharesIsAdmitted) {
  model_ = ServeFake(/*pool_pages=*/5);
  const auto parked = MakeCall(40, 20);
  parked->can_advance = false;
  Started(parked);
  parked->first_question.WaitForNotification();
  EXPECT_EQ(model_.pool().free_pages(), 1);
  EXPECT_EQ(Finished(MakeCall(40, 2))->timings.cached_tokens, 32);
  parked->can_advance = true;
  scheduler().Wake();
  EXPECT_TRUE(parked->Wait().ok());
  ExpectAnswer(*parked);
  ExpectAllFree();
}

TEST_F(SchedulerPrefixTest, PagesAreForgottenWhenOthersNeedThem) {
  model_ = ServeFake(/*pool_pages=*/4);
  Finished(MakeCall(40, 0));
  Finished(MakeCall(60, 0, 1));
  const auto again = Finished(MakeCall(40, 3));
  EXPECT_EQ(again->timings.cached_tokens, 0);
  ExpectAnswer(*again);
  ExpectAllFree();
}

// --- With real models ----------------------------------------------------------------------------

using Held = std::pair<std::string, WeightFormat>;

class WarmGenerationTest : public testing::TestWithParam<Held> {};

// Three generations that begin alike, twice over, together and in pieces of many sizes, against the
// same ones each alone and without a cache.
TEST_P(WarmGenerationTest, HasTheBitsOfAColdOne) {
  const auto model = LoadServedModel(
      "model", std::string(HEED_SOURCE_DIR) + "/tests/golden/models/" + GetParam().first,
      {.weights = GetParam().second});
  ASSERT_TRUE(model.ok()) << model.status();
  const FakeServed served{nullptr, *model};
  constexpr int64_t kLengths[] = {20, 35, 50};
  const auto run = [&](Scheduler& scheduler, int64_t salt) {
    std::vector<std::shared_ptr<FakeCall>> calls;
    for (int64_t length : kLengths) {
      calls.push_back(MakeCall(length, 12, salt));
      EXPECT_TRUE(scheduler.Submit(MakeRequest(calls.back(), served)).ok());
    }
    for (const auto& call : calls) EXPECT_TRUE(call->Wait().ok()) << call->status;
    return calls;
  };
  for (int64_t step_tokens : {1, 7, 16, 40, 256}) {
    Scheduler alone({.max_live_sequences = 1, .prefix_cache = false});
    const auto cold = run(alone, /*salt=*/step_tokens);
    Scheduler scheduler({.max_step_tokens = step_tokens, .prefill_chunk_tokens = 11});
    for (int round = 0; round < 2; ++round) {
      const auto calls = run(scheduler, /*salt=*/step_tokens);
      for (size_t i = 0; i < calls.size(); ++i) {
        EXPECT_EQ(calls[i]->logits, cold[i]->logits) << step_tokens << " tokens a step, " << i;
        if (round == 1) {
          EXPECT_GE(calls[i]->timings.cached_tokens, kLengths[i] / 16 * 16);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, WarmGenerationTest,
                         testing::Values(Held{"llama-gqa-f32", WeightFormat::kF32},
                                         Held{"llama-gqa-f32", WeightFormat::kInt8},
                                         Held{"gemma3-bf16", WeightFormat::kF32},
                                         Held{"qwen3-bf16", WeightFormat::kInt4}));

}  // namespace
}  // namespace heed
