// The largest weights of up to 16 rows at once: what is done by a row for each lane neither waits
// for one row's numbers nor branches on them. Included by top_k_impl.h where there is AVX-512.
#ifndef HEED_MODEL_KERNELS_TOP_K_ROWS_AVX512_H_
#define HEED_MODEL_KERNELS_TOP_K_ROWS_AVX512_H_

#include <string.h>

#include "model/kernels/top_k.h"

namespace heed {
namespace {

// Candidates of a row that are sorted in registers.
constexpr int kSlots = 24;
constexpr int kRowsSorted = 8;

// Matrix [8, 8].
inline void Transpose8(__m512i (&m)[8]) {
  __m512i pairs[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_epi64(m[i], m[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi64(m[i], m[i + 1]);
  }
#pragma GCC unroll 2
  for (int c = 0; c < 2; ++c) {  // quarter q of pairs[i + c]: rows i and i + 1 of column 2 * q + c
    const __m512i even = _mm512_shuffle_i64x2(pairs[c], pairs[2 + c], 0x88);
    const __m512i odd = _mm512_shuffle_i64x2(pairs[c], pairs[2 + c], 0xdd);
    const __m512i even_below = _mm512_shuffle_i64x2(pairs[4 + c], pairs[6 + c], 0x88);
    const __m512i odd_below = _mm512_shuffle_i64x2(pairs[4 + c], pairs[6 + c], 0xdd);
    m[c] = _mm512_shuffle_i64x2(even, even_below, 0x88);
    m[2 + c] = _mm512_shuffle_i64x2(odd, odd_below, 0x88);
    m[4 + c] = _mm512_shuffle_i64x2(even, even_below, 0xdd);
    m[6 + c] = _mm512_shuffle_i64x2(odd, odd_below, 0xdd);
  }
}

// LaneBound of 16 rows, from their lanes' maxima [16, kCount], by the same halvings.
template <int kCount>
void LaneBounds(const float* maxima, int32_t k, float* bounds) {
  alignas(64) float by_lane[kCount * 16];
  for (int lane = 0; lane < kCount; lane += 16) {
    Transpose16(maxima + lane, kCount, by_lane + lane * 16);
  }
  const auto lane = [&](int i) { return _mm512_load_si512(by_lane + i * 16); };
  __m512i low = lane(0), high = low;
  for (int i = 1; i < kCount; ++i) {
    low = _mm512_min_epi32(low, lane(i));
    high = _mm512_max_epi32(high, lane(i));
  }
  const __m512i one = _mm512_set1_epi32(1), wanted = _mm512_set1_epi32(k);
  for (;;) {
    const __m512i between = _mm512_sub_epi32(high, low);
    const __mmask16 goes_on = _mm512_cmpgt_epi32_mask(between, _mm512_set1_epi32(1 << 18));
    if (goes_on == 0) break;
    const __m512i middle = _mm512_add_epi32(low, _mm512_srli_epi32(between, 1));
    __m512i even = _mm512_setzero_si512(), odd = even;
#pragma GCC unroll 8
    for (int i = 0; i < kCount; i += 2) {
      even = _mm512_mask_add_epi32(even, _mm512_cmpge_epi32_mask(lane(i), middle), even, one);
      odd = _mm512_mask_add_epi32(odd, _mm512_cmpge_epi32_mask(lane(i + 1), middle), odd, one);
    }
    const __mmask16 reach = _mm512_cmpge_epi32_mask(_mm512_add_epi32(even, odd), wanted);
    low = _mm512_mask_mov_epi32(low, goes_on & reach, middle);
    high = _mm512_mask_mov_epi32(high, (__mmask16)(goes_on & ~reach), middle);
  }
  _mm512_storeu_si512(bounds, low);
}

// Sorting by odd-even merges (Batcher 1968) of a power of two numbers, the largest first, of which
// those from kSlots on do not exist: none is larger than one before it, so nobody misses them.
// Numbers below the bits of infinity order as doubles as they do as integers.
template <int kFirst, int kSecond>
[[gnu::always_inline]] inline void Exchange(__m512d* slots) {
  if constexpr (kSecond < kSlots) {
    const __m512d a = slots[kFirst], b = slots[kSecond];
    slots[kFirst] = _mm512_max_pd(a, b);
    slots[kSecond] = _mm512_min_pd(a, b);
  }
}
template <int kFirst, int kEnd, int kStep, int kApart>
[[gnu::always_inline]] inline void ExchangeAll(__m512d* slots) {
  if constexpr (kFirst + kApart < kEnd) {
    Exchange<kFirst, kFirst + kApart>(slots);
    ExchangeAll<kFirst + kStep, kEnd, kStep, kApart>(slots);
  }
}
template <int kFirst, int kCount, int kApart>
[[gnu::always_inline]] inline void MergeSlots(__m512d* slots) {
  if constexpr (2 * kApart < kCount) {
    MergeSlots<kFirst, kCount, 2 * kApart>(slots);
    MergeSlots<kFirst + kApart, kCount, 2 * kApart>(slots);
    ExchangeAll<kFirst + kApart, kFirst + kCount, 2 * kApart, kApart>(slots);
  } else {
    Exchange<kFirst, kFirst + kApart>(slots);
  }
}
template <int kFirst, int kCount>
[[gnu::always_inline]] inline void SortSlots(__m512d* slots) {
  if constexpr (kCount > 1) {
    SortSlots<kFirst, kCount / 2>(slots);
    SortSlots<kFirst + kCount / 2, kCount / 2>(slots);
    MergeSlots<kFirst, kCount, 1>(slots);
  }
}

// A row's candidates, at most kSlots.
struct RowCandidates {
  const float* weights;
  const int32_t* keys;
  int64_t count;
  double dropped;  // sum of the weights that are no candidates
};

// Eight of a row's candidates as numbers that order as Ranked does; 0 for those it has not.
inline __m512i RankedSlots(const RowCandidates& candidates, int64_t first) {
  const __mmask8 there = (__mmask8)FirstLanes(candidates.count - first);
  const __m256i keys = _mm256_maskz_loadu_epi32(there, candidates.keys + first);
  const __m256i weights = _mm256_maskz_loadu_epi32(there, candidates.weights + first);
  const __m512i high = _mm512_slli_epi64(_mm512_cvtepu32_epi64(weights), 32);
  const __m512i low = _mm512_cvtepu32_epi64(_mm256_xor_si256(keys, _mm256_set1_epi32(-1)));
  return _mm512_maskz_or_epi64(there, high, low);
}
inline __m256i WeightBits(__m512i ranked) {
  return _mm512_cvtepi64_epi32(_mm512_srli_epi64(ranked, 32));
}

// Order for up to kRowsSorted rows.
void OrderRows(const TopKRow* rows, const RowCandidates* candidates, int64_t count, int64_t k) {
  __m512d slots[kSlots];
#pragma GCC unroll 3
  for (int first = 0; first < kSlots; first += 8) {
    __m512i some[8];
#pragma GCC unroll 8
    for (int r = 0; r < kRowsSorted; ++r) {
      some[r] = r < count ? RankedSlots(candidates[r], first) : _mm512_setzero_si512();
    }
    Transpose8(some);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) slots[first + i] = _mm512_castsi512_pd(some[i]);
  }
  SortSlots<0, 32>(slots);
  __m512i sorted[kSlots];
#pragma GCC unroll 24
  for (int i = 0; i < kSlots; ++i) sorted[i] = _mm512_castpd_si512(slots[i]);
  double dropped[kRowsSorted] = {};
  for (int64_t r = 0; r < count; ++r) dropped[r] = candidates[r].dropped;
  __m512d sums = _mm512_loadu_pd(dropped);
  for (int64_t i = k; i < kSlots; ++i) {
    sums = _mm512_add_pd(sums, _mm512_cvtps_pd(_mm256_castsi256_ps(WeightBits(sorted[i]))));
  }
  _mm512_storeu_pd(dropped, sums);
  for (int64_t r = 0; r < count; ++r) *rows[r].dropped = (float)dropped[r];
  for (int64_t first = 0; first < k; first += 8) {
    __m512i some[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) some[i] = sorted[first + i];
    Transpose8(some);
    const __mmask8 kept = (__mmask8)FirstLanes(k - first);
    for (int64_t r = 0; r < count; ++r) {
      const __m256i keys = _mm256_xor_si256(_mm512_cvtepi64_epi32(some[r]), _mm256_set1_epi32(-1));
      _mm256_mask_storeu_epi32(rows[r].out_keys + first, kept, keys);
      _mm256_mask_storeu_epi32(rows[r].out + first, kept, WeightBits(some[r]));
    }
  }
}

template <int kCount>
uint32_t TakeRowsByLanes(const TopKRow* rows, int64_t count, int64_t k, float* found_weights,
                         int32_t* keys) {
  float maxima[kTopKRows * kCount] = {}, bounds[kTopKRows];
  for (int64_t r = 0; r < count; ++r) {
    float* const own = maxima + r * kCount;
    F32x16 max[kCount / 16];
    FindLaneMaxima<kCount>(rows[r].weights, rows[r].factors, rows[r].n, max);
    for (int v = 0; v < kCount / 16; ++v) max[v].Store(own + v * 16);
  }
  LaneBounds<kCount>(maxima, (int32_t)k, bounds);
  uint32_t done = 0;
  TopKRow with_few[kTopKRows];
  RowCandidates few[kTopKRows];
  int64_t n_few = 0;
  for (int64_t r = 0; r < count; ++r) {
    const TopKRow& row = rows[r];
    // The next row's candidates may lie over what is too long.
    float* const own = found_weights + n_few * kSlots;
    int32_t* const own_keys = keys + n_few * kSlots;
    const TopKCandidates found =
        CandidatesFrom(row.weights, row.factors, row.n, bounds[r], own, own_keys);
    if (found.count > kMostOrdered) continue;
    done |= 1u << r;
    if (found.count <= kSlots) {
      with_few[n_few] = row;
      few[n_few++] = {own, own_keys, found.count, found.dropped};
    } else {
      *row.dropped =
          (float)Order(own, own_keys, found.count, k, found.dropped, row.out, row.out_keys);
    }
  }
  for (int64_t r = 0; r < n_few; r += kRowsSorted) {
    OrderRows(with_few + r, few + r, n_few - r < kRowsSorted ? n_few - r : kRowsSorted, k);
  }
  return done;
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_ROWS_AVX512_H_
