#include "model/kernels/parallel.h"

#include <omp.h>
#include <pthread.h>

#include <memory>
#include <thread>
#include <vector>

#include "model/kernels/team.h"

namespace heed {
namespace {

thread_local int64_t thread_index = 0;
thread_local bool is_in_item = false;  // what it calls runs on it alone

// A team with its helpers' threads.
class Threads {
 public:
  explicit Threads(int64_t count) : count_(count), team_(count) {
    for (int64_t i = 1; i < count; ++i) helpers_.emplace_back([this, i] { Help(i); });
  }
  ~Threads() {
    team_.Dismiss();
    for (std::thread& helper : helpers_) helper.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int64_t count() const { return count_; }
  Team& team() { return team_; }

 private:
  void Help(int64_t index) {
    pthread_setname_np(pthread_self(), "heed-compute");
    omp_set_num_threads(static_cast<int>(count_));  // MaxThreads of what it is given to do
    thread_index = index;
    is_in_item = true;
    team_.Help(index);
  }

  const int64_t count_;
  Team team_;
  std::vector<std::thread> helpers_;
};

Team& MyTeam() {
  thread_local std::unique_ptr<Threads> threads;
  if (threads == nullptr || threads->count() != MaxThreads()) {
    threads.reset();
    threads = std::make_unique<Threads>(MaxThreads());
  }
  return threads->team();
}

class ScopedItems {
 public:
  ScopedItems() { is_in_item = true; }
  ~ScopedItems() { is_in_item = false; }
  ScopedItems(const ScopedItems&) = delete;
  ScopedItems& operator=(const ScopedItems&) = delete;
};

}  // namespace

int64_t MaxThreads() {
  return omp_get_max_threads();
}

int64_t ThreadIndex() {
  return thread_index;
}

void RunOnTeam(int64_t n, absl::FunctionRef<void(int64_t)> fn) {
  if (is_in_item || MaxThreads() < 2) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
  Team& team = MyTeam();
  const ScopedItems items;
  team.Run(n, fn);
}

}  // namespace heed
