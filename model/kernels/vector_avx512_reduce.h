// Sums, or largest numbers, over the lanes of several AVX-512 registers at once. The rules of
// isa_kernels.h hold here.
#ifndef HEED_MODEL_KERNELS_VECTOR_AVX512_REDUCE_H_
#define HEED_MODEL_KERNELS_VECTOR_AVX512_REDUCE_H_

#include <immintrin.h>

namespace heed {
namespace {

// out[i] = join(in[2 i], in[2 i + 1]); the last of an odd number is joined with itself.
template <int kCount, typename Join>
inline void JoinPairs(const __m512i (&in)[kCount], __m512i (&out)[(kCount + 1) / 2], Join join) {
#pragma GCC unroll 8
  for (int i = 0; i < (kCount + 1) / 2; ++i) {
    out[i] = join(in[2 * i], in[2 * i + 1 < kCount ? 2 * i + 1 : 2 * i]);
  }
}

// What op(a, b), lane by lane, makes of all 16 lanes of each of at most 16 rows, in lanes that
// follow each other; those behind them hold anything. In an order of its own.
template <int kRows, typename Op>
inline __m512i ReduceEach(const __m512i (&rows)[kRows], Op op) {
  static_assert(kRows <= 16);
  constexpr int kPairs = (kRows + 1) / 2, kFours = (kPairs + 1) / 2, kEights = (kFours + 1) / 2;
  __m512i pairs[kPairs], fours[kFours], eights[kEights], all[1];
  // Each quarter of a register for itself.
  JoinPairs(rows, pairs, [op](__m512i a, __m512i b) {
    return op(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  });
  JoinPairs(pairs, fours, [op](__m512i a, __m512i b) {
    return op(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  });
  // Then quarters: even ones with odd ones, twice.
  const auto join_quarters = [op](__m512i a, __m512i b) {
    return op(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  };
  JoinPairs(fours, eights, join_quarters);
  JoinPairs(eights, all, join_quarters);
  return all[0];
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_VECTOR_AVX512_REDUCE_H_
