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

// Candidates that are ordered by comparing each with all others.
constexpr int64_t kMostOrdered = 64;

// Consecutive keys of a row that have one factor.
constexpr int64_t kFactorKeys = 64;

// What the weights of a row are to be multiplied by: that of key j by at[j / kFactorKeys * stride],
// which is at[0] for all where the stride is 0.
struct KeyFactors {
  const float* at;
  int64_t stride;
};

static inline KeyFactors NoFactors() {
  static const float kOne = 1.0f;
  return {&kOne, 0};
}

static inline float FactorAt(KeyFactors factors, int64_t key) {
  return factors.at[key / kFactorKeys * factors.stride];
}

// One of several rows, and where its k largest weights, their keys and the sum of the others go:
// the largest first, of equal ones that with the smaller key. Where there are fewer than k, weights
// of 0 with the key -1 follow.
struct TopKRow {
  const float* weights;
  KeyFactors factors;
  int64_t n;
  float* out;
  int32_t* out_keys;
  float* dropped;
};

// Rows that are taken at once.
constexpr int64_t kTopKRows = 16;

// Weights must not be negative.
struct TopKKernels {
  // Writes the weights and keys of candidates, by ascending key, with TopKRoom(n) each, among which
  // are the k largest of the n weights; all of them when there are fewer.
  TopKCandidates (*find)(const float* weights, int64_t n, int64_t k, float* found, int32_t* keys);
  // Writes the weights and keys of the k largest of `count` candidates, at most kMostOrdered, with
  // ascending keys: the largest first, of equal ones that with the smaller key. Returns `dropped`
  // and the other candidates' weights, which it adds one by one, the largest first.
  double (*order)(const float* found, const int32_t* keys, int64_t count, int64_t k, double dropped,
                  float* out, int32_t* out_keys);
  // Takes up to kTopKRows rows, with the results of `find` and `order`, but not those for which
  // these are quicker or that have too many candidates. Bit r of what it returns: row r is done.
  // `found` and `keys` have TopKRoom of the longest.
  uint32_t (*take)(const TopKRow* rows, int64_t count, int64_t k, float* found, int32_t* keys);
};

// Numbers for which `find` and `take` need room, of rows of up to n weights.
constexpr int64_t TopKRoom(int64_t n) {
  return n + 16 + kTopKRows * 24;
}

// Those of each instruction set, and the best of this machine.
const TopKKernels& PortableTopK();
#if defined(__x86_64__)
const TopKKernels& Avx2TopK();
const TopKKernels& Avx512TopK();
#endif
const TopKKernels& BestTopK();

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_H_
