// The integer kernels of 256 bits, but for how bytes are multiplied. The rules of isa_kernels.h
// hold here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_spread.h"
#include "model/kernels/vector_avx2.h"

#include "model/kernels/int_tile_impl.h"

namespace heed {
namespace {

inline __m256i LoadBytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// What every Dot of int_tile_impl.h has in common here.
struct Dot256 {
  static constexpr int kCols = 8;
  using Sums = __m256i;

  static Sums Start(int32_t start) { return _mm256_set1_epi32(start); }
  static F32x16 ToFloats(const Sums* sums) {
    return {_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])};
  }
};

// Of all lanes.
template <typename Combine>
inline int32_t Reduce(__m256i v, const Combine& combine) {
  const __m128i four = combine(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i two = combine(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(combine(two, _mm_shuffle_epi32(two, 0xb1)));
}

// Those behind the end are 0.
inline __m256 LoadEight(const float* x, int64_t n) {
  return n >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, FirstLanes(n));
}

// The group's largest magnitude; NaN or infinity where an element is not finite. Magnitudes compare
// as their bits do, and what is no number is larger than all.
inline float LargestOf(const float* x, int64_t n) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256i most = _mm256_setzero_si256();
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 some = _mm256_andnot_ps(sign, LoadEight(x + i, n - i));
    most = _mm256_max_epi32(most, _mm256_castps_si256(some));
  }
  const int32_t bits = Reduce(most, [](__m128i a, __m128i b) { return _mm_max_epi32(a, b); });
  float largest;
  __builtin_memcpy(&largest, &bits, sizeof largest);
  return largest;
}

// q of one group of n elements, filled up to `padded`; returns their sum.
inline int32_t RoundGroup(const float* x, float factor, int64_t n, int64_t padded, int8_t* q) {
  const __m256 factors = _mm256_set1_ps(factor);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < padded; i += 8, q += 2 * kStepActivations) {
    const __m256 scaled = _mm256_mul_ps(LoadEight(x + i, n - i), factors);
    sum = _mm256_add_epi32(sum, _mm256_cvtps_epi32(scaled));
    const __m128i bytes = LowBytes(scaled);
    _mm_storeu_si32(q, bytes);
    _mm_storeu_si32(q + kStepActivations, _mm_srli_si128(bytes, kDotWidth));
  }
  return Reduce(sum, [](__m128i a, __m128i b) { return _mm_add_epi32(a, b); });
}

// The Hadamard matrix of 8 times x: in each step, of pairs of lanes the sum, and in the second of a
// pair the difference.
inline __m256 AddLanes(__m256 x) {
  x = _mm256_fmadd_ps(x, _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1), _mm256_permute_ps(x, 0xb1));
  x = _mm256_fmadd_ps(x, _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1), _mm256_permute_ps(x, 0x4e));
  return _mm256_fmadd_ps(x, _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1),
                         _mm256_permute2f128_ps(x, x, 1));
}

inline void SpreadOne(const float* x, float* out) {
  constexpr int kParts = kSpreadGroup / 8;
  __m256 v[kParts];
#pragma GCC unroll 8
  for (int i = 0; i < kParts; ++i) {
    const __m256 factors = _mm256_load_ps(kSpreadFactors.values + 8 * i);
    v[i] = AddLanes(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), factors));
  }
#pragma GCC unroll 8
  for (int apart = 1; apart < kParts; apart *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kParts; ++i) {
      if ((i & apart) != 0) continue;
      const __m256 a = v[i], b = v[i + apart];
      v[i] = _mm256_add_ps(a, b);
      v[i + apart] = _mm256_sub_ps(a, b);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kParts; ++i) _mm256_storeu_ps(out + 8 * i, v[i]);
}

template <typename Dot8, typename Dot4>
constexpr IntKernels kKernelsOf = {.bf16 = nullptr,
                                   .tile8 = Tile<Dot8>,
                                   .tile4 = Tile<Dot4>,
                                   .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                   .spread = SpreadRow<SpreadOne>,
                                   .round_weights = RoundWeights};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_
