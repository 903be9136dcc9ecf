// How sequences end that nobody waits for, or reads, any more.
#include <memory>
#include <optional>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scheduler_fixture.h"

namespace heed {
namespace {

using ::testing::IsEmpty;

class SchedulerStopTest : public SchedulerFixture {};

// --- Cancelled and expired -----------------------------------------------------------------------

TEST_F(SchedulerStopTest, ACancelledQueuedCallEndsWhileItsElderIsParked) {
  options_.max_live_sequences = 1;
  const auto parked = StartParked();
  const auto queued = Started(MakeCall(4, 4));
  queued->stop->Cancel();
  scheduler().Wake();
  EXPECT_EQ(queued->Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(queued->chunks, IsEmpty());
  EXPECT_FALSE(parked->done.HasBeenNotified());
  EXPECT_EQ(scheduler().stats().queued, 0);
}

TEST_F(SchedulerStopTest, AQueuedCallEndsAtItsDeadlineWithoutBeingWoken) {
  options_.max_live_sequences = 1;
  const auto parked = StartParked();
  auto queued = MakeCall(4, 4);
  queued->stop = std::make_shared<StopSignal>(absl::Now() + absl::Milliseconds(20));
  Started(queued);
  EXPECT_EQ(queued->Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(parked->done.HasBeenNotified());
}

TEST_F(SchedulerStopTest, AParkedCallEndsAtItsDeadlineWithoutBeingWoken) {
  auto parked = MakeCall(4, 4);
  parked->can_advance = false;
  parked->stop = std::make_shared<StopSignal>(absl::Now() + absl::Milliseconds(20));
  Started(parked);
  EXPECT_EQ(parked->Wait().code(), absl::StatusCode::kDeadlineExceeded);
  ExpectEngineGoesOn();
}

TEST_F(SchedulerStopTest, ACallThatIsAlreadyExpiredNeverRuns) {
  auto call = MakeCall(4, 4);
  call->stop = std::make_shared<StopSignal>(absl::Now() - absl::Seconds(1));
  Started(call);
  EXPECT_EQ(call->Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(model_.fake->batches(), IsEmpty());
}

TEST_F(SchedulerStopTest, ACallCancelledDuringAStepStopsAndTheOthersGoOn) {
  const auto first = StartHeld(MakeCall(4, 4));
  const auto cancelled = Started(MakeCall(6, 4, 1));
  const auto other = Started(MakeCall(5, 4, 2));
  model_.fake->SetHook([&](absl::Span<const SequenceSlice> batch) {
    if (batch.size() == 3) cancelled->stop->Cancel();
    return absl::OkStatus();
  });
  model_.fake->Release();
  EXPECT_EQ(cancelled->Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(cancelled->chunks, IsEmpty());
  for (const auto& call : {first, other}) {
    EXPECT_TRUE(call->Wait().ok());
    EXPECT_EQ(call->appended, FakeContinuation(call->prompt, 4));
  }
  ExpectEngineGoesOn();
}

TEST_F(SchedulerStopTest, ACallCancelledBetweenStepsRunsNoFurther) {
  const auto call = MakeCall(4, 50);
  call->on_logits = [&](absl::Span<const int64_t> positions) {
    if (positions.back() == 10) call->stop->Cancel();
    return std::optional<TokenId>(1);
  };
  Started(call);
  EXPECT_EQ(call->Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(call->logits_positions.back(), 10);
  ExpectEngineGoesOn();
}

// --- Slow readers --------------------------------------------------------------------------------

TEST_F(SchedulerStopTest, AParkedCallKeepsItsPlaceUntilItCanAdvance) {
  const auto parked = StartParked();
  const auto other = Started(MakeCall(5, 6, 1));
  EXPECT_TRUE(other->Wait().ok());
  EXPECT_FALSE(parked->done.HasBeenNotified());
  EXPECT_EQ(scheduler().stats().live, 1);
  EXPECT_EQ(parked->advance_questions, 1);
  parked->can_advance = true;
  scheduler().Wake();
  EXPECT_TRUE(parked->Wait().ok());
  EXPECT_EQ(parked->appended, FakeContinuation(parked->prompt, 8));
  ExpectAllFree();
}

TEST_F(SchedulerStopTest, AParkedCallIsAskedAgainAtEachWake) {
  const auto parked = StartParked();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  EXPECT_EQ(parked->advance_questions, 1);
  scheduler().Wake();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  EXPECT_EQ(parked->advance_questions, 2);
}

TEST_F(SchedulerStopTest, AReaderThatStallsTooLongIsEnded) {
  options_.stall_timeout = absl::Hours(30);
  const auto parked = StartParked();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  clock_.Advance(absl::Hours(30) - absl::Seconds(1));
  scheduler().Wake();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  EXPECT_FALSE(parked->done.HasBeenNotified());
  clock_.Advance(absl::Seconds(1));
  scheduler().Wake();
  ExpectError(parked->Wait(), absl::StatusCode::kAborted, "SLOW_READER");
  ExpectEngineGoesOn();
}

TEST_F(SchedulerStopTest, AReaderThatMovesStartsANewStall) {
  options_.stall_timeout = absl::Hours(30);
  const auto parked = StartParked();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  clock_.Advance(absl::Hours(20));
  parked->on_logits = [&](absl::Span<const int64_t> positions) {
    parked->can_advance = false;
    return std::optional<TokenId>(1);
  };
  parked->can_advance = true;
  scheduler().Wake();
  // The step that runs the parked call's token also runs this one.
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  clock_.Advance(absl::Hours(20));
  scheduler().Wake();
  EXPECT_TRUE(Started(MakeCall(2, 2))->Wait().ok());
  EXPECT_FALSE(parked->done.HasBeenNotified());
  clock_.Advance(absl::Hours(10));
  scheduler().Wake();
  ExpectError(parked->Wait(), absl::StatusCode::kAborted, "SLOW_READER");
}

TEST(SchedulerStallTest, AStalledReaderIsEndedWithoutBeingWoken) {
  const FakeServed model = ServeFake();
  Scheduler scheduler({.stall_timeout = absl::Milliseconds(20)});
  const auto call = MakeCall(2, 2);
  call->can_advance = false;
  ASSERT_TRUE(scheduler.Submit(MakeRequest(call, model)).ok());
  ExpectError(call->Wait(), absl::StatusCode::kAborted, "SLOW_READER");
}

}  // namespace
}  // namespace heed
