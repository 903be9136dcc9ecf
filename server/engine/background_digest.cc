#include "server/engine/background_digest.h"

#include <chrono>

namespace heed {

BackgroundDigest::BackgroundDigest(const Checkpoint& checkpoint)
    : result_(std::async(std::launch::async, [this, &checkpoint] {
        const auto note = [this](int64_t done, int64_t total) {
          done_.store(done, std::memory_order_relaxed);
          total_.store(total, std::memory_order_relaxed);
        };
        return checkpoint.ComputeDigest(note, stop_);
      })) {}

BackgroundDigest::~BackgroundDigest() {
  stop_.Cancel();
}

absl::StatusOr<std::string> BackgroundDigest::Wait(
    const std::function<void(int64_t done, int64_t total)>& progress) {
  while (result_.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (progress) progress(done_.load(), total_.load());
  }
  return result_.get();
}

}  // namespace heed
