// The bodies of TopKKernels, once for each instruction set. Loops without branches, most of them
// for the compiler to make vectors of.
#ifndef HEED_MODEL_KERNELS_TOP_K_IMPL_H_
#define HEED_MODEL_KERNELS_TOP_K_IMPL_H_

#include <string.h>

#include "model/kernels/top_k.h"

namespace heed {
namespace {

// Numbers that are not negative order as their bits do.
inline int32_t BitsOf(float weight) {
  int32_t bits;
  memcpy(&bits, &weight, sizeof(bits));
  return bits;
}

// A weight that at least k weights reach, and not many more: keys are dealt out to lanes, and k
// lanes' maxima are k different weights. The bound is the k-th largest of them, to within 3 %, by
// halving an interval of bits: a count has no branches to mispredict. 1 <= k <= kCount <= n.
template <int kCount>
float LaneBound(const float* weights, int64_t n, int64_t k) {
  float max[kCount];
  memcpy(max, weights, sizeof(max));
  int64_t key = kCount;
  for (; key + kCount <= n; key += kCount) {
    for (int i = 0; i < kCount; ++i) {
      max[i] = weights[key + i] > max[i] ? weights[key + i] : max[i];
    }
  }
  for (int i = 0; key + i < n; ++i) {
    max[i] = weights[key + i] > max[i] ? weights[key + i] : max[i];
  }
  int32_t bits[kCount];
  int32_t low = 0x7f7fffff, high = 0;
  for (int i = 0; i < kCount; ++i) {
    bits[i] = BitsOf(max[i]);
    low = bits[i] < low ? bits[i] : low;
    high = bits[i] > high ? bits[i] : high;
  }
  while (high - low > 1 << 18) {
    const int32_t middle = low + (high - low) / 2;
    int32_t count = 0;
    for (int i = 0; i < kCount; ++i) count += bits[i] >= middle;
    low = count >= k ? middle : low;
    high = count >= k ? high : middle;
  }
  float bound;
  memcpy(&bound, &low, sizeof(bound));
  return bound;
}

float TopKBound(const float* weights, int64_t n, int64_t k) {
  if (n >= 128 && k <= 32) return LaneBound<64>(weights, n, k);
  if (n >= 32 && k <= 16) return LaneBound<32>(weights, n, k);
  return 0;  // all of them
}

// The keys of the weights that reach the bound; returns how many.
int64_t KeysFrom(const float* weights, int64_t n, float bound, int32_t* keys) {
  int64_t key = 0, count = 0;
#if defined(__AVX512F__)
  __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (; key + 16 <= n; key += 16) {
    const __mmask16 reached =
        _mm512_cmp_ps_mask(_mm512_loadu_ps(weights + key), _mm512_set1_ps(bound), _CMP_GE_OQ);
    _mm512_storeu_si512(keys + count, _mm512_maskz_compress_epi32(reached, places));
    count += __builtin_popcount(reached);
    places = _mm512_add_epi32(places, _mm512_set1_epi32(16));
  }
#endif
  for (; key < n; ++key) {
    keys[count] = (int32_t)key;
    count += weights[key] >= bound;
  }
  return count;
}

// Sum of the weights that do not reach the bound: runs in single precision, their sums in double.
double SumBelow(const float* weights, int64_t n, float bound) {
  constexpr int64_t kRun = 256;
  const F32x16 limit = F32x16::Broadcast(bound), zero = F32x16::Broadcast(0.0f);
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = n - begin < kRun ? n : begin + kRun;
    F32x16 sum = zero;
    for (int64_t key = begin; key < end; key += 16) {
      const F32x16 some = end - key < 16 ? F32x16::LoadPartial(weights + key, end - key)
                                         : F32x16::Load(weights + key);
      sum = sum + IfNegative(some - limit, some, zero);
    }
    total += ReduceAdd(sum);
  }
  return total;
}

TopKCandidates FindTopK(const float* weights, int64_t n, int64_t k, int32_t* keys) {
  const float bound = TopKBound(weights, n, k);
  return {KeysFrom(weights, n, bound, keys), SumBelow(weights, n, bound)};
}

void SortDescending(const uint64_t* numbers, int64_t n, uint64_t* sorted) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t place = 0;
    for (int64_t j = 0; j < n; ++j) place += numbers[j] > numbers[i];
    sorted[place] = numbers[i];
  }
}

constexpr TopKKernels kTopK = {FindTopK, SortDescending};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_IMPL_H_
