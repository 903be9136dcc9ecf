// IntKernels::quantize for AVX-512: a row's groups several at a time, so that neither what is found
// over the lanes of a register nor a division keeps the next group waiting. The rules of
// isa_kernels.h hold here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_AVX512_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/vector_avx512.h"

namespace heed {
namespace {

// Groups whose largest magnitudes, or sums, are found together; and those that get scales before
// the first of them is rounded.
constexpr int kGroupsTogether = 8;
constexpr int kGroupsAtOnce = 64;

// Some groups of a row.
struct GroupedRow {
  const float* x;
  int64_t n;
  int64_t group;

  bool Has(int64_t g) const { return g * group < n; }
  const float* At(int64_t g) const { return x + g * group; }
  // None behind the end; at most 0 behind the last group.
  int64_t ElementsOf(int64_t g) const { return n - g * group < group ? n - g * group : group; }
};

// The largest magnitudes of n elements, of every sixteenth in each lane; NaN or infinity where an
// element is not finite. Magnitudes compare as their bits do, and what is no number is larger than
// all.
inline __m512i LargestLanes(const float* x, int64_t n) {
  const auto larger = [](__m512i most, __m512 some) {
    return _mm512_max_epi32(most, _mm512_castps_si512(_mm512_abs_ps(some)));
  };
  __m512i most = _mm512_setzero_si512();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most = larger(most, _mm512_loadu_ps(x + i));
  if (i < n) most = larger(most, _mm512_maskz_loadu_ps(FirstLanes(n - i), x + i));
  return most;
}

// The scales of the groups from `first` on, and what their elements are multiplied by.
inline void SetScales(const GroupedRow& row, int64_t first, float* scale, float* factors) {
  __m512i lanes[kGroupsTogether];
#pragma GCC unroll 8
  for (int i = 0; i < kGroupsTogether; ++i) {
    lanes[i] = LargestLanes(row.At(first + i), row.ElementsOf(first + i));
  }
  const auto larger = [](__m512i a, __m512i b) { return _mm512_max_epi32(a, b); };
  const __m512 largest = _mm512_castsi512_ps(ReduceEach(lanes, larger));
  const __m512 unit = _mm512_set1_ps(127.0f), nan = _mm512_set1_ps(__builtin_nanf(""));
  const __mmask16 is_finite =
      _mm512_cmp_ps_mask(largest, _mm512_set1_ps(kLargestFinite), _CMP_LE_OQ);
  const __mmask16 is_some =
      _mm512_mask_cmp_ps_mask(is_finite, largest, _mm512_set1_ps(kLeastActivation), _CMP_GE_OQ);
  alignas(64) float scales[16], own_factors[16];
  _mm512_store_ps(scales, _mm512_mask_div_ps(nan, is_finite, largest, unit));
  _mm512_store_ps(own_factors, _mm512_maskz_div_ps(is_some, unit, largest));
#pragma GCC unroll 8
  for (int i = 0; i < kGroupsTogether; ++i) {
    factors[first + i] = own_factors[i];
    if (row.Has(first + i)) scale[(first + i) * kMaxIntTileRows] = scales[i];
  }
}

inline void StoreFour(int32_t four, int8_t* q) {
  __builtin_memcpy(q, &four, sizeof four);
}

// q of 16 elements to their places; returns sum + q.
inline __m512i RoundSome(__m512 x, __m512 factor, __m512i sum, int8_t* q) {
  const __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(x, factor));
  const __m128i bytes = _mm512_cvtepi32_epi8(integers);
  StoreFour(_mm_extract_epi32(bytes, 0), q);
  StoreFour(_mm_extract_epi32(bytes, 1), q + kStepActivations);
  StoreFour(_mm_extract_epi32(bytes, 2), q + 2 * kStepActivations);
  StoreFour(_mm_extract_epi32(bytes, 3), q + 3 * kStepActivations);
  return _mm512_add_epi32(sum, integers);
}

// q of n elements, filled up to `padded`, a multiple of 16; returns the lanes of their sum.
inline __m512i RoundGroup(const float* x, float factor, int64_t n, int64_t padded, int8_t* q) {
  const __m512 factors = _mm512_set1_ps(factor);
  __m512i sum = _mm512_setzero_si512();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16, q += 4 * kStepActivations) {
    sum = RoundSome(_mm512_loadu_ps(x + i), factors, sum, q);
  }
  for (; i < padded; i += 16, q += 4 * kStepActivations) {
    sum = RoundSome(_mm512_maskz_loadu_ps(FirstLanes(n - i), x + i), factors, sum, q);
  }
  return sum;
}

// The groups from `first` on. Of an element that is not finite, whose factor is 0, -2^31 is made:
// of that no bit is left in q, nor, times a `zero` that is even, in `start`.
inline void RoundGroups(const GroupedRow& row, int64_t first, int32_t zero, const float* factors,
                        int8_t* q, int32_t* start) {
  __m512i lanes[kGroupsTogether];
#pragma GCC unroll 8
  for (int i = 0; i < kGroupsTogether; ++i) {
    const int64_t g = first + i, padded = row.Has(g) ? row.group : 0;
    lanes[i] = RoundGroup(row.At(g), factors[g], row.ElementsOf(g), padded,
                          q + g * row.group * kMaxIntTileRows);
  }
  const auto add = [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); };
  alignas(64) int32_t starts[16];
  _mm512_store_si512(starts, _mm512_mullo_epi32(ReduceEach(lanes, add), _mm512_set1_epi32(-zero)));
#pragma GCC unroll 8
  for (int i = 0; i < kGroupsTogether; ++i) {
    if (row.Has(first + i)) start[(first + i) * kMaxIntTileRows] = starts[i];
  }
}

// kGroup: 0, or what the group is, for the compiler to unroll by.
template <int64_t kGroup>
void QuantizeGroups(const float* x, int64_t n, int64_t group, int32_t zero, int8_t* q, float* scale,
                    int32_t* start) {
  if (kGroup > 0) group = kGroup;
  const int64_t at_once = kGroupsAtOnce * group;
  for (; n > 0; n -= at_once, x += at_once) {
    const GroupedRow row = {x, n < at_once ? n : at_once, group};
    float factors[kGroupsAtOnce];
    for (int64_t g = 0; row.Has(g); g += kGroupsTogether) SetScales(row, g, scale, factors);
    for (int64_t g = 0; row.Has(g); g += kGroupsTogether) {
      RoundGroups(row, g, zero, factors, q, start);
    }
    q += at_once * kMaxIntTileRows;
    scale += kGroupsAtOnce * kMaxIntTileRows;
    start += kGroupsAtOnce * kMaxIntTileRows;
  }
}

void Quantize(const float* x, int64_t n, int64_t group, int32_t zero, int8_t* q, float* scale,
              int32_t* start) {
  const auto quantize = group == 32   ? QuantizeGroups<32>
                        : group == 64 ? QuantizeGroups<64>
                                      : QuantizeGroups<0>;
  quantize(x, n, group, zero, q, scale, start);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_AVX512_H_
