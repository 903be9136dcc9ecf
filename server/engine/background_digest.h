// A checkpoint's digest, computed on a thread of its own while the checkpoint is loaded: hashing
// takes about as long as packing the weights.
#ifndef HEED_SERVER_ENGINE_BACKGROUND_DIGEST_H_
#define HEED_SERVER_ENGINE_BACKGROUND_DIGEST_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <string>

#include "absl/status/statusor.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/checkpoint.h"

namespace heed {

class BackgroundDigest {
 public:
  // Begins at once. `checkpoint` must outlive this. std::system_error where no thread can be had.
  explicit BackgroundDigest(const Checkpoint& checkpoint);

  // Stops what is not finished.
  ~BackgroundDigest();
  BackgroundDigest(const BackgroundDigest&) = delete;
  BackgroundDigest& operator=(const BackgroundDigest&) = delete;

  // Once. Errors as Checkpoint::ComputeDigest. `progress`, which may be empty, is told on the
  // calling thread how many of the files' bytes are done, from time to time while it waits.
  absl::StatusOr<std::string> Wait(
      const std::function<void(int64_t done, int64_t total)>& progress);

 private:
  std::atomic<int64_t> done_{0}, total_{0};
  StopSignal stop_;
  std::future<absl::StatusOr<std::string>> result_;  // last: its thread uses the others
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_BACKGROUND_DIGEST_H_
