// The vector kernels, written once over F32x16. Included by the file of each instruction set, after
// its vector header.
//
// Every sum runs in an order that depends only on positions, so a row's bits do not depend on which
// rows share its tile.
#ifndef HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
#define HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/isa_kernels.h"

namespace heed {
namespace {

constexpr int64_t kLanes = 16;  // of F32x16, and tokens of a page

// Sum of the lanes, as a fixed tree.
inline float ReduceAdd(F32x16 v) {
  float lane[kLanes];
  v.Store(lane);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  }
  return lane[0];
}

// e^x within 2 units in the last place for x in [-87.3, 88]; below that, e^-87.3, the smallest
// normal number.
inline F32x16 Exp(F32x16 x) {
  const F32x16 lowest = F32x16::Broadcast(-87.33654f);
  const F32x16 clamped = Max(x, lowest);
  const F32x16 n = Round(clamped * F32x16::Broadcast(1.44269504f));
  // r = x - n ln 2, with ln 2 in two parts; |r| <= 0.347.
  F32x16 r = MulAdd(n, F32x16::Broadcast(-0.693145752f), clamped);
  r = MulAdd(n, F32x16::Broadcast(-1.42860677e-6f), r);
  // Taylor to the seventh power: the remainder is below 2e-8 of the sum.
  F32x16 p = F32x16::Broadcast(1.0f / 5040);
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 720));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 120));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 24));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 6));
  p = MulAdd(p, r, F32x16::Broadcast(0.5f));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f));
  return p * Pow2(n);
}

inline float Exp(float x) {
  float lanes[kLanes];
  Exp(F32x16::Broadcast(x)).Store(lanes);
  return lanes[0];
}

// Accurate in relative terms on both sides: e^-|x| never overflows.
inline F32x16 Sigmoid(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 e = Exp(F32x16::Broadcast(0.0f) - Abs(x));
  return IfNegative(x, e, one) / (one + e);
}

// tanh within 2e-7 of its value: below 0.625 four levels of its continued fraction (Abramowitz and
// Stegun, 4.5.70), which subtract nothing; above, through e^-2|x|.
inline F32x16 Tanh(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 a = Abs(x);
  const F32x16 s = x * x;
  const F32x16 above = MulAdd(s + F32x16::Broadcast(105.0f), s, F32x16::Broadcast(945.0f));
  const F32x16 below = MulAdd(MulAdd(F32x16::Broadcast(15.0f), s, F32x16::Broadcast(420.0f)), s,
                              F32x16::Broadcast(945.0f));
  const F32x16 e = Exp(F32x16::Broadcast(-2.0f) * a);
  const F32x16 far = CopySign((one - e) / (one + e), x);
  return IfNegative(a - F32x16::Broadcast(0.625f), x * above / below, far);
}

inline F32x16 Capped(F32x16 x, float cap) {
  return F32x16::Broadcast(cap) * Tanh(x * F32x16::Broadcast(1.0f / cap));
}

// erf within 2e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
inline F32x16 Erf(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 a = Abs(x);
  const F32x16 t = one / MulAdd(F32x16::Broadcast(0.3275911f), a, one);
  F32x16 p = F32x16::Broadcast(1.061405429f);
  p = MulAdd(p, t, F32x16::Broadcast(-1.453152027f));
  p = MulAdd(p, t, F32x16::Broadcast(1.421413741f));
  p = MulAdd(p, t, F32x16::Broadcast(-0.284496736f));
  p = MulAdd(p, t, F32x16::Broadcast(0.254829592f));
  const F32x16 tail = p * t * Exp(F32x16::Broadcast(0.0f) - a * a);
  return CopySign(one - tail, x);
}

template <ActivationCode kCode>
inline F32x16 Act(F32x16 x) {
  if constexpr (kCode == ActivationCode::kGeluTanh) {
    // 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
    const F32x16 cubic = MulAdd(F32x16::Broadcast(0.044715f) * x * x, x, x);
    return x * Sigmoid(F32x16::Broadcast(1.5957691216f) * cubic);
  } else if constexpr (kCode == ActivationCode::kGeluErf) {
    const F32x16 half = F32x16::Broadcast(0.5f);
    return x * MulAdd(half, Erf(x * F32x16::Broadcast(0.7071067812f)), half);
  } else if constexpr (kCode == ActivationCode::kSilu) {
    return x * Sigmoid(x);
  } else {
    return Max(x, F32x16::Broadcast(0.0f));
  }
}

template <ActivationCode kCode>
void ActivateAs(float* x, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Act<kCode>(F32x16::Load(x + i)).Store(x + i);
  if (i < n) Act<kCode>(F32x16::LoadPartial(x + i, n - i)).StorePartial(x + i, n - i);
}

template <ActivationCode kCode>
void ActivateGatedAs(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    (Act<kCode>(F32x16::Load(gate + i)) * F32x16::Load(up + i)).Store(y + i);
  }
  if (i < n) {
    const F32x16 g = Act<kCode>(F32x16::LoadPartial(gate + i, n - i));
    (g * F32x16::LoadPartial(up + i, n - i)).StorePartial(y + i, n - i);
  }
}

void ActivateKernel(ActivationCode code, float* x, int64_t n) {
  switch (code) {
    case ActivationCode::kGeluTanh:
      return ActivateAs<ActivationCode::kGeluTanh>(x, n);
    case ActivationCode::kGeluErf:
      return ActivateAs<ActivationCode::kGeluErf>(x, n);
    case ActivationCode::kSilu:
      return ActivateAs<ActivationCode::kSilu>(x, n);
    case ActivationCode::kRelu:
      return ActivateAs<ActivationCode::kRelu>(x, n);
  }
}

void ActivateGatedKernel(ActivationCode code, const float* gate, const float* up, float* y,
                         int64_t n) {
  switch (code) {
    case ActivationCode::kGeluTanh:
      return ActivateGatedAs<ActivationCode::kGeluTanh>(gate, up, y, n);
    case ActivationCode::kGeluErf:
      return ActivateGatedAs<ActivationCode::kGeluErf>(gate, up, y, n);
    case ActivationCode::kSilu:
      return ActivateGatedAs<ActivationCode::kSilu>(gate, up, y, n);
    case ActivationCode::kRelu:
      return ActivateGatedAs<ActivationCode::kRelu>(gate, up, y, n);
  }
}

void SoftCapKernel(float cap, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    Capped(F32x16::LoadPartial(x + i, k), cap).StorePartial(x + i, k);
  }
}

// Sum over i of (x[i] - shift)^2, or of x[i] - shift.
template <bool kSquare>
float ShiftedSum(const float* x, float shift, int64_t n) {
  const F32x16 s = F32x16::Broadcast(shift);
  F32x16 sum = F32x16::Broadcast(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32x16 d = F32x16::Load(x + i) - s;
    sum = kSquare ? MulAdd(d, d, sum) : sum + d;
  }
  if (i < n) {
    const F32x16 d = KeepFirst(F32x16::LoadPartial(x + i, n - i) - s, n - i, 0.0f);
    sum = kSquare ? MulAdd(d, d, sum) : sum + d;
  }
  return ReduceAdd(sum);
}

void LayerNormKernel(const float* x, const float* weight, const float* bias, double eps, float* y,
                     int64_t n) {
  const float mean = ShiftedSum<false>(x, 0.0f, n) / static_cast<float>(n);
  const double variance = ShiftedSum<true>(x, mean, n) / static_cast<double>(n);
  const F32x16 m = F32x16::Broadcast(mean);
  const F32x16 r = F32x16::Broadcast(static_cast<float>(1.0 / sqrt(variance + eps)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    const F32x16 b = bias != nullptr ? F32x16::LoadPartial(bias + i, k) : F32x16::Broadcast(0.0f);
    const F32x16 normal = (F32x16::LoadPartial(x + i, k) - m) * r;
    MulAdd(normal, F32x16::LoadPartial(weight + i, k), b).StorePartial(y + i, k);
  }
}

void RmsNormKernel(const float* x, const float* weight, double eps, float* y, int64_t n) {
  const double mean_square = ShiftedSum<true>(x, 0.0f, n) / static_cast<double>(n);
  const F32x16 r = F32x16::Broadcast(static_cast<float>(1.0 / sqrt(mean_square + eps)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    (F32x16::LoadPartial(weight + i, k) * (F32x16::LoadPartial(x + i, k) * r))
        .StorePartial(y + i, k);
  }
}

void RotateKernel(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t k = half - i < kLanes ? half - i : kLanes;
    const F32x16 a = F32x16::LoadPartial(x + i, k);
    const F32x16 b = F32x16::LoadPartial(x + half + i, k);
    const F32x16 c = F32x16::LoadPartial(cos + i, k);
    const F32x16 s = F32x16::LoadPartial(sin + i, k);
    (a * c - b * s).StorePartial(x + i, k);
    (b * c + a * s).StorePartial(x + half + i, k);
  }
}

// Registers that hold sums, of the most rows and of fewer: F32x16s for each of kRows rows.
template <int kRows>
constexpr int VectorsPerRow() {
  return kRows * 4 <= kSumVectors ? 4 : kRows * 2 <= kSumVectors ? 2 : 1;
}

// What lies in a tile's scratch.
struct AttentionScratch {
  int64_t padded_dim;
  float* query;   // [rows / kRowBlock, head_dim, kRowBlock], scaled
  float* mixed;   // [rows, padded_dim]: values weighted by e^(score - max)
  float* sums;    // [rows, kLanes]: of e^(score - max), in parts
  float* max;     // [rows]: the largest score so far
  float* scores;  // [kRowBlock, kKeyTile], then e^(score - max)

  explicit AttentionScratch(const AttentionTileArgs& args)
      : padded_dim((args.head_dim + kLanes - 1) / kLanes * kLanes),
        query(args.scratch),
        mixed(query + kMaxTileRows * padded_dim),
        sums(mixed + kMaxTileRows * padded_dim),
        max(sums + kMaxTileRows * kLanes),
        scores(max + kMaxTileRows * kLanes) {}
};

inline const float* QueryOf(const AttentionTileArgs& args, int64_t r) {
  return args.query + r / args.heads * args.query_stride + r % args.heads * args.head_dim;
}

void BeginTile(const AttentionTileArgs& args, const AttentionScratch& scratch, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {  // rows lie far apart: ask for all of them at once
    const float* const query = QueryOf(args, r);
    for (int64_t d = 0; d < args.head_dim; d += kLanes) __builtin_prefetch(query + d);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float* const query = QueryOf(args, r);
    float* const packed = scratch.query + r / kRowBlock * kRowBlock * args.head_dim + r % kRowBlock;
    for (int64_t d = 0; d < args.head_dim; ++d) packed[d * kRowBlock] = query[d] * args.scale;
    scratch.max[r] = -INFINITY;
  }
  memset(scratch.mixed, 0, rows * scratch.padded_dim * sizeof(float));
  memset(scratch.sums, 0, rows * kLanes * sizeof(float));
}

// Scores of kRows queries, packed in kRowBlock columns, against kPages pages; row r's to scores + r
// * kKeyTile.
template <int kRows, int kPages>
void ScoreBlock(const AttentionTileArgs& args, const float* query, int64_t page, float* scores) {
  F32x16 sum[kRows][kPages];
  const float* keys[kPages];
#pragma GCC unroll 8
  for (int p = 0; p < kPages; ++p) {
    keys[p] = args.pages[page + p] + args.key_offset;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][p] = F32x16::Broadcast(0.0f);
  }
  for (int64_t d = 0; d < args.head_dim; ++d, query += kRowBlock) {
    F32x16 key[kPages];
#pragma GCC unroll 8
    for (int p = 0; p < kPages; ++p) key[p] = F32x16::Load(keys[p] + d * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F32x16 q = F32x16::Broadcast(query[r]);
#pragma GCC unroll 8
      for (int p = 0; p < kPages; ++p) sum[r][p] = MulAdd(q, key[p], sum[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPages; ++p) sum[r][p].Store(scores + r * kKeyTile + p * kLanes);
  }
}

// The same of the pages [page, page_end).
template <int kRows>
void Score(const AttentionTileArgs& args, const float* query, int64_t page, int64_t page_end,
           float* scores) {
  constexpr int kPages = VectorsPerRow<kRows>();
  for (; page + kPages <= page_end; page += kPages, scores += kPages * kLanes) {
    ScoreBlock<kRows, kPages>(args, query, page, scores);
  }
  for (; page < page_end; ++page, scores += kLanes) {
    ScoreBlock<kRows, 1>(args, query, page, scores);
  }
}

// The page at `j` with `fill` in the lanes outside [begin, end).
inline F32x16 KeepBetween(F32x16 page, int64_t j, int64_t begin, int64_t end, float fill) {
  return KeepFrom(KeepFirst(page, end - j, fill), begin - j, fill);
}

// The soft cap and the slope over the scores of the keys [begin, end), multiples of kLanes, of row
// r. A pass of their own, because few models have one.
void BendScores(const AttentionTileArgs& args, int64_t r, int64_t begin, int64_t end,
                float* scores) {
  static const float kIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const float slope = args.slopes != nullptr ? args.slopes[r % args.heads] : 0.0f;
  if (args.soft_cap == 0 && slope == 0) return;
  for (int64_t j = begin; j < end; j += kLanes, scores += kLanes) {
    F32x16 bent = F32x16::Load(scores);
    if (args.soft_cap != 0) bent = Capped(bent, args.soft_cap);
    if (slope != 0) {
      const float distance = static_cast<float>(j - (args.query_position + r / args.heads));
      bent = MulAdd(F32x16::Broadcast(slope), F32x16::Load(kIndex) + F32x16::Broadcast(distance),
                    bent);
    }
    bent.Store(scores);
  }
}

struct KeyRange {
  int64_t begin, end;
};

inline KeyRange Intersect(KeyRange a, KeyRange b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}

// Multiples of kLanes around a range.
inline KeyRange WholePages(KeyRange keys) {
  return {keys.begin / kLanes * kLanes, (keys.end + kLanes - 1) / kLanes * kLanes};
}

inline KeyRange KeysOf(const AttentionTileArgs& args, int64_t r) {
  return {FirstKey(args, r / args.heads), KeyEnd(args, r / args.heads)};
}

// The largest of `max` and a row's scores of the keys `seen`, which lie in `pages`.
inline float LargestScore(float max, KeyRange seen, KeyRange pages, const float* scores) {
  F32x16 most = F32x16::Broadcast(max);
  const bool is_whole = seen.begin == pages.begin && seen.end == pages.end;
  for (int64_t j = pages.begin; j < pages.end; j += kLanes, scores += kLanes) {
    F32x16 some = F32x16::Load(scores);
    if (!is_whole) some = KeepBetween(some, j, seen.begin, seen.end, -INFINITY);
    most = Max(most, some);
  }
  return ReduceMax(most);
}

// Scores become e^(score - shift), and 0 for those of keys that are not `seen`; returns sum +
// these.
inline F32x16 Exponentials(F32x16 sum, float shift, KeyRange seen, KeyRange pages, float* scores) {
  const F32x16 shifts = F32x16::Broadcast(shift);
  if (seen.end - seen.begin == kKeyTile) {  // the usual case, four at a time
    F32x16 e[kKeyTile / kLanes];
#pragma GCC unroll 4
    for (int i = 0; i < kKeyTile / kLanes; ++i) {
      e[i] = Exp(F32x16::Load(scores + i * kLanes) - shifts);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kKeyTile / kLanes; ++i) {
      e[i].Store(scores + i * kLanes);
      sum = sum + e[i];
    }
    return sum;
  }
  for (int64_t j = pages.begin; j < pages.end; j += kLanes, scores += kLanes) {
    // What lies outside may be no number that Exp can take.
    const F32x16 some = KeepBetween(F32x16::Load(scores) - shifts, j, seen.begin, seen.end, 0.0f);
    const F32x16 e = KeepBetween(Exp(some), j, seen.begin, seen.end, 0.0f);
    e.Store(scores);
    sum = sum + e;
  }
  return sum;
}

// Takes a row's scores of the keys `pages`, multiples of kLanes, into its sums, and makes weights
// of them. Returns what scales its earlier sums.
float TakeScores(const AttentionTileArgs& args, const AttentionScratch& scratch, int64_t r,
                 KeyRange pages, float* scores) {
  const KeyRange seen = Intersect(KeysOf(args, r), pages);
  if (seen.begin >= seen.end) {
    memset(scores, 0, (pages.end - pages.begin) * sizeof(float));
    return 1.0f;
  }
  BendScores(args, r, pages.begin, pages.end, scores);
  const float max = LargestScore(scratch.max[r], seen, pages, scores);
  const float rescale = max == scratch.max[r] ? 1.0f : Exp(scratch.max[r] - max);
  scratch.max[r] = max;
  float* const sums = scratch.sums + r * kLanes;
  const F32x16 rescaled = F32x16::Load(sums) * F32x16::Broadcast(rescale);
  Exponentials(rescaled, max, seen, pages, scores).Store(sums);
  return rescale;
}

// What MixBlock adds up: the weights of row r's keys from `keys.begin` on at weights + r *
// kKeyTile.
struct MixArgs {
  KeyRange keys;
  const float* weights;
  const float* rescale;  // [rows]
  float* mixed;          // [rows, padded_dim]
  int64_t padded_dim;
};

// Columns [d, d + 16 kVectors) of mixed * rescale + the weighted sum of values for kRows rows, keys
// in ascending order. kPartial: the one vector has only `lanes` columns.
template <int kRows, int kVectors, bool kPartial>
void MixBlock(const AttentionTileArgs& args, const MixArgs& mix, int64_t d, int64_t lanes) {
  F32x16 sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const F32x16 rescale = F32x16::Broadcast(mix.rescale[r]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = F32x16::Load(mix.mixed + r * mix.padded_dim + d + v * kLanes) * rescale;
    }
  }
  const float* weights = mix.weights;
  for (int64_t j = mix.keys.begin; j < mix.keys.end;) {
    const int64_t page_end = (j / kLanes + 1) * kLanes;
    const int64_t end = page_end < mix.keys.end ? page_end : mix.keys.end;
    const float* value =
        args.pages[j / kLanes] + args.value_offset + j % kLanes * args.head_dim + d;
    for (; j < end; ++j, ++weights, value += args.head_dim) {
      F32x16 some[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        some[v] = kPartial ? F32x16::LoadPartial(value, lanes) : F32x16::Load(value + v * kLanes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const F32x16 weight = F32x16::Broadcast(weights[r * kKeyTile]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = MulAdd(weight, some[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v].Store(mix.mixed + r * mix.padded_dim + d + v * kLanes);
    }
  }
}

template <int kRows>
void Mix(const AttentionTileArgs& args, const MixArgs& mix) {
  constexpr int kVectors = VectorsPerRow<kRows>();
  int64_t d = 0;
  for (; d + kVectors * kLanes <= args.head_dim; d += kVectors * kLanes) {
    MixBlock<kRows, kVectors, false>(args, mix, d, 0);
  }
  for (; d + kLanes <= args.head_dim; d += kLanes) MixBlock<kRows, 1, false>(args, mix, d, 0);
  if (d < args.head_dim) MixBlock<kRows, 1, true>(args, mix, d, args.head_dim - d);
}

// Rows [row, row + kRows) of one block take the keys [begin, begin + kKeyTile). A row's weights
// outside what it sees are exactly 0, so that all run over the keys of all of them: adding 0 * v
// changes no bit of a finite sum.
template <int kRows>
void TakeKeys(const AttentionTileArgs& args, const AttentionScratch& scratch, int64_t row,
              int64_t begin) {
  const KeyRange all = {KeysOf(args, row).begin, KeysOf(args, row + kRows - 1).end};
  const KeyRange keys = Intersect(all, {begin, begin + kKeyTile});
  if (keys.begin >= keys.end) return;
  const KeyRange pages = WholePages(keys);
  Score<kRows>(args, scratch.query + row * args.head_dim, pages.begin / kLanes, pages.end / kLanes,
               scratch.scores);
  float rescale[kRows];
  for (int r = 0; r < kRows; ++r) {
    rescale[r] = TakeScores(args, scratch, row + r, pages, scratch.scores + int64_t{r} * kKeyTile);
  }
  Mix<kRows>(args, {keys, scratch.scores + (keys.begin - pages.begin), rescale,
                    scratch.mixed + row * scratch.padded_dim, scratch.padded_dim});
}

void FinishTile(const AttentionTileArgs& args, const AttentionScratch& scratch, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    const F32x16 norm =
        F32x16::Broadcast(1.0f / ReduceAdd(F32x16::Load(scratch.sums + r * kLanes)));
    float* const output =
        args.output + r / args.heads * args.output_stride + r % args.heads * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; d += kLanes) {
      const F32x16 mixed = F32x16::Load(scratch.mixed + r * scratch.padded_dim + d) * norm;
      const int64_t left = args.head_dim - d;
      mixed.StorePartial(output + d, left < kLanes ? left : kLanes);
    }
  }
}

// Online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867) over tiles of keys, which all rows
// take while they are near (Dao et al. 2022, arXiv 2205.14135).
void AttentionTileKernel(const AttentionTileArgs& args) {
  using Function = void (*)(const AttentionTileArgs&, const AttentionScratch&, int64_t, int64_t);
  static constexpr Function kTakeKeys[kRowBlock] = {TakeKeys<1>, TakeKeys<2>, TakeKeys<3>,
                                                    TakeKeys<4>, TakeKeys<5>, TakeKeys<6>};
  const AttentionScratch scratch(args);
  const int64_t rows = args.positions * args.heads;
  BeginTile(args, scratch, rows);
  const int64_t end = KeysOf(args, rows - 1).end;
  for (int64_t j = KeysOf(args, 0).begin / kKeyTile * kKeyTile; j < end; j += kKeyTile) {
    for (int64_t row = 0; row < rows; row += kRowBlock) {
      const int64_t left = rows - row, count = left < kRowBlock ? left : kRowBlock;
      kTakeKeys[count - 1](args, scratch, row, j);
    }
  }
  FinishTile(args, scratch, rows);
}

void AttentionWeightsKernel(const AttentionTileArgs& args, int64_t r, float* weights) {
  const AttentionScratch scratch(args);
  const KeyRange keys = KeysOf(args, r), pages = WholePages(keys);
  const float* const query =
      scratch.query + r / kRowBlock * kRowBlock * args.head_dim + r % kRowBlock;
  Score<1>(args, query, pages.begin / kLanes, pages.end / kLanes, weights + pages.begin);
  BendScores(args, r, pages.begin, pages.end, weights + pages.begin);
  const F32x16 shift = F32x16::Broadcast(scratch.max[r]);
  const F32x16 norm = F32x16::Broadcast(1.0f / ReduceAdd(F32x16::Load(scratch.sums + r * kLanes)));
  for (int64_t j = pages.begin; j < pages.end; j += kLanes) {
    const F32x16 some =
        KeepBetween(F32x16::Load(weights + j) - shift, j, keys.begin, keys.end, 0.0f);
    (Exp(some) * norm).Store(weights + j);
  }
}

constexpr IsaKernels kKernels = {LayerNormKernel,     RmsNormKernel,         ActivateKernel,
                                 ActivateGatedKernel, SoftCapKernel,         RotateKernel,
                                 AttentionTileKernel, AttentionWeightsKernel};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
