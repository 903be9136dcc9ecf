// F32x16 as one AVX-512 register. See vector_portable.h for the contracts.
#ifndef HEED_MODEL_KERNELS_VECTOR_AVX512_H_
#define HEED_MODEL_KERNELS_VECTOR_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/vector_avx512_reduce.h"

namespace heed {
namespace {

inline __mmask16 FirstLanes(int64_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff)
                 : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1u);
}

// F32x16s whose sums stay in registers.
constexpr int kSumVectors = 24;

struct F32x16 {
  __m512 v;

  static F32x16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static F32x16 LoadPartial(const float* p, int64_t n) {
    return {_mm512_maskz_loadu_ps(FirstLanes(n), p)};
  }
  static F32x16 Broadcast(float x) { return {_mm512_set1_ps(x)}; }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StorePartial(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, FirstLanes(n), v); }
};

inline F32x16 operator+(F32x16 a, F32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline F32x16 operator-(F32x16 a, F32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline F32x16 operator*(F32x16 a, F32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline F32x16 operator/(F32x16 a, F32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline F32x16 MulAdd(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline F32x16 Min(F32x16 a, F32x16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
inline F32x16 Abs(F32x16 a) {
  return {_mm512_abs_ps(a.v)};
}
inline F32x16 CopySign(F32x16 a, F32x16 s) {
  const __m512 sign = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(sign, a.v), _mm512_and_ps(sign, s.v))};
}
inline F32x16 IfNegative(F32x16 x, F32x16 a, F32x16 b) {
  const __mmask16 negative = _mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ);
  return {_mm512_mask_mov_ps(b.v, negative, a.v)};
}
inline F32x16 Round(F32x16 a) {
  return {_mm512_roundscale_ps(a.v, 0)};
}
inline F32x16 Pow2(F32x16 n) {
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
inline F32x16 KeepFirst(F32x16 a, int64_t n, float fill) {
  return {_mm512_mask_mov_ps(_mm512_set1_ps(fill), FirstLanes(n), a.v)};
}
inline F32x16 KeepFrom(F32x16 a, int64_t n, float fill) {
  return {_mm512_mask_mov_ps(a.v, FirstLanes(n), _mm512_set1_ps(fill))};
}

// 16 numbers of fewer bits, exactly.
inline F32x16 LoadHalf(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
inline F32x16 LoadInt8(const void* p) {
  return {
      _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
// To the nearest, ties to even; |a| <= 127 for the integers.
inline void StoreHalf(F32x16 a, void* p) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline void StoreInt8(F32x16 a, void* p) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

inline float ReduceMax(F32x16 a) {
  return _mm512_reduce_max_ps(a.v);
}

template <int kRows>
inline F32x16 ReduceMaxOfEach(const F32x16 (&rows)[kRows]) {
  __m512i lanes[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) lanes[r] = _mm512_castps_si512(rows[r].v);
  const auto larger = [](__m512i a, __m512i b) {
    return _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
  };
  return {_mm512_castsi512_ps(ReduceEach(lanes, larger))};
}

inline float ReduceAdd(F32x16 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline void Transpose16(const float* from, int64_t stride, __m512 (&to)[16]) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(from + i * stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(b[i + j]), high = _mm512_castps_pd(b[i + j + 2]);
      a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  // Quarter q of a[i + c]: rows i to i + 3 of column 4 * q + c.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512 even = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
    const __m512 odd = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
    const __m512 even_below = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    const __m512 odd_below = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
    to[c] = _mm512_shuffle_f32x4(even, even_below, 0x88);
    to[4 + c] = _mm512_shuffle_f32x4(odd, odd_below, 0x88);
    to[8 + c] = _mm512_shuffle_f32x4(even, even_below, 0xdd);
    to[12 + c] = _mm512_shuffle_f32x4(odd, odd_below, 0xdd);
  }
}

inline void Transpose16(const float* from, int64_t stride, float* to) {
  __m512 columns[16];
  Transpose16(from, stride, columns);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_ps(to + i * 16, columns[i]);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_VECTOR_AVX512_H_
