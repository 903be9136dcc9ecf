// A few threads for work that is neither the engine's nor gRPC's: reading traces.
#ifndef HEED_SERVER_ENGINE_WORKER_POOL_H_
#define HEED_SERVER_ENGINE_WORKER_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace heed {

// What a piece of work is, as far as waiting goes.
struct WorkKind {
  // Clients take turns, however much each of them has waiting.
  std::string client;
  // Long pieces leave a thread for the others, if there is more than one.
  bool is_long = false;
};

// Work of so many floating-point operations is long: a tenth of a second of one core.
inline constexpr double kLongFlops = 2e9;

// Thread-safe. The threads yield to the engine: they have a lower priority. Work that begins while
// no other runs computes with a team (parallel.h), in place of the threads that have nothing to do;
// all else computes on its own thread alone.
class WorkerPool {
 public:
  // The first two at least 1. `max_queued`: pieces of work that may wait. `team`: threads of a
  // team; 0: as many as the calling thread's has. No more than `threads` are taken.
  WorkerPool(int threads, int64_t max_queued, int team = 1);
  // Runs what was posted, then ends.
  ~WorkerPool();

  // Runs `work` on one of the threads, after what the client posted before of the same kind.
  // RESOURCE_EXHAUSTED (QUEUE_FULL).
  absl::Status Post(std::function<void()> work, const WorkKind& kind = {});

  // The same for the next piece of something that was begun: a full queue does not refuse it.
  void Continue(std::function<void()> work, const WorkKind& kind = {});

 private:
  // Work of one length: the clients' turns.
  class Queue {
   public:
    void Push(const std::string& client, std::function<void()> work);
    std::function<void()> Pop();
    bool empty() const { return turns_.empty(); }

   private:
    std::deque<std::string> turns_;  // clients with something waiting
    std::map<std::string, std::deque<std::function<void()>>> waiting_;
  };

  void Run(bool is_first);
  void Push(std::function<void()> work, const WorkKind& kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a thread that is free should take something long, or may take anything at all.
  bool TakesLong() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !short_.empty() || TakesLong() || (stopping_ && long_.empty());
  }
  // The first thread takes what it can, so that it alone ever needs a team.
  bool HasNewsForOthers() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !is_first_free_ && HasNews();
  }

  const int threads_count_;
  const int64_t max_queued_;
  const int team_;
  absl::Mutex mutex_;
  Queue short_ ABSL_GUARDED_BY(mutex_);
  Queue long_ ABSL_GUARDED_BY(mutex_);
  int64_t queued_ ABSL_GUARDED_BY(mutex_) = 0;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_first_free_ ABSL_GUARDED_BY(mutex_) = true;
  int running_long_ ABSL_GUARDED_BY(mutex_) = 0;
  bool last_was_long_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_WORKER_POOL_H_
