// The largest weights of a row: a short list of candidates, found at the speed of vectors.
//
// Included by the files of each instruction set, so C headers only (isa_kernels.h).
#ifndef HEED_MODEL_KERNELS_TOP_K_H_
#define HEED_MODEL_KERNELS_TOP_K_H_

#include <stdint.h>

namespace heed {

struct TopKCandidates {
  int64_t count;
  double dropped;  // sum of the weights that are no candidates
};

// Weights must not be negative.
struct TopKKernels {
  // Writes the keys of candidates, ascending, with room for n + 16, among which are the k largest
  // of the n weights; all of them when there are fewer.
  TopKCandidates (*find)(const float* weights, int64_t n, int64_t k, int32_t* keys);
  // Sorts n numbers, all different, the largest first. For few: it compares each with all others.
  void (*sort)(const uint64_t* numbers, int64_t n, uint64_t* sorted);
};

// Those of each instruction set, and the best of this machine.
const TopKKernels& PortableTopK();
#if defined(__x86_64__)
const TopKKernels& Avx2TopK();
const TopKKernels& Avx512TopK();
#endif
const TopKKernels& BestTopK();

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_H_
