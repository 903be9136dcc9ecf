#include "server/calls/reply_thread.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace heed {

ReplyThread::ReplyThread(absl::Duration look_interval)
    : look_interval_(look_interval), thread_([this] { Run(); }) {}

ReplyThread::~ReplyThread() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void ReplyThread::Post(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  work_.push_back(std::move(work));
}

void ReplyThread::Watch(std::weak_ptr<Watched> watched) {
  absl::MutexLock lock(&mutex_);
  watched_.push_back(std::move(watched));
}

void ReplyThread::Run() {
  const auto has_news = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !work_.empty();
  };
  absl::Time next_look = absl::Now() + look_interval_;
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithDeadline(absl::Condition(&has_news), next_look);
      if (!work_.empty()) {
        work = std::move(work_.front());
        work_.pop_front();
      } else if (stopping_) {
        return;
      }
    }
    if (work) work();
    const absl::Time now = absl::Now();
    if (now < next_look) continue;
    LookAtWatched(now);
    next_look = now + look_interval_;
  }
}

void ReplyThread::LookAtWatched(absl::Time now) {
  std::vector<std::shared_ptr<Watched>> alive;
  {
    absl::MutexLock lock(&mutex_);
    const auto gone = [&](const std::weak_ptr<Watched>& weak) {
      std::shared_ptr<Watched> watched = weak.lock();
      if (watched == nullptr) return true;
      alive.push_back(std::move(watched));
      return false;
    };
    watched_.erase(std::remove_if(watched_.begin(), watched_.end(), gone), watched_.end());
  }
  for (const std::shared_ptr<Watched>& watched : alive) watched->Look(now);
}

}  // namespace heed
