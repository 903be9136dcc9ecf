// How sequences are refused, fail and are drained, and what must be true of every end.
#include <cmath>
#include <limits>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SchedulerEndTest : public SchedulerFixture {};

// --- Refused at Submit ---------------------------------------------------------------------------

TEST_F(SchedulerEndTest, SubmitRefusesWhatCanNeverFitThePool) {
  model_ = ServeFake(/*pool_pages=*/3);
  const auto call = MakeCall(40, 9);
  const absl::Status status = Submit(call);
  ExpectError(status, absl::StatusCode::kResourceExhausted, "KV_CACHE_TOO_SMALL");
  EXPECT_THAT(status.message(), HasSubstr("49 tokens"));
  EXPECT_THAT(status.message(), HasSubstr("holds 48"));
  EXPECT_EQ(Metadata(status, "needed_tokens"), "49");
  EXPECT_EQ(Metadata(status, "total_tokens"), "48");
  EXPECT_EQ(call->tasks_alive, 0);
  EXPECT_EQ(call->done_count, 0);
  EXPECT_TRUE(Started(MakeCall(40, 8))->Wait().ok());
}

TEST_F(SchedulerEndTest, SubmitRefusesMoreThanTheQueueHolds) {
  options_.max_queued_sequences = 2;
  options_.max_live_sequences = 1;
  const auto live = StartHeld(MakeCall(2, 1));
  const auto second = Started(MakeCall(2, 1));
  const auto third = Started(MakeCall(2, 1));
  EXPECT_EQ(scheduler().stats().queued, 2);
  const auto refused = MakeCall(2, 1);
  ExpectError(Submit(refused), absl::StatusCode::kResourceExhausted, "QUEUE_FULL");
  EXPECT_EQ(refused->tasks_alive, 0);
  model_.fake->Release();
  for (const auto& call : {live, second, third}) EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(refused->done_count, 0);
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, APartOfACallThatWasBegunIsTakenByAFullQueue) {
  options_.max_queued_sequences = 1;
  options_.max_live_sequences = 1;
  const auto live = StartHeld(MakeCall(2, 1));
  const auto queued = Started(MakeCall(2, 1));
  const auto part = MakeCall(3, 2);
  EngineRequest request = MakeRequest(part, model_);
  request.continues_call = true;
  const absl::Status taken = scheduler().Submit(std::move(request));
  const absl::Status refused = Submit(MakeCall(2, 1));
  model_.fake->Release();
  ASSERT_TRUE(taken.ok()) << taken;
  ExpectError(refused, absl::StatusCode::kResourceExhausted, "QUEUE_FULL");
  for (const auto& call : {live, queued, part}) EXPECT_TRUE(call->Wait().ok());
  EXPECT_EQ(part->appended, FakeContinuation(part->prompt, 2));
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, SubmitRefusesRequestsThatBreakTheContract) {
  const auto spoil = [&](auto change) {
    const auto call = MakeCall(4, 2);
    EngineRequest request = MakeRequest(call, model_);
    change(request);
    ExpectError(scheduler().Submit(std::move(request)), absl::StatusCode::kInternal,
                "BAD_ENGINE_REQUEST");
    EXPECT_EQ(call->done_count, 0);
    EXPECT_EQ(call->tasks_alive, 0);
  };
  spoil([](EngineRequest& r) { r.model = nullptr; });
  spoil([](EngineRequest& r) { r.stop = nullptr; });
  spoil([](EngineRequest& r) { r.task = nullptr; });
  spoil([](EngineRequest& r) { r.prompt.clear(); });
  spoil([](EngineRequest& r) { r.prompt.resize(257); });
  spoil([](EngineRequest& r) { r.prompt[1] = -1; });
  spoil([](EngineRequest& r) { r.prompt[3] = static_cast<TokenId>(FakeConfig().vocab_size); });
  spoil([](EngineRequest& r) { r.max_new_tokens = -1; });
  spoil([](EngineRequest& r) { r.max_new_tokens = 253; });
  spoil([](EngineRequest& r) { r.max_new_tokens = std::numeric_limits<int64_t>::max(); });
  spoil([](EngineRequest& r) { r.logits_positions = {-1}; });
  spoil([](EngineRequest& r) { r.logits_positions = {4}; });
  spoil([](EngineRequest& r) { r.logits_positions = {2, 2}; });
  spoil([](EngineRequest& r) { r.logits_positions = {3, 2}; });
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, ABidirectionalModelDoesNotGenerate) {
  ModelConfig config = FakeConfig();
  config.causal = false;
  model_ = ServeFake(64, config);
  ExpectError(Submit(MakeCall(4, 1)), absl::StatusCode::kInternal, "BAD_ENGINE_REQUEST");
}

TEST(SchedulerOptionsTest, EveryOutOfRangeOptionIsNamed) {
  EXPECT_TRUE(ValidateSchedulerOptions({}).ok());
  const absl::Status status = ValidateSchedulerOptions({.max_queued_sequences = 0,
                                                        .max_live_sequences = 0,
                                                        .max_step_tokens = 1,
                                                        .prefill_chunk_tokens = -1,
                                                        .max_step_logits_rows = 1,
                                                        .stall_timeout = absl::ZeroDuration(),
                                                        .threads = -1});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorDetails(status).violations.size(), 7u);
}

// --- Failures ------------------------------------------------------------------------------------

class NonFinite : public SchedulerEndTest, public testing::WithParamInterface<float> {};

TEST_P(NonFinite, LogitsEndOnlyTheirSequence) {
  constexpr TokenId kPoisoned = 22;
  model_.fake->Poison(kPoisoned, GetParam());
  const auto first = StartHeld(MakeCall(1, 0));
  const auto bad = MakeCall(4, 6, 1);
  bad->on_logits = [&](absl::Span<const int64_t> positions) {
    return std::optional<TokenId>(positions.back() == 5 ? kPoisoned : 1);
  };
  Started(bad);
  const auto good = MakeCall(5, 6, 2);
  good->on_logits = [](absl::Span<const int64_t> positions) {
    return std::optional<TokenId>(positions.back() < 10 ? std::optional<TokenId>(2) : std::nullopt);
  };
  Started(good);
  model_.fake->Release();
  ExpectError(bad->Wait(), absl::StatusCode::kInternal, "NONFINITE_LOGITS");
  EXPECT_THAT(bad->status.message(), HasSubstr("position 6"));
  EXPECT_EQ(Metadata(bad->status, "position"), "6");
  EXPECT_THAT(bad->logits_positions, ElementsAre(3, 4, 5));
  EXPECT_TRUE(good->Wait().ok()) << good->status;
  EXPECT_THAT(good->logits_positions, ElementsAre(4, 5, 6, 7, 8, 9, 10));
  EXPECT_TRUE(first->Wait().ok());
  ExpectAllFree();
}

INSTANTIATE_TEST_SUITE_P(Values, NonFinite,
                         testing::Values(std::nanf(""), std::numeric_limits<float>::infinity(),
                                         -std::numeric_limits<float>::infinity()));

TEST_F(SchedulerEndTest, AnErrorOfTheModelEndsTheWholeStepOnly) {
  options_.max_live_sequences = 2;
  model_.fake->SetHook([](absl::Span<const SequenceSlice> batch) {
    return batch.size() == 2 ? absl::InternalError("a fault") : absl::OkStatus();
  });
  const auto first = StartHeld(MakeCall(4, 4));
  const auto second = Started(MakeCall(4, 4, 1));
  const auto queued = Started(MakeCall(4, 4, 2));
  model_.fake->Release();
  EXPECT_EQ(first->Wait(), absl::InternalError("a fault"));
  EXPECT_EQ(second->Wait(), absl::InternalError("a fault"));
  EXPECT_TRUE(queued->Wait().ok());
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, OutOfMemoryInAStepIsResourceExhausted) {
  model_.fake->SetHook([](auto) -> absl::Status { throw std::bad_alloc(); });
  ExpectError(Started(MakeCall(4, 4))->Wait(), absl::StatusCode::kResourceExhausted,
              "OUT_OF_MEMORY");
  model_.fake->SetHook(nullptr);
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, AnyOtherExceptionInAStepIsInternal) {
  model_.fake->SetHook([](auto) -> absl::Status { throw std::runtime_error("what it said"); });
  const absl::Status status = Started(MakeCall(4, 4))->Wait();
  ExpectError(status, absl::StatusCode::kInternal, "UNEXPECTED_EXCEPTION");
  EXPECT_THAT(status.message(), HasSubstr("what it said"));
  model_.fake->SetHook([](auto) -> absl::Status { throw 1; });
  EXPECT_EQ(Started(MakeCall(4, 4))->Wait().code(), absl::StatusCode::kInternal);
  model_.fake->SetHook(nullptr);
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, ATaskThatThrowsEndsItsOwnSequence) {
  const auto call = MakeCall(4, 4);
  call->on_logits = [](auto) -> absl::StatusOr<std::optional<TokenId>> { throw std::bad_alloc(); };
  Started(call);
  ExpectError(call->Wait(), absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY");
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, ATasksErrorIsTheSequencesError) {
  const auto call = MakeCall(4, 4);
  call->on_logits = [](auto) { return absl::OutOfRangeError("enough"); };
  Started(call);
  EXPECT_EQ(call->Wait(), absl::OutOfRangeError("enough"));
  ExpectEngineGoesOn();
}

TEST_F(SchedulerEndTest, TokensMayBeAppendedAfterThePromptOnly) {
  const auto call = MakeCall(4, 4);
  call->positions = {1};
  call->on_logits = [](auto) { return std::optional<TokenId>(1); };
  Started(call);
  ExpectError(call->Wait(), absl::StatusCode::kInternal, "BAD_TASK_TOKEN");
}

TEST_F(SchedulerEndTest, NoMoreTokensMayBeAppendedThanAnnounced) {
  const auto call = MakeCall(4, 2);
  call->on_logits = [](auto) { return std::optional<TokenId>(1); };
  Started(call);
  ExpectError(call->Wait(), absl::StatusCode::kInternal, "BAD_TASK_TOKEN");
  EXPECT_THAT(call->logits_positions, ElementsAre(3, 4, 5));
}

TEST_F(SchedulerEndTest, OnlyKnownTokensMayBeAppended) {
  for (TokenId token : {TokenId{-1}, static_cast<TokenId>(FakeConfig().vocab_size)}) {
    const auto call = MakeCall(4, 2);
    call->on_logits = [=](auto) { return std::optional<TokenId>(token); };
    Started(call);
    ExpectError(call->Wait(), absl::StatusCode::kInternal, "BAD_TASK_TOKEN");
  }
  ExpectEngineGoesOn();
}

// --- Every end -----------------------------------------------------------------------------------

TEST_F(SchedulerEndTest, ResourcesAreFreeWhenOnDoneIsCalled) {
  int64_t free_pages = -1;
  SchedulerStats stats{.live = -1};
  const auto call = MakeCall(20, 20);
  call->on_done = [&] {
    free_pages = model_.pool().free_pages();
    stats = scheduler().stats();
  };
  Started(call)->Wait().IgnoreError();
  EXPECT_EQ(free_pages, model_.pool().total_pages());
  EXPECT_EQ(stats.live, 0);
}

TEST_F(SchedulerEndTest, OnDoneMaySubmitAnother) {
  options_.max_live_sequences = 1;
  const auto next = MakeCall(3, 3, 1);
  const auto call = MakeCall(3, 3);
  call->on_done = [&] { Started(next); };
  Started(call);
  EXPECT_TRUE(call->Wait().ok());
  EXPECT_TRUE(next->Wait().ok());
}

TEST_F(SchedulerEndTest, TimingsAreQueueAndCompute) {
  options_.max_live_sequences = 1;
  const auto first = StartHeld(MakeCall(4, 0));
  const auto second = Started(MakeCall(4, 0));
  auto expired = MakeCall(4, 0);
  Started(expired);
  clock_.Advance(absl::Seconds(5));
  expired->stop->Cancel();
  model_.fake->Allow(1);
  ASSERT_TRUE(first->Wait().ok());
  EXPECT_EQ(first->timings.queue, absl::ZeroDuration());
  EXPECT_EQ(first->timings.compute, absl::Seconds(5));
  expired->Wait().IgnoreError();
  EXPECT_EQ(expired->timings.queue, absl::Seconds(5));
  EXPECT_EQ(expired->timings.compute, absl::ZeroDuration());
  model_.fake->AwaitHeld();
  clock_.Advance(absl::Seconds(2));
  model_.fake->Release();
  ASSERT_TRUE(second->Wait().ok());
  EXPECT_EQ(second->timings.queue, absl::Seconds(5));
  EXPECT_EQ(second->timings.compute, absl::Seconds(2));
}

TEST_F(SchedulerEndTest, ComputeLastsFromTheFirstStepToTheLast) {
  model_.fake->SetHook([&](auto) { return clock_.Advance(absl::Seconds(1)), absl::OkStatus(); });
  const auto call = Started(MakeCall(4, 3));
  ASSERT_TRUE(call->Wait().ok());
  EXPECT_EQ(call->timings.queue, absl::ZeroDuration());
  EXPECT_EQ(call->timings.compute, absl::Seconds(4));
}

TEST_F(SchedulerEndTest, AllCallbacksComeFromOneThread) {
  options_.max_live_sequences = 1;
  const auto finished = StartHeld(MakeCall(4, 4));
  const auto cancelled = Started(MakeCall(4, 4));
  cancelled->stop->Cancel();
  model_.fake->Release();
  finished->Wait().IgnoreError();
  cancelled->Wait().IgnoreError();
  const auto parked = StartParked();
  const auto queued = Started(MakeCall(4, 4));
  scheduler().Drain(absl::InfinitePast());
  std::set<std::thread::id> threads;
  for (const auto& call : {finished, cancelled, parked, queued}) {
    ASSERT_FALSE(call->threads.empty());
    threads.insert(call->threads.begin(), call->threads.end());
  }
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

// --- Drain and destruction -----------------------------------------------------------------------

TEST_F(SchedulerEndTest, DrainWaitsForEverything) {
  options_.max_live_sequences = 2;
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(Started(MakeCall(8, 8, i)));
  EXPECT_EQ(scheduler().Drain(absl::InfiniteFuture()), 0);
  for (const auto& call : calls) {
    EXPECT_TRUE(call->done.HasBeenNotified());
    EXPECT_TRUE(call->status.ok());
    EXPECT_EQ(call->tasks_alive, 0);
  }
  ExpectAllFree();
}

TEST_F(SchedulerEndTest, ADrainingSchedulerRefuses) {
  EXPECT_EQ(scheduler().Drain(absl::InfiniteFuture()), 0);
  const auto call = MakeCall(4, 4);
  ExpectError(Submit(call), absl::StatusCode::kUnavailable, "DRAINING");
  EXPECT_EQ(call->tasks_alive, 0);
}

// What a call brings on after the drain has begun is waited for too.
TEST_F(SchedulerEndTest, ADrainLetsCallsBringTheirOtherParts) {
  const auto second = MakeCall(4, 2, 1);
  const auto third = MakeCall(4, 2, 2);
  const auto brings = [this](const std::shared_ptr<FakeCall>& part) {
    return [this, part] {
      EngineRequest request = MakeRequest(part, model_);
      request.continues_call = true;
      EXPECT_TRUE(scheduler().Submit(std::move(request)).ok());
    };
  };
  const auto first = MakeCall(4, 2);
  first->on_done = brings(second);
  second->on_done = brings(third);
  StartHeld(first);
  std::thread drainer([&] { EXPECT_EQ(scheduler().Drain(absl::InfiniteFuture()), 0); });
  AwaitDraining();
  model_.fake->Release();
  drainer.join();
  for (const auto& call : {first, second, third}) {
    ASSERT_TRUE(call->done.HasBeenNotified());
    EXPECT_TRUE(call->status.ok()) << call->status;
  }
  ExpectAllFree();
}

TEST_F(SchedulerEndTest, TheDeadlineOfADrainEndsTheRest) {
  options_.max_live_sequences = 1;
  const auto parked = StartParked();
  const auto queued = Started(MakeCall(4, 4));
  EXPECT_EQ(scheduler().Drain(absl::Now() + absl::Milliseconds(10)), 2);
  for (const auto& call : {parked, queued}) {
    ASSERT_TRUE(call->done.HasBeenNotified());
    ExpectError(call->status, absl::StatusCode::kUnavailable, "DRAINING");
    EXPECT_EQ(call->done_count, 1);
    EXPECT_EQ(call->tasks_alive, 0);
  }
  ExpectAllFree();
  const SchedulerStats stats = scheduler().stats();
  EXPECT_EQ(stats.live, 0);
  EXPECT_EQ(stats.queued, 0);
}

TEST_F(SchedulerEndTest, ADrainWaitsForTheRunningStep) {
  options_.max_live_sequences = 1;
  options_.max_queued_sequences = 1;
  const auto call = StartHeld(MakeCall(4, 4));
  const auto queued = Started(MakeCall(4, 4));  // the queue is full: the drain ends these two only
  std::thread releaser([&] {
    AwaitDraining();
    model_.fake->Release();
  });
  EXPECT_EQ(scheduler().Drain(absl::InfinitePast()), 2);
  releaser.join();
  EXPECT_TRUE(call->done.HasBeenNotified());
  EXPECT_EQ(call->appended.size(), 1u);  // what the step gave it
  EXPECT_TRUE(queued->done.HasBeenNotified());
}

TEST_F(SchedulerEndTest, ADrainLetsParkedCallsFinish) {
  const auto parked = StartParked();
  parked->on_logits = [&](absl::Span<const int64_t> positions) -> std::optional<TokenId> {
    return std::nullopt;
  };
  std::thread reader([&] {
    parked->can_advance = true;
    scheduler().Wake();
  });
  EXPECT_EQ(scheduler().Drain(absl::InfiniteFuture()), 0);
  reader.join();
  EXPECT_TRUE(parked->status.ok()) << parked->status;
}

TEST_F(SchedulerEndTest, DestructionEndsWhatIsLeft) {
  options_.max_live_sequences = 1;
  const auto parked = StartParked();
  const auto queued = Started(MakeCall(4, 4));
  scheduler_.reset();
  for (const auto& call : {parked, queued}) {
    ASSERT_TRUE(call->done.HasBeenNotified());
    ExpectError(call->status, absl::StatusCode::kUnavailable, "DRAINING");
    EXPECT_EQ(call->done_count, 1);
    EXPECT_EQ(call->tasks_alive, 0);
  }
  ExpectAllFree();
}

TEST_F(SchedulerEndTest, AnIdleSchedulerIsDestroyedAtOnce) {
  scheduler();
}

}  // namespace
}  // namespace heed
