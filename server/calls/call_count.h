// How many calls are in progress.
#ifndef HEED_SERVER_CALLS_CALL_COUNT_H_
#define HEED_SERVER_CALLS_CALL_COUNT_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace heed {

// Thread-safe.
class CallCount {
 public:
  // One call, as long as this lives.
  class Hold {
   public:
    explicit Hold(CallCount* count) : count_(count) { count_->Add(1); }
    ~Hold() { count_->Add(-1); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    CallCount* const count_;
  };

  int64_t value() const {
    absl::MutexLock lock(&mutex_);
    return value_;
  }

  // Returns when there are none, or at the deadline.
  void AwaitNone(absl::Time deadline) const {
    const auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return value_ == 0; };
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&none), deadline);
  }

 private:
  void Add(int64_t n) {
    absl::MutexLock lock(&mutex_);
    value_ += n;
  }

  mutable absl::Mutex mutex_;
  int64_t value_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace heed

#endif  // HEED_SERVER_CALLS_CALL_COUNT_H_
