// A scheduler over one fake model and a clock that the test moves, for tests of how sequences end.
#ifndef HEED_TESTS_SERVER_SCHEDULER_FIXTURE_H_
#define HEED_TESTS_SERVER_SCHEDULER_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "server/engine/scheduler.h"
#include "tests/server/fake_call.h"
#include "tests/server/fake_language_model.h"

namespace heed {

// A clock that the test moves. Thread-safe.
class FakeClock {
 public:
  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }
  std::function<absl::Time()> function() {
    return [this] {
      absl::MutexLock lock(&mutex_);
      return now_;
    };
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::UnixEpoch();
};

inline void ExpectError(const absl::Status& status, absl::StatusCode code,
                        absl::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(GetErrorDetails(status).reason, reason) << status;
}

inline std::string Metadata(const absl::Status& status, absl::string_view key) {
  for (const auto& [name, value] : GetErrorDetails(status).metadata) {
    if (name == key) return value;
  }
  return "";
}

class SchedulerFixture : public testing::Test {
 protected:
  absl::Status Submit(const std::shared_ptr<FakeCall>& call) {
    return scheduler().Submit(MakeRequest(call, model_));
  }
  // Submits, and fails the test if that is refused.
  std::shared_ptr<FakeCall> Started(std::shared_ptr<FakeCall> call) {
    EXPECT_TRUE(Submit(call).ok());
    return call;
  }
  Scheduler& scheduler() {
    if (scheduler_ == nullptr) scheduler_ = std::make_unique<Scheduler>(options_);
    return *scheduler_;
  }
  // Starts a call and waits until its first step stands still, up to model_.fake->Release(). What
  // is submitted meanwhile waits for the next step.
  std::shared_ptr<FakeCall> StartHeld(std::shared_ptr<FakeCall> call) {
    model_.fake->Hold();
    Started(call);
    model_.fake->AwaitHeld();
    return call;
  }
  // A live call that has drawn its first token and cannot go on until can_advance is set.
  std::shared_ptr<FakeCall> StartParked() {
    auto call = MakeCall(8, 8);
    call->can_advance = false;
    Started(call);
    call->first_question.WaitForNotification();
    return call;
  }
  // Returns once a Drain has begun: new calls are refused.
  void AwaitDraining() {
    while (true) {
      const auto probe = MakeCall(1, 0);
      probe->stop->Cancel();
      if (absl::IsUnavailable(Submit(probe))) return;
    }
  }
  void ExpectAllFree() { EXPECT_EQ(model_.pool().free_pages(), model_.pool().total_pages()); }
  // Another call is answered as ever.
  void ExpectEngineGoesOn() {
    const auto call = Started(MakeCall(5, 4, 9));
    EXPECT_TRUE(call->Wait().ok()) << call->status;
    EXPECT_EQ(call->appended, FakeContinuation(call->prompt, 4));
    ExpectAllFree();
  }

  FakeServed model_ = ServeFake();
  FakeClock clock_;
  SchedulerOptions options_{.now = clock_.function()};
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace heed

#endif  // HEED_TESTS_SERVER_SCHEDULER_FIXTURE_H_
