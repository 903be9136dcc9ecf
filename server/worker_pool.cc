#include "server/worker_pool.h"

#include <omp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {
namespace {

// Added to the process's own niceness; on Linux a thread has its own.
constexpr int kNiceness = 5;

}  // namespace

WorkerPool::WorkerPool(int threads, int64_t max_queued) : max_queued_(max_queued) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status WorkerPool::Post(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  if (static_cast<int64_t>(work_.size()) >= max_queued_) {
    return MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                     absl::StrCat(max_queued_,
                                  " reads of traces are waiting already, and no more may; try "
                                  "again later"),
                     {{"max_queued_reads", absl::StrCat(max_queued_)}});
  }
  work_.push_back(std::move(work));
  return absl::OkStatus();
}

void WorkerPool::Continue(std::function<void()> work) {
  absl::MutexLock lock(&mutex_);
  work_.push_back(std::move(work));
}

void WorkerPool::Run() {
  pthread_setname_np(pthread_self(), "heed-inspect");
  omp_set_num_threads(1);
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), getpriority(PRIO_PROCESS, 0) + kNiceness);
  while (true) {
    std::function<void()> work;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &WorkerPool::HasNews));
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
}

}  // namespace heed
