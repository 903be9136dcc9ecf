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

// Sorting by odd-even merges (Batcher 1968) of a power of two numbers in each lane, the largest
// first, of which those from kSlots on do not exist: none is larger than one before it, so nobody
// misses them.
inline __m512 Larger(__m512 a, __m512 b) {
  return _mm512_max_ps(a, b);
}
inline __m512 Smaller(__m512 a, __m512 b) {
  return _mm512_min_ps(a, b);
}
inline __m512d Larger(__m512d a, __m512d b) {
  return _mm512_max_pd(a, b);
}
inline __m512d Smaller(__m512d a, __m512d b) {
  return _mm512_min_pd(a, b);
}
template <int kFirst, int kSecond, typename Vector>
[[gnu::always_inline]] inline void Exchange(Vector* slots) {
  if constexpr (kSecond < kSlots) {
    const Vector a = slots[kFirst], b = slots[kSecond];
    slots[kFirst] = Larger(a, b);
    slots[kSecond] = Smaller(a, b);
  }
}
template <int kFirst, int kEnd, int kStep, int kApart, typename Vector>
[[gnu::always_inline]] inline void ExchangeAll(Vector* slots) {
  if constexpr (kFirst + kApart < kEnd) {
    Exchange<kFirst, kFirst + kApart>(slots);
    ExchangeAll<kFirst + kStep, kEnd, kStep, kApart>(slots);
  }
}
template <int kFirst, int kCount, int kApart, typename Vector>
[[gnu::always_inline]] inline void MergeSlots(Vector* slots) {
  if constexpr (2 * kApart < kCount) {
    MergeSlots<kFirst, kCount, 2 * kApart>(slots);
    MergeSlots<kFirst + kApart, kCount, 2 * kApart>(slots);
    ExchangeAll<kFirst + kApart, kFirst + kCount, 2 * kApart, kApart>(slots);
  } else {
    Exchange<kFirst, kFirst + kApart>(slots);
  }
}
template <int kFirst, int kCount, typename Vector>
[[gnu::always_inline]] inline void SortSlots(Vector* slots) {
  if constexpr (kCount > 1) {
    SortSlots<kFirst, kCount / 2>(slots);
    SortSlots<kFirst + kCount / 2, kCount / 2>(slots);
    MergeSlots<kFirst, kCount, 1>(slots);
  }
}
// The same of numbers that fall and then rise, or rise and then fall.
template <int kFirst, int kCount, typename Vector>
[[gnu::always_inline]] inline void SortBitonic(Vector* slots) {
  if constexpr (kCount > 1) {
    ExchangeAll<kFirst, kFirst + kCount, 1, kCount / 2>(slots);
    SortBitonic<kFirst, kCount / 2>(slots);
    SortBitonic<kFirst + kCount / 2, kCount / 2>(slots);
  }
}

// The smallest of them to the first place; what the others hold then says nothing.
template <int kFirst, int kCount, typename Vector>
[[gnu::always_inline]] inline void SmallestFirst(Vector* slots) {
  if constexpr (kCount > 1) {
#pragma GCC unroll 8
    for (int i = kFirst; i < kFirst + kCount / 2; ++i) {
      slots[i] = Smaller(slots[i], slots[i + kCount / 2]);
    }
    SmallestFirst<kFirst, kCount / 2>(slots);
  }
}

// LaneBound of 16 rows, from their lanes' maxima [16, kCount]. k <= 16.
template <int kCount>
__m512 LaneBounds(const float* maxima, int64_t k) {
  __m512 largest[16], next[16];
  Transpose16(maxima, kCount, largest);
  SortSlots<0, 16>(largest);
  for (int lane = 16; lane < kCount; lane += 16) {
    Transpose16(maxima + lane, kCount, next);
    SortSlots<0, 16>(next);
    // The 16 largest of two sorted runs are the larger ones of pairs, with one run turned round.
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) largest[i] = Larger(largest[i], next[15 - i]);
    if (k == 16 && lane + 16 == kCount) {
      SmallestFirst<0, 16>(largest);
      return largest[0];
    }
    SortBitonic<0, 16>(largest);
  }
  alignas(64) float sorted[16 * 16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_store_ps(sorted + i * 16, largest[i]);
  return _mm512_load_ps(sorted + (k - 1) * 16);
}

// Writes which of a row's lanes have maxima that reach its bound, and returns how many. Has room
// for 16 more.
template <int kCount>
inline int64_t LanesFrom(const float* maxima, float bound, int32_t* found) {
  int64_t count = 0;
  __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 4
  for (int v = 0; v < kCount / 16; ++v) {
    const __mmask16 reached =
        _mm512_cmp_ps_mask(_mm512_loadu_ps(maxima + v * 16), _mm512_set1_ps(bound), _CMP_GE_OQ);
    _mm512_storeu_si512(found + count, _mm512_maskz_compress_epi32(reached, lanes));
    count += __builtin_popcount(reached);
    lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(16));
  }
  return count;
}

// The numbers of 16 lanes, of 32 and 64.
inline __m512 NumbersOf(__m512i lanes, const __m512 (&numbers)[2]) {
  return _mm512_permutex2var_ps(numbers[0], lanes, numbers[1]);
}
inline __m512 NumbersOf(__m512i lanes, const __m512 (&numbers)[4]) {
  const __m512 low = _mm512_permutex2var_ps(numbers[0], lanes, numbers[1]);
  const __m512 high = _mm512_permutex2var_ps(numbers[2], lanes, numbers[3]);
  return _mm512_mask_mov_ps(low, _mm512_test_epi32_mask(lanes, _mm512_set1_epi32(32)), high);
}

// The candidates of a row, all of which are in `n_lanes` lanes, of kCount, at most 16; returns how
// many. What is dropped is added to `rest`, as FindTopK does.
template <int kCount>
int64_t CandidatesIn(const int32_t* lanes, int64_t n_lanes, const TopKRow& row, float bound,
                     float* found, int32_t* found_keys, DroppedLanes<kCount / 16>& rest) {
  constexpr int kVectors = kCount / 16;
  const __m512 limit = _mm512_set1_ps(bound);
  const __m512i places = _mm512_loadu_si512(lanes);
  const __mmask16 there = (__mmask16)((1u << n_lanes) - 1);
  __m512i keys = places;
  int64_t count = 0;
  const auto take = [&](int64_t key, const F32x16(&weights)[kVectors]) {
    const __m512 factor = _mm512_set1_ps(FactorAt(row.factors, key));
    __m512 some[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      some[v] = _mm512_mul_ps(weights[v].v, factor);
      const __mmask16 dropped = _mm512_cmp_ps_mask(some[v], limit, _CMP_NGE_UQ);
      rest.sums[v].v = _mm512_mask_add_ps(rest.sums[v].v, dropped, rest.sums[v].v, some[v]);
    }
    const __m512 own = NumbersOf(places, some);
    const __mmask16 reached = _mm512_mask_cmp_ps_mask(there, own, limit, _CMP_GE_OQ);
    _mm512_storeu_ps(found + count, _mm512_maskz_compress_ps(reached, own));
    _mm512_storeu_si512(found_keys + count, _mm512_maskz_compress_epi32(reached, keys));
    count += __builtin_popcount(reached);
    keys = _mm512_add_epi32(keys, _mm512_set1_epi32(kCount));
  };
  const int64_t n = row.n;
  F32x16 some[kVectors];
  int64_t key = 0;
  for (; key + kCount <= n; key += kCount) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) some[v] = F32x16::Load(row.weights + key + v * 16);
    take(key, some);
  }
  if (key < n) {
    LoadFirst(row.weights + key, n - key, some);
    take(key, some);
  }
  return count;
}

// The sums of 16 vectors, each as ReduceAdd adds it.
inline __m512 ReduceAll(const F32x16* vectors) {
  // Halving puts the sum of vector 8 i + 4 j + 2 k + l at 8 j + 4 i + 2 l + k.
  static constexpr int kPlaces[16] = {0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15};
  __m512 eight[8], four[4], two[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512 a = vectors[kPlaces[i]].v, b = vectors[kPlaces[i + 8]].v;
    eight[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512 a = eight[i], b = eight[i + 4];
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m512d a = _mm512_castps_pd(four[i]), b = _mm512_castps_pd(four[i + 2]);
    two[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                           _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  return _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x88),
                       _mm512_shuffle_ps(two[0], two[1], 0xdd));
}

// A row's candidates, at most kSlots.
struct RowCandidates {
  const TopKRow* row;
  const float* weights;
  const int32_t* keys;
  int64_t count;
  double dropped;  // sum of the weights that are no candidates
};

// A row's candidates as numbers that order as Ranked does, also as doubles, being below the bits of
// infinity; 0 for those it has not.
inline void RankSlots(const RowCandidates& candidates, __m512i (&ranked)[kSlots / 8]) {
  static_assert(kSlots == 24);
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  const auto load = [&](int64_t first, __m512i& turned, __m512i& weights) {
    const __mmask16 there = FirstLanes(candidates.count - first);
    turned = _mm512_maskz_loadu_epi32(there, candidates.keys + first);
    turned = _mm512_maskz_xor_epi32(there, turned, _mm512_set1_epi32(-1));
    weights = _mm512_maskz_loadu_epi32(there, candidates.weights + first);
  };
  __m512i turned, weights;
  load(0, turned, weights);
  ranked[0] = _mm512_permutex2var_epi32(turned, low, weights);
  ranked[1] = _mm512_permutex2var_epi32(turned, high, weights);
  load(16, turned, weights);
  ranked[2] = _mm512_permutex2var_epi32(turned, low, weights);
}

// Order for up to kRowsSorted rows. k <= 16.
void OrderRows(const RowCandidates* candidates, int64_t count, int64_t k) {
  __m512i ranked[kRowsSorted][kSlots / 8];
  for (int64_t r = 0; r < kRowsSorted; ++r) {
    RankSlots(candidates[r < count ? r : 0], ranked[r]);
  }
  __m512d slots[kSlots];
#pragma GCC unroll 3
  for (int i = 0; i < kSlots / 8; ++i) {
    __m512i some[8];
#pragma GCC unroll 8
    for (int r = 0; r < kRowsSorted; ++r) some[r] = ranked[r][i];
    Transpose8(some);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) slots[i * 8 + j] = _mm512_castsi512_pd(some[j]);
  }
  SortSlots<0, 32>(slots);
  __m512i sorted[kSlots];
#pragma GCC unroll 24
  for (int i = 0; i < kSlots; ++i) sorted[i] = _mm512_castpd_si512(slots[i]);
  double dropped[kRowsSorted] = {};
  for (int64_t r = 0; r < count; ++r) dropped[r] = candidates[r].dropped;
  __m512d sums = _mm512_loadu_pd(dropped);
  for (int64_t i = k; i < kSlots; ++i) {
    const __m256i weights = _mm512_cvtepi64_epi32(_mm512_srli_epi64(sorted[i], 32));
    sums = _mm512_add_pd(sums, _mm512_cvtps_pd(_mm256_castsi256_ps(weights)));
  }
  _mm512_storeu_pd(dropped, sums);
  __m512i low[8], high[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    low[i] = sorted[i];
    high[i] = sorted[8 + i];
  }
  Transpose8(low);
  Transpose8(high);
  const __mmask16 kept = FirstLanes(k);
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int64_t r = 0; r < count; ++r) {
    const __m512i turned = _mm512_permutex2var_epi32(low[r], even, high[r]);
    const __m512i weights = _mm512_permutex2var_epi32(low[r], odd, high[r]);
    const TopKRow& row = *candidates[r].row;
    _mm512_mask_storeu_epi32(row.out_keys, kept, _mm512_xor_epi32(turned, _mm512_set1_epi32(-1)));
    _mm512_mask_storeu_epi32(row.out, kept, weights);
    *row.dropped = (float)dropped[r];
  }
}

void OrderAll(const RowCandidates* candidates, int64_t count, int64_t k) {
  for (int64_t r = 0; r < count; r += kRowsSorted) {
    OrderRows(candidates + r, count - r < kRowsSorted ? count - r : kRowsSorted, k);
  }
}

template <int kCount>
uint32_t TakeRowsByLanes(const TopKRow* rows, int64_t count, int64_t k, float* found_weights,
                         int32_t* keys) {
  float maxima[kTopKRows * kCount], bounds[kTopKRows];
  memset(maxima + count * kCount, 0, (kTopKRows - count) * kCount * sizeof(float));
  for (int64_t r = 0; r < count; ++r) {
    __builtin_prefetch(rows[r].out, 1);  // far away, and written at the end
    __builtin_prefetch(rows[r].out_keys, 1);
    float* const own = maxima + r * kCount;
    F32x16 max[kCount / 16];
    FindLaneMaxima<kCount>(rows[r].weights, rows[r].factors, rows[r].n, max);
    for (int v = 0; v < kCount / 16; ++v) max[v].Store(own + v * 16);
  }
  _mm512_storeu_ps(bounds, LaneBounds<kCount>(maxima, k));
  int32_t lanes[kTopKRows * kCount + 16];
  int64_t n_lanes[kTopKRows];
  for (int64_t r = 0; r < count; ++r) {
    n_lanes[r] = LanesFrom<kCount>(maxima + r * kCount, bounds[r], lanes + r * kCount);
  }
  uint32_t done = 0;
  RowCandidates few[kTopKRows];
  F32x16 rests[kTopKRows];
  int64_t n_few = 0;
  for (int64_t r = 0; r < count; ++r) {
    const TopKRow& row = rows[r];
    if (n_lanes[r] > 16 || row.n > kRun) continue;
    // The next row's candidates may lie over what is too long.
    float* const own = found_weights + n_few * kSlots;
    int32_t* const own_keys = keys + n_few * kSlots;
    DroppedLanes<kCount / 16> rest;
    rest.Clear();
    const int64_t n_found =
        CandidatesIn<kCount>(lanes + r * kCount, n_lanes[r], row, bounds[r], own, own_keys, rest);
    if (n_found > kSlots) continue;
    done |= 1u << r;
    rests[n_few] = rest.Sum();
    few[n_few++] = {&row, own, own_keys, n_found, 0};
  }
  for (int64_t i = n_few; i < kTopKRows; ++i) rests[i] = F32x16::Broadcast(0.0f);
  float dropped[kTopKRows];
  _mm512_storeu_ps(dropped, ReduceAll(rests));
  for (int64_t i = 0; i < n_few; ++i) few[i].dropped = dropped[i];
  OrderAll(few, n_few, k);
  return done;
}

// Of rows without lanes. Those with more than kSlots weights are left.
uint32_t TakeShortRows(const TopKRow* rows, int64_t count, int64_t k, float* found_weights,
                       int32_t* keys) {
  uint32_t done = 0;
  RowCandidates few[kTopKRows];
  int64_t n_few = 0;
  for (int64_t r = 0; r < count; ++r) {
    const TopKRow& row = rows[r];
    if (row.n > kSlots) continue;
    float* const own = found_weights + n_few * kSlots;
    int32_t* const own_keys = keys + n_few * kSlots;
    const F32x16 factor = F32x16::Broadcast(FactorAt(row.factors, 0));
    for (int64_t key = 0; key < row.n; key += 16) {
      (F32x16::LoadPartial(row.weights + key, row.n - key) * factor)
          .StorePartial(own + key, row.n - key);
    }
    for (int64_t key = 0; key < row.n; ++key) own_keys[key] = (int32_t)key;
    done |= 1u << r;
    few[n_few++] = {&row, own, own_keys, row.n, 0};
  }
  OrderAll(few, n_few, k);
  return done;
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_ROWS_AVX512_H_
