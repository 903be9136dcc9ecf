#include "client/cancel_token.h"

#include <utility>

namespace heed {
inline namespace client {

void CancelToken::Cancel() {
  absl::MutexLock lock(&mutex_);
  if (cancelled_) return;
  cancelled_ = true;
  for (auto& [key, action] : actions_) action();
}

bool CancelToken::cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

bool CancelToken::in_use() const {
  absl::MutexLock lock(&mutex_);
  return !actions_.empty();
}

int64_t CancelToken::Add(std::function<void()> action) {
  absl::MutexLock lock(&mutex_);
  if (cancelled_) action();
  const int64_t key = next_key_++;
  actions_.emplace(key, std::move(action));
  return key;
}

void CancelToken::Remove(int64_t key) {
  absl::MutexLock lock(&mutex_);
  actions_.erase(key);
}

}  // namespace client
}  // namespace heed
