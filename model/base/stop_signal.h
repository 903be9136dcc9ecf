// How a running call learns that nobody waits for it any more.
#ifndef HEED_MODEL_BASE_STOP_SIGNAL_H_
#define HEED_MODEL_BASE_STOP_SIGNAL_H_

#include <atomic>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace heed {

// Shared by the thread that cancels and the engine that looks between layers. Thread-safe.
class StopSignal {
 public:
  explicit StopSignal(absl::Time deadline = absl::InfiniteFuture()) : deadline_(deadline) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  absl::Time deadline() const { return deadline_; }

  // OK while the call is wanted; else CANCELLED or DEADLINE_EXCEEDED.
  absl::Status Check() const {
    if (cancelled_.load(std::memory_order_relaxed)) {
      return absl::CancelledError("the caller cancelled the call");
    }
    if (deadline_ != absl::InfiniteFuture() && absl::Now() >= deadline_) {
      return absl::DeadlineExceededError("the call's deadline passed before it was done");
    }
    return absl::OkStatus();
  }
  bool ShouldStop() const { return !Check().ok(); }

 private:
  std::atomic<bool> cancelled_{false};
  const absl::Time deadline_;
};

// Of a call that may have none to look at.
inline absl::Status CheckStop(const StopSignal* stop) {
  return stop == nullptr ? absl::OkStatus() : stop->Check();
}

}  // namespace heed

#endif  // HEED_MODEL_BASE_STOP_SIGNAL_H_
