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

// How many of kCount numbers, a multiple of 16, are at least `least`.
template <int kCount>
int32_t CountFrom(const int32_t* numbers, int32_t least) {
  int32_t count = 0;
#if defined(__AVX512F__)
  for (int i = 0; i < kCount; i += 16) {
    const __m512i some = _mm512_loadu_si512(numbers + i);
    count += __builtin_popcount(_mm512_cmpge_epi32_mask(some, _mm512_set1_epi32(least)));
  }
#else
  for (int i = 0; i < kCount; ++i) count += numbers[i] >= least;
#endif
  return count;
}

// The first `n` of kVectors vectors, 0 < n < 16 kVectors; 0 behind them.
template <int kVectors>
inline void LoadFirst(const float* from, int64_t n, F32x16 (&some)[kVectors]) {
#if defined(__AVX512F__)
  const uint64_t there = (uint64_t{1} << n) - 1;
  for (int v = 0; v < kVectors; ++v) {
    some[v].v = _mm512_maskz_loadu_ps((__mmask16)(there >> (v * 16)), from + v * 16);
  }
#else
  for (int v = 0; v < kVectors; ++v, n -= 16) {
    some[v] = F32x16::LoadPartial(from + v * 16, n < 0 ? 0 : n < 16 ? n : 16);
  }
#endif
}

// The largest weights, times their factors, of kCount lanes to which keys are dealt out in turn.
// kCount <= n.
template <int kCount>
inline void FindLaneMaxima(const float* weights, KeyFactors factors, int64_t n,
                           F32x16 (&max)[kCount / 16]) {
  static_assert(kFactorKeys % kCount == 0);
  constexpr int kVectors = kCount / 16;
  const F32x16 first = F32x16::Broadcast(FactorAt(factors, 0));
  for (int v = 0; v < kVectors; ++v) max[v] = F32x16::Load(weights + v * 16) * first;
  int64_t key = kCount;
  for (; key + kCount <= n; key += kCount) {
    const F32x16 factor = F32x16::Broadcast(FactorAt(factors, key));
    for (int v = 0; v < kVectors; ++v) {
      max[v] = Max(F32x16::Load(weights + key + v * 16) * factor, max[v]);
    }
  }
  if (key >= n) return;
  const F32x16 last = F32x16::Broadcast(FactorAt(factors, key));
  F32x16 some[kVectors];
  LoadFirst(weights + key, n - key, some);
  for (int v = 0; v < kVectors; ++v) max[v] = Max(some[v] * last, max[v]);
}

// A weight that at least k weights reach, and not many more: the k-th largest of the lanes' maxima,
// which are different weights. By halving an interval of bits until it is told apart: a count has
// no branches to mispredict. 1 <= k <= kCount <= n.
template <int kCount>
float LaneBound(const float* weights, int64_t n, int32_t k) {
  constexpr int kVectors = kCount / 16;
  F32x16 max[kVectors];
  FindLaneMaxima<kCount>(weights, NoFactors(), n, max);
  F32x16 most = max[0], least = max[0];
  for (int v = 1; v < kVectors; ++v) {
    most = Max(max[v], most);
    least = Min(max[v], least);
  }
  float lanes[kCount];
  for (int v = 0; v < kVectors; ++v) max[v].Store(lanes + v * 16);
  int32_t bits[kCount];
  memcpy(bits, lanes, sizeof(bits));
  // At least k reach `low`, and fewer `high`.
  int32_t low = BitsOf(-ReduceMax(F32x16::Broadcast(-0.0f) - least)),
          high = BitsOf(ReduceMax(most)) + 1, reaching = kCount;
  while (reaching > k && high - low > 1) {
    const int32_t middle = low + ((high - low) >> 1), count = CountFrom<kCount>(bits, middle);
    low = count >= k ? middle : low;
    high = count >= k ? high : middle;
    reaching = count >= k ? count : reaching;
  }
  int32_t smallest = high;
  for (int i = 0; i < kCount; ++i) {
    const int32_t own = bits[i] >= low ? bits[i] : high;
    smallest = own < smallest ? own : smallest;
  }
  float bound;
  memcpy(&bound, &smallest, sizeof(bound));
  return bound;
}

// Lanes that a row's bound is found by; 0: all its weights are candidates.
inline int64_t LanesFor(int64_t n, int64_t k) {
  return n >= 128 && k <= 32 ? 64 : n >= 32 && k <= 16 ? 32 : 0;
}

// Candidates of a row, as they are found.
struct FoundCandidates {
  float* weights;
  int32_t* keys;
  int64_t count;
};

// Lanes to which the weights that are dropped are dealt out, key by key, to be summed there.
template <int kVectors>
struct DroppedLanes {
  F32x16 sums[kVectors];

  void Clear() {
    for (int v = 0; v < kVectors; ++v) sums[v] = F32x16::Broadcast(0.0f);
  }
  F32x16 Sum() const {
    if constexpr (kVectors == 2)
      return sums[0] + sums[1];
    else
      return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
};

// Keys whose weights, where they are dropped, are summed in single precision; these sums in double.
constexpr int64_t kRun = 4096;

// Adds those of the keys [begin, end) whose weights reach the bound.
#if defined(__AVX512F__)
template <int kVectors>
inline void TakeFrom(const float* weights, int64_t begin, int64_t end, float bound,
                     FoundCandidates& found, DroppedLanes<kVectors>& rest) {
  int64_t count = found.count;
  const __m512 limit = _mm512_set1_ps(bound);
  __m512i places =
      _mm512_add_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                       _mm512_set1_epi32((int32_t)begin));
  const auto take = [&](__m512 some, __mmask16 there, __m512& sum) {
    const __mmask16 reached = _mm512_mask_cmp_ps_mask(there, some, limit, _CMP_GE_OQ);
    _mm512_storeu_si512(found.keys + count, _mm512_maskz_compress_epi32(reached, places));
    _mm512_storeu_ps(found.weights + count, _mm512_maskz_compress_ps(reached, some));
    count += __builtin_popcount(reached);
    sum = _mm512_mask_add_ps(sum, (__mmask16)(there & ~reached), sum, some);
    places = _mm512_add_epi32(places, _mm512_set1_epi32(16));
  };
  int64_t key = begin;
  for (; key + kVectors * 16 <= end; key += kVectors * 16) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      take(_mm512_loadu_ps(weights + key + v * 16), 0xffff, rest.sums[v].v);
    }
  }
  for (int v = 0; key < end; key += 16, ++v) {
    const __mmask16 there = FirstLanes(end - key);
    take(_mm512_maskz_loadu_ps(there, weights + key), there, rest.sums[v].v);
  }
  found.count = count;
}
#elif defined(__AVX2__)
// Of each set of eight lanes its members, in order, a byte each.
struct LanesOfSets {
  uint64_t lanes[256];
};
constexpr LanesOfSets MakeLanesOfSets() {
  LanesOfSets sets{};
  for (int set = 0; set < 256; ++set) {
    int count = 0;
    for (uint64_t lane = 0; lane < 8; ++lane) {
      if ((set >> lane & 1) != 0) sets.lanes[set] |= lane << 8 * count++;
    }
  }
  return sets;
}
constexpr LanesOfSets kLanesOfSets = MakeLanesOfSets();

template <int kVectors>
inline void TakeFrom(const float* weights, int64_t begin, int64_t end, float bound,
                     FoundCandidates& found, DroppedLanes<kVectors>& rest) {
  int64_t count = found.count;
  const __m256 limit = _mm256_set1_ps(bound);
  __m256i places = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                    _mm256_set1_epi32((int32_t)begin));
  const auto take = [&](__m256 some, __m256i there, __m256& sum) {
    const __m256 large = _mm256_cmp_ps(some, limit, _CMP_GE_OQ);
    const __m256 reached = _mm256_and_ps(large, _mm256_castsi256_ps(there));
    const int set = _mm256_movemask_ps(reached);
    const __m256i lanes =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(kLanesOfSets.lanes + set)));
    _mm256_storeu_si256((__m256i*)(found.keys + count), _mm256_permutevar8x32_epi32(places, lanes));
    _mm256_storeu_ps(found.weights + count, _mm256_permutevar8x32_ps(some, lanes));
    count += __builtin_popcount(set);
    sum = _mm256_add_ps(sum, _mm256_andnot_ps(reached, some));
    places = _mm256_add_epi32(places, _mm256_set1_epi32(8));
  };
  for (int64_t key = begin; key < end; key += 16) {
    const int64_t left = end - key;
    const F32x16 some =
        left < 16 ? F32x16::LoadPartial(weights + key, left) : F32x16::Load(weights + key);
    F32x16& sum = rest.sums[(key - begin) / 16 % kVectors];
    take(some.lo, FirstLanes(left), sum.lo);
    take(some.hi, FirstLanes(left - 8), sum.hi);
  }
  found.count = count;
}
#else
template <int kVectors>
inline void TakeFrom(const float* weights, int64_t begin, int64_t end, float bound,
                     FoundCandidates& found, DroppedLanes<kVectors>& rest) {
  const F32x16 limit = F32x16::Broadcast(bound), zero = F32x16::Broadcast(0.0f);
  for (int64_t key = begin; key < end; ++key) {
    found.keys[found.count] = (int32_t)key;
    found.weights[found.count] = weights[key];
    found.count += weights[key] >= bound;
  }
  for (int64_t key = begin; key < end; key += 16) {
    const F32x16 some = end - key < 16 ? F32x16::LoadPartial(weights + key, end - key)
                                       : F32x16::Load(weights + key);
    F32x16& sum = rest.sums[(key - begin) / 16 % kVectors];
    sum = sum + IfNegative(some - limit, some, zero);
  }
}
#endif

template <int kVectors>
TopKCandidates TakeAllFrom(const float* weights, int64_t n, float bound, FoundCandidates found) {
  double dropped = 0;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    DroppedLanes<kVectors> rest;
    rest.Clear();
    TakeFrom(weights, begin, n - begin < kRun ? n : begin + kRun, bound, found, rest);
    dropped += ReduceAdd(rest.Sum());
  }
  return {found.count, dropped};
}

TopKCandidates FindTopK(const float* weights, int64_t n, int64_t k, float* candidates,
                        int32_t* keys) {
  const int64_t lanes = LanesFor(n, k);
  const float bound = lanes == 64   ? LaneBound<64>(weights, n, (int32_t)k)
                      : lanes == 32 ? LaneBound<32>(weights, n, (int32_t)k)
                                    : 0;
  const auto take = lanes == 32 ? TakeAllFrom<2> : TakeAllFrom<4>;
  return take(weights, n, bound, {candidates, keys, 0});
}

// Numbers by which larger weights come first and, of equal ones, smaller keys.
inline uint64_t Ranked(float weight, int32_t key) {
  return (uint64_t)(uint32_t)BitsOf(weight) << 32 | ~(uint32_t)key;
}
inline float WeightOf(uint64_t ranked) {
  const uint32_t bits = (uint32_t)(ranked >> 32);
  float weight;
  memcpy(&weight, &bits, sizeof(weight));
  return weight;
}

#if defined(__AVX512F__)
// Of at most 8 kVectors candidates. As many steps for few as for many: a branch that depends on the
// weights costs more.
template <int kVectors>
double OrderInVectors(const float* found, const int32_t* keys, int64_t count, int64_t k,
                      double dropped, float* out, int32_t* out_keys) {
  constexpr int kMost = 8 * kVectors;
  uint64_t numbers[kMost], sorted[kMost];
  __m512i own[kVectors], place[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const __mmask8 there = (__mmask8)FirstLanes(count - v * 8);
    const __m256i some = _mm256_maskz_loadu_epi32(there, keys + v * 8);
    const __m256i weight = _mm256_maskz_loadu_epi32(there, found + v * 8);
    const __m512i high = _mm512_slli_epi64(_mm512_cvtepu32_epi64(weight), 32);
    const __m512i low = _mm512_cvtepu32_epi64(_mm256_xor_si256(some, _mm256_set1_epi32(-1)));
    own[v] = _mm512_maskz_or_epi64(there, high, low);
    place[v] = _mm512_setzero_si512();
    _mm512_storeu_si512(numbers + v * 8, own[v]);
    _mm512_storeu_si512(sorted + v * 8, place[v]);
  }
  const __m512i one = _mm512_set1_epi64(1);
  for (int i = 0; i < kMost; ++i) {
    const __m512i other = _mm512_set1_epi64((int64_t)numbers[i]);
    for (int v = 0; v < kVectors; ++v) {
      const __mmask8 larger = _mm512_cmpgt_epu64_mask(other, own[v]);
      place[v] = _mm512_mask_add_epi64(place[v], larger, place[v], one);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const __mmask8 there = (__mmask8)FirstLanes(count - v * 8);
    _mm512_mask_i64scatter_epi64(sorted, there, place[v], own[v], 8);
  }
  for (int64_t i = 0; i < k; i += 8) {
    const __mmask8 kept = (__mmask8)FirstLanes(k - i);
    const __m512i some = _mm512_loadu_si512(sorted + i);
    const __m256i key = _mm256_xor_si256(_mm512_cvtepi64_epi32(some), _mm256_set1_epi32(-1));
    _mm256_mask_storeu_epi32(out_keys + i, kept, key);
    _mm256_mask_storeu_epi32(out + i, kept, _mm512_cvtepi64_epi32(_mm512_srli_epi64(some, 32)));
  }
  for (int64_t i = k; i < kMost; ++i) dropped += WeightOf(sorted[i]);
  return dropped;
}
#endif

double Order(const float* found, const int32_t* keys, int64_t count, int64_t k, double dropped,
             float* out, int32_t* out_keys) {
#if defined(__AVX512F__)
  if (count <= 24) return OrderInVectors<3>(found, keys, count, k, dropped, out, out_keys);
  if (count <= 32) return OrderInVectors<4>(found, keys, count, k, dropped, out, out_keys);
  return OrderInVectors<8>(found, keys, count, k, dropped, out, out_keys);
#else
  uint64_t numbers[kMostOrdered], sorted[kMostOrdered];
  for (int64_t i = 0; i < count; ++i) numbers[i] = Ranked(found[i], keys[i]);
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = 0;
    for (int64_t j = 0; j < count; ++j) place += numbers[j] > numbers[i];
    sorted[place] = numbers[i];
  }
  for (int64_t i = 0; i < k; ++i) {
    out[i] = WeightOf(sorted[i]);
    out_keys[i] = (int32_t) ~(uint32_t)sorted[i];
  }
  for (int64_t i = k; i < count; ++i) dropped += WeightOf(sorted[i]);
  return dropped;
#endif
}

#if defined(__AVX512F__)
}  // namespace
}  // namespace heed

#include "model/kernels/top_k_rows_avx512.h"

namespace heed {
namespace {

// Rows with the same lanes are taken together; one alone has nothing to share.
uint32_t TakeRows(const TopKRow* rows, int64_t count, int64_t k, float* found, int32_t* keys) {
  if (k > 16) return 0;
  uint32_t done = 0;
  for (int64_t begin = 0, end; begin < count; begin = end) {
    const int64_t lanes = LanesFor(rows[begin].n, k);
    for (end = begin + 1; end < count && LanesFor(rows[end].n, k) == lanes;) ++end;
    if (end - begin < 4) continue;
    const auto take = lanes == 64   ? TakeRowsByLanes<64>
                      : lanes == 32 ? TakeRowsByLanes<32>
                                    : TakeShortRows;
    done |= take(rows + begin, end - begin, k, found, keys) << begin;
  }
  return done;
}
#else
uint32_t TakeRows(const TopKRow*, int64_t, int64_t, float*, int32_t*) {
  return 0;
}
#endif

constexpr TopKKernels kTopK = {FindTopK, Order, TakeRows};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TOP_K_IMPL_H_
