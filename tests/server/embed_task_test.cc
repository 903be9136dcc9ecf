// The texts of one Embed on a model and a scheduler of the test's own.
#include "server/engine/embed_task.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kWidth = 3;

ModelConfig WideConfig(bool causal) {
  ModelConfig config = FakeConfig();
  config.width = kWidth;
  config.causal = causal;
  return config;
}

// One call, and what became of it.
struct EmbedRun {
  std::shared_ptr<StopSignal> stop = std::make_shared<StopSignal>();
  EmbedBatch::Outcome outcome;
  int done_count = 0;
  absl::Notification done;

  const EmbedBatch::Outcome& Wait() {
    done.WaitForNotification();
    return outcome;
  }
};

class EmbedBatchTest : public SchedulerFixture {
 protected:
  EmbedBatchTest() { model_ = ServeFake(/*pool_pages=*/4096, WideConfig(/*causal=*/true)); }

  absl::Status Start(const std::vector<std::vector<TokenId>>& prompts,
                     const std::shared_ptr<EmbedRun>& run, bool token_vectors = false) {
    const EmbedJob job{{PoolingKind::kMean, false}, kWidth, token_vectors};
    return EmbedBatch::Start(model_.served, job, prompts, run->stop, &scheduler(),
                             [run](EmbedBatch::Outcome outcome) {
                               run->outcome = std::move(outcome);
                               if (++run->done_count == 1) run->done.Notify();
                             });
  }

  std::shared_ptr<EmbedRun> Started(const std::vector<std::vector<TokenId>>& prompts,
                                    bool token_vectors = false) {
    auto run = std::make_shared<EmbedRun>();
    EXPECT_TRUE(Start(prompts, run, token_vectors).ok());
    return run;
  }
};

// `count` texts of different lengths and tokens.
std::vector<std::vector<TokenId>> Prompts(int count) {
  std::vector<std::vector<TokenId>> prompts;
  for (int i = 0; i < count; ++i) prompts.push_back(MakeCall(1 + i % 7, 0, i)->prompt);
  return prompts;
}

std::vector<float> MeanOf(const std::vector<TokenId>& prompt) {
  std::vector<double> sum(kWidth);
  for (size_t p = 0; p < prompt.size(); ++p) {
    const std::vector<float> state = FakeState(prompt[p], static_cast<int64_t>(p), kWidth);
    for (int64_t i = 0; i < kWidth; ++i) sum[i] += state[i];
  }
  std::vector<float> mean;
  for (double value : sum) {
    mean.push_back(static_cast<float>(value / static_cast<double>(prompt.size())));
  }
  return mean;
}

void ExpectMeans(const std::vector<std::vector<TokenId>>& prompts,
                 const EmbedBatch::Outcome& outcome) {
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(outcome.texts.size(), prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(outcome.texts[i].vector, MeanOf(prompts[i])) << "text " << i;
  }
}

TEST_F(EmbedBatchTest, EachTextIsAnsweredInItsPlace) {
  const auto prompts = Prompts(5);
  const auto run = Started(prompts);
  ExpectMeans(prompts, run->Wait());
  EXPECT_THAT(run->outcome.texts[2].token_vectors, IsEmpty());
  ExpectAllFree();
}

TEST_F(EmbedBatchTest, NoLogitsAreComputed) {
  Started(Prompts(3))->Wait();
  for (const BatchRecord& batch : model_.fake->batches()) {
    for (const SliceRecord& slice : batch) EXPECT_THAT(slice.logits_rows, IsEmpty());
  }
}

TEST_F(EmbedBatchTest, ABidirectionalModelAnswersToo) {
  model_ = ServeFake(64, WideConfig(/*causal=*/false));
  const auto prompts = Prompts(5);
  ExpectMeans(prompts, Started(prompts)->Wait());
}

TEST_F(EmbedBatchTest, TokenVectorsAreTheStates) {
  const auto run = Started({{4, 9}}, /*token_vectors=*/true);
  ASSERT_TRUE(run->Wait().status.ok());
  EXPECT_THAT(run->outcome.texts[0].token_vectors, ElementsAre(4, 8, 12, 10, 19, 28));
}

TEST_F(EmbedBatchTest, ALongListGoesThroughAFewAtATime) {
  const auto prompts = Prompts(256);
  model_.fake->Hold();
  const auto run = Started(prompts);
  model_.fake->AwaitHeld();
  const SchedulerStats stats = scheduler().stats();
  EXPECT_EQ(stats.live + stats.queued, static_cast<int64_t>(EmbedBatch::kMaxTextsInEngine));
  model_.fake->Release();
  ExpectMeans(prompts, run->Wait());
  EXPECT_EQ(run->done_count, 1);
  ExpectAllFree();
}

// A queue that is shorter than the list is no reason to refuse it.
TEST_F(EmbedBatchTest, AListLongerThanTheQueueIsAnswered) {
  options_.max_queued_sequences = 2;
  options_.max_live_sequences = 1;
  const auto prompts = Prompts(40);
  ExpectMeans(prompts, Started(prompts)->Wait());
}

TEST_F(EmbedBatchTest, AFullQueueRefusesTheCallAtOnce) {
  options_.max_queued_sequences = 1;
  options_.max_live_sequences = 1;
  model_.fake->Hold();
  const auto live = Started(Prompts(1));
  model_.fake->AwaitHeld();
  const auto queued = Started(Prompts(1));
  const auto refused = std::make_shared<EmbedRun>();
  ExpectError(Start(Prompts(3), refused), absl::StatusCode::kResourceExhausted, "QUEUE_FULL");
  model_.fake->Release();
  EXPECT_TRUE(live->Wait().status.ok());
  EXPECT_TRUE(queued->Wait().status.ok());
  EXPECT_EQ(refused->done_count, 0);
}

TEST_F(EmbedBatchTest, TheFirstErrorEndsTheWholeCall) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<std::vector<TokenId>> prompts(200, std::vector<TokenId>{1, 2});
    prompts[40] = {1, 22};
    model_.fake->Poison(22, bad);
    const auto run = Started(prompts);
    ExpectError(run->Wait().status, absl::StatusCode::kInternal, "NONFINITE_STATES");
    EXPECT_EQ(Metadata(run->outcome.status, "position"), "1");
    EXPECT_EQ(run->done_count, 1);
    EXPECT_TRUE(run->stop->ShouldStop());
    // Those that stood far behind it never ran.
    EXPECT_LT(scheduler().stats().prompt_tokens, 2 * 150);
    ExpectAllFree();
    scheduler_.reset();
  }
}

TEST_F(EmbedBatchTest, AnErrorOfTheModelEndsTheCallOnce) {
  model_.fake->SetHook([](absl::Span<const SequenceSlice>) { return absl::InternalError("x"); });
  const auto run = Started(Prompts(100));
  EXPECT_EQ(run->Wait().status, absl::InternalError("x"));
  EXPECT_EQ(run->done_count, 1);
  ExpectAllFree();
}

TEST_F(EmbedBatchTest, CancellingEndsAllTexts) {
  model_.fake->Hold();
  const auto run = Started(Prompts(100));
  model_.fake->AwaitHeld();
  run->stop->Cancel();
  scheduler().Wake();
  model_.fake->Release();
  EXPECT_EQ(run->Wait().status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(run->done_count, 1);
  EXPECT_EQ(scheduler().stats().prompt_tokens, 0);
  ExpectAllFree();
}

TEST_F(EmbedBatchTest, ADrainLetsALongListFinish) {
  const auto prompts = Prompts(150);
  model_.fake->Hold();
  const auto run = Started(prompts);
  model_.fake->AwaitHeld();
  std::thread drainer([&] { EXPECT_EQ(scheduler().Drain(absl::InfiniteFuture()), 0); });
  AwaitDraining();
  model_.fake->Release();
  drainer.join();
  ASSERT_TRUE(run->done.HasBeenNotified());
  ExpectMeans(prompts, run->outcome);
}

TEST_F(EmbedBatchTest, TheEndOfADrainEndsALongList) {
  model_.fake->Hold();
  const auto run = Started(Prompts(150));
  model_.fake->AwaitHeld();
  std::thread releaser([&] {
    AwaitDraining();
    model_.fake->Release();
  });
  EXPECT_GE(scheduler().Drain(absl::InfinitePast()), 1);
  releaser.join();
  ASSERT_TRUE(run->done.HasBeenNotified());
  ExpectError(run->outcome.status, absl::StatusCode::kUnavailable, "DRAINING");
  ExpectAllFree();
}

TEST_F(EmbedBatchTest, TimingsAreThoseOfTheWholeCall) {
  options_.now = absl::Now;
  options_.max_live_sequences = 1;
  model_.fake->Hold();
  const absl::Time before = absl::Now();
  const auto run = Started(Prompts(3));
  model_.fake->AwaitHeld();
  const absl::Duration queued_at_most = absl::Now() - before;
  const absl::Time held = absl::Now();
  while (absl::Now() - held < absl::Milliseconds(5)) {
  }
  const absl::Duration computed_at_least = absl::Now() - held;
  model_.fake->Release();
  const EngineTimings& timings = run->Wait().timings;
  EXPECT_GE(timings.queue, absl::ZeroDuration());
  EXPECT_LE(timings.queue, queued_at_most);
  EXPECT_GE(timings.compute, computed_at_least);
  EXPECT_LE(timings.queue + timings.compute, absl::Now() - before);
}

}  // namespace
}  // namespace heed
