// The one thread that hands answers to gRPC, so that the engine thread never spends a step's time
// on it.
#ifndef HEED_SERVER_CALLS_REPLY_THREAD_H_
#define HEED_SERVER_CALLS_REPLY_THREAD_H_

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace heed {

// Something to be looked at now and then on the reply thread, as long as it lives.
class Watched {
 public:
  virtual ~Watched() = default;
  virtual void Look(absl::Time now) = 0;
};

// Thread-safe.
class ReplyThread {
 public:
  explicit ReplyThread(absl::Duration look_interval = absl::Seconds(1));
  // Runs all that was posted, then ends.
  ~ReplyThread();

  // Runs `work`, which must not block, in order.
  void Post(std::function<void()> work);

  void Watch(std::weak_ptr<Watched> watched);

 private:
  void Run();
  void LookAtWatched(absl::Time now);

  const absl::Duration look_interval_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> work_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Watched>> watched_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace heed

#endif  // HEED_SERVER_CALLS_REPLY_THREAD_H_
