// A few threads for work that is neither the engine's nor gRPC's: reading traces.
#ifndef HEED_SERVER_WORKER_POOL_H_
#define HEED_SERVER_WORKER_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace heed {

// Thread-safe. The threads yield to the engine: they have a lower priority, and what they call does
// not start OpenMP teams of its own.
class WorkerPool {
 public:
  // Both at least 1. `max_queued`: pieces of work that may wait.
  WorkerPool(int threads, int64_t max_queued);
  // Runs what was posted, then ends.
  ~WorkerPool();

  // Runs `work` on one of the threads, in order of arrival. RESOURCE_EXHAUSTED (QUEUE_FULL).
  absl::Status Post(std::function<void()> work);

  // The same for the next piece of something that was begun: a full queue does not refuse it.
  void Continue(std::function<void()> work);

 private:
  void Run();
  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !work_.empty() || stopping_; }

  const int64_t max_queued_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace heed

#endif  // HEED_SERVER_WORKER_POOL_H_
