// The threads that compute for a thread: each thread that asks for some has a team of its own.
#ifndef HEED_MODEL_KERNELS_PARALLEL_H_
#define HEED_MODEL_KERNELS_PARALLEL_H_

#include <algorithm>
#include <cstdint>

#include "absl/functional/function_ref.h"

namespace heed {

// Threads of the calling thread's team, itself among them: as many as OpenMP would take there, so
// that omp_set_num_threads and OMP_NUM_THREADS say how many. In an item, those of its team.
int64_t MaxThreads();

// Which of its team the calling thread is, in [0, MaxThreads()).
int64_t ThreadIndex();

// Calls fn(i) for i in [0, n), n below 2^31, on the calling thread and its team, whose threads look
// for work for some 250 us before they sleep; within an item of another call, on this thread alone.
// Each thread begins with an equal share of neighbouring items and goes on with what others have
// left: a few items for each make up for threads that come late or are slow. Throws what the first
// item to fail has thrown.
void RunOnTeam(int64_t n, absl::FunctionRef<void(int64_t)> fn);

// The same; `worth_it` false runs the items here: to wake a thread costs a few microseconds.
template <typename Fn>
void ParallelFor(int64_t n, bool worth_it, const Fn& fn) {
  if (worth_it && n > 1) return RunOnTeam(n, fn);
  for (int64_t i = 0; i < n; ++i) fn(i);
}

// The same in contiguous blocks of at least `grain` items, for items that are too small for a call
// each: fn(begin, end).
template <typename Fn>
void ParallelBlocks(int64_t n, int64_t grain, const Fn& fn) {
  if (n < 1) return;
  const int64_t most = n / std::max<int64_t>(grain, 1);
  const int64_t blocks = std::clamp<int64_t>(most, 1, MaxThreads());
  ParallelFor(blocks, true, [&](int64_t b) { fn(n * b / blocks, n * (b + 1) / blocks); });
}

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_PARALLEL_H_
