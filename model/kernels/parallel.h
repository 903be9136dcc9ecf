// The one thread team: OpenMP's, which the distribution's oneDNN uses too.
#ifndef HEED_MODEL_KERNELS_PARALLEL_H_
#define HEED_MODEL_KERNELS_PARALLEL_H_

#include <omp.h>

#include <cstdint>

namespace heed {

// Threads of the calling thread's team.
inline int64_t MaxThreads() {
  return omp_get_max_threads();
}

// Calls fn(i) for i in [0, n), in any order, on the calling thread's OpenMP team. `worth_it` false
// runs them here: a team costs a few microseconds. fn must not throw.
template <typename Fn>
void ParallelFor(int64_t n, bool worth_it, const Fn& fn) {
  if (!worth_it || n < 2) {
    for (int64_t i = 0; i < n; ++i) fn(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < n; ++i) fn(i);
}

// The same in contiguous blocks of at least `grain` items, for items that are too small for a call
// each: fn(begin, end).
template <typename Fn>
void ParallelBlocks(int64_t n, int64_t grain, const Fn& fn) {
  const int64_t threads = MaxThreads();
  int64_t blocks = n / (grain < 1 ? 1 : grain);
  if (blocks > threads) blocks = threads;
  if (blocks < 2) {
    if (n > 0) fn(int64_t{0}, n);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < blocks; ++b) fn(n * b / blocks, n * (b + 1) / blocks);
}

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_PARALLEL_H_
