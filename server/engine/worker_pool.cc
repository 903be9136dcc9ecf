#include "server/engine/worker_pool.h"

#include <omp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {
namespace {

// Added to the process's own niceness; on Linux a thread has its own.
constexpr int kNiceness = 5;

}  // namespace

void WorkerPool::Queue::Push(const std::string& client, std::function<void()> work) {
  auto& own = waiting_[client];
  if (own.empty()) turns_.push_back(client);
  own.push_back(std::move(work));
}

std::function<void()> WorkerPool::Queue::Pop() {
  const std::string client = std::move(turns_.front());
  turns_.pop_front();
  const auto own = waiting_.find(client);
  std::function<void()> work = std::move(own->second.front());
  own->second.pop_front();
  if (own->second.empty()) {
    waiting_.erase(own);
  } else {
    turns_.push_back(client);
  }
  return work;
}

WorkerPool::WorkerPool(int threads, int64_t max_queued, int team)
    : threads_count_(threads),
      max_queued_(max_queued),
      team_(std::min(team > 0 ? team : omp_get_max_threads(), threads)) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Run(i == 0); });
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status WorkerPool::Post(std::function<void()> work, const WorkKind& kind) {
  absl::MutexLock lock(&mutex_);
  if (queued_ >= max_queued_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                     absl::StrCat(max_queued_,
                                  " reads of traces are waiting already, and no more may; try "
                                  "again later"),
                     {{"max_queued_reads", absl::StrCat(max_queued_)}});
  }
  Push(std::move(work), kind);
  return absl::OkStatus();
}

void WorkerPool::Continue(std::function<void()> work, const WorkKind& kind) {
  absl::MutexLock lock(&mutex_);
  Push(std::move(work), kind);
}

void WorkerPool::Push(std::function<void()> work, const WorkKind& kind) {
  (kind.is_long ? long_ : short_).Push(kind.client, std::move(work));
  ++queued_;
}

// One thread at least goes on with long work, and one at least with short; a single one does both
// in turn.
bool WorkerPool::TakesLong() const {
  if (long_.empty() || running_long_ >= std::max(1, threads_count_ - 1)) return false;
  if (short_.empty()) return true;
  return running_long_ == 0 && (threads_count_ > 1 || !last_was_long_);
}

void WorkerPool::Run(bool is_first) {
  pthread_setname_np(pthread_self(), "heed-inspect");
  // Helpers of its team take the priority over.
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), getpriority(PRIO_PROCESS, 0) + kNiceness);
  while (true) {
    std::function<void()> work;
    bool is_long = false, is_alone = false;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(
          absl::Condition(this, is_first ? &WorkerPool::HasNews : &WorkerPool::HasNewsForOthers));
      if (is_first) is_first_free_ = false;
      is_long = TakesLong();
      if (!is_long && short_.empty()) return;
      work = (is_long ? long_ : short_).Pop();
      last_was_long_ = is_long;
      running_long_ += is_long ? 1 : 0;
      is_alone = running_++ == 0;
      --queued_;
    }
    omp_set_num_threads(is_alone ? team_ : 1);
    work();
    absl::MutexLock lock(&mutex_);
    --running_;
    is_first_free_ |= is_first;
    running_long_ -= is_long ? 1 : 0;
  }
}

}  // namespace heed
