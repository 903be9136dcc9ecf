// Ends calls early from another thread.
#ifndef HEED_CLIENT_CANCEL_TOKEN_H_
#define HEED_CLIENT_CANCEL_TOKEN_H_

#include <cstdint>
#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace heed {
inline namespace client {

// Hand it to any number of calls through CallOptions::cancel, and Cancel() ends them all, and those
// that begin later, with CANCELLED; the server stops working on them. Must outlive the calls and
// readers it was given to. Thread-safe; but it takes a lock, so a signal handler must wake a thread
// that calls Cancel() rather than call it itself.
class CancelToken {
 public:
  CancelToken() = default;
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;

  void Cancel();
  bool cancelled() const;
  // Whether a call or reader is tied to this token now.
  bool in_use() const;

  // For the client itself. Runs `action` on Cancel(), or at once when that has happened; returns a
  // key for Remove, after which `action` is not running and will not run.
  int64_t Add(std::function<void()> action);
  void Remove(int64_t key);

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t next_key_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int64_t, std::function<void()>> actions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_CANCEL_TOKEN_H_
