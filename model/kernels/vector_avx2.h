// F32x16 as two AVX2 registers. See vector_portable.h for the contracts.
#ifndef HEED_MODEL_KERNELS_VECTOR_AVX2_H_
#define HEED_MODEL_KERNELS_VECTOR_AVX2_H_

#include <immintrin.h>
#include <stdint.h>

namespace heed {
namespace {

// All bits set in lanes [0, n) of eight; n may be outside 0..8.
inline __m256i FirstLanes(int64_t n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int clamped = n < 0 ? 0 : (n > 8 ? 8 : static_cast<int>(n));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(clamped), index);
}

// F32x16s whose sums stay in registers.
constexpr int kSumVectors = 6;

struct F32x16 {
  __m256 lo, hi;

  static F32x16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F32x16 LoadPartial(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, FirstLanes(n)), _mm256_maskload_ps(p + 8, FirstLanes(n - 8))};
  }
  static F32x16 Broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  void Store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  void StorePartial(float* p, int64_t n) const {
    _mm256_maskstore_ps(p, FirstLanes(n), lo);
    _mm256_maskstore_ps(p + 8, FirstLanes(n - 8), hi);
  }
};

inline F32x16 operator+(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline F32x16 operator-(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline F32x16 operator*(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline F32x16 operator/(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline F32x16 MulAdd(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32x16 Max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
inline F32x16 Min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
inline F32x16 Abs(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline F32x16 CopySign(F32x16 a, F32x16 s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.lo), _mm256_and_ps(sign, s.lo)),
          _mm256_or_ps(_mm256_andnot_ps(sign, a.hi), _mm256_and_ps(sign, s.hi))};
}
inline F32x16 IfNegative(F32x16 x, F32x16 a, F32x16 b) {
  return {_mm256_blendv_ps(b.lo, a.lo, x.lo), _mm256_blendv_ps(b.hi, a.hi, x.hi)};
}
inline F32x16 Round(F32x16 a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, kNearest), _mm256_round_ps(a.hi, kNearest)};
}
inline __m256 Pow2Half(__m256 n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
inline F32x16 Pow2(F32x16 n) {
  return {Pow2Half(n.lo), Pow2Half(n.hi)};
}
inline F32x16 KeepFirst(F32x16 a, int64_t n, float fill) {
  const __m256 other = _mm256_set1_ps(fill);
  return {_mm256_blendv_ps(other, a.lo, _mm256_castsi256_ps(FirstLanes(n))),
          _mm256_blendv_ps(other, a.hi, _mm256_castsi256_ps(FirstLanes(n - 8)))};
}
inline F32x16 KeepFrom(F32x16 a, int64_t n, float fill) {
  const __m256 other = _mm256_set1_ps(fill);
  return {_mm256_blendv_ps(a.lo, other, _mm256_castsi256_ps(FirstLanes(n))),
          _mm256_blendv_ps(a.hi, other, _mm256_castsi256_ps(FirstLanes(n - 8)))};
}

inline F32x16 LoadHalf(const void* p) {
  const __m128i* const halves = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
inline F32x16 LoadInt8(const void* p) {
  const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
inline void StoreHalf(F32x16 a, void* p) {
  __m128i* const halves = static_cast<__m128i*>(p);
  _mm_storeu_si128(halves, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
// The low bytes of eight 32-bit numbers within -128..127, in the low half.
inline __m128i LowBytes(__m256 a) {
  const __m256i n = _mm256_cvtps_epi32(a);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
  return _mm_packs_epi16(words, words);
}
inline void StoreInt8(F32x16 a, void* p) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm_unpacklo_epi64(LowBytes(a.lo), LowBytes(a.hi)));
}

inline float ReduceMax(F32x16 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

template <int kRows>
inline F32x16 ReduceMaxOfEach(const F32x16 (&rows)[kRows]) {
  float largest[16] = {};
  for (int r = 0; r < kRows; ++r) largest[r] = ReduceMax(rows[r]);
  return F32x16::Load(largest);
}

inline float ReduceAdd(F32x16 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline void Transpose16(const float* from, int64_t stride, float* to) {
  for (int i = 0; i < 16; ++i) {
    for (int r = 0; r < 16; ++r) to[i * 16 + r] = from[r * stride + i];
  }
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_VECTOR_AVX2_H_
