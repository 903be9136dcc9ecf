// The vector kernels, written once over F32x16. Included by the file of each instruction set, after
// its vector header.
//
// Every sum runs in an order that depends only on positions, so a row's bits do not depend on which
// rows share its tile.
#ifndef HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
#define HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_

#include <math.h>
#include <stdint.h>

#include "model/kernels/isa_kernels.h"

namespace heed {
namespace {

constexpr int64_t kLanes = 16;  // of F32x16, and tokens of a page

// Sum and maximum of the lanes, as a fixed tree.
inline float ReduceAdd(F32x16 v) {
  float lane[kLanes];
  v.Store(lane);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  }
  return lane[0];
}

inline float ReduceMax(F32x16 v) {
  float lane[kLanes];
  v.Store(lane);
  float max = lane[0];
  for (int i = 1; i < kLanes; ++i) max = lane[i] > max ? lane[i] : max;
  return max;
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

// Scaled scores of kRows queries against kPages pages from `page` on, into args.weights.
template <int kRows, int kPages>
void ScoreBlock(const AttentionTileArgs& args, int64_t row, int64_t page) {
  F32x16 sum[kRows][kPages];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPages; ++p) sum[r][p] = F32x16::Broadcast(0.0f);
  }
  for (int64_t d = 0; d < args.head_dim; ++d) {
    F32x16 keys[kPages];
    for (int p = 0; p < kPages; ++p)
      keys[p] = F32x16::Load(args.pages[page + p] + args.key_offset + d * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const F32x16 q = F32x16::Broadcast(args.query[(row + r) * args.query_stride + d]);
      for (int p = 0; p < kPages; ++p) sum[r][p] = MulAdd(q, keys[p], sum[r][p]);
    }
  }
  const F32x16 scale = F32x16::Broadcast(args.scale);
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPages; ++p) {
      (sum[r][p] * scale)
          .Store(args.weights + (row + r) * args.weights_stride + (page + p) * kLanes);
    }
  }
}

template <int kRows, int kPages>
void Score(const AttentionTileArgs& args, int64_t row, int64_t page, int64_t page_end) {
  for (; page + kPages <= page_end; page += kPages) ScoreBlock<kRows, kPages>(args, row, page);
  if constexpr (kPages > 1) {
    for (; page < page_end; ++page) ScoreBlock<kRows, 1>(args, row, page);
  }
}

// Calls fn(j, is_partial) for each page that holds some of the keys [begin, end), j its first key.
template <typename Fn>
inline void ForEachPage(int64_t begin, int64_t end, const Fn& fn) {
  int64_t j = begin / kLanes * kLanes;
  if (j < begin) {
    fn(j, true);
    j += kLanes;
  }
  for (; j + kLanes <= end; j += kLanes) fn(j, false);
  if (j < end) fn(j, true);
}

// The page at `j` with `fill` in the lanes outside [begin, end).
inline F32x16 KeepBetween(F32x16 page, int64_t j, int64_t begin, int64_t end, float fill) {
  return KeepFrom(KeepFirst(page, end - j, fill), begin - j, fill);
}

// The soft cap and the slope over the pages of the scores [begin, end) of row r. A pass of their
// own, because few models have one.
void BendScores(const AttentionTileArgs& args, int64_t r, int64_t begin, int64_t end) {
  static const float kIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  float* weights = args.weights + r * args.weights_stride;
  const F32x16 slope = F32x16::Broadcast(args.slope);
  for (int64_t j = begin / kLanes * kLanes; j < end; j += kLanes) {
    F32x16 scores = F32x16::Load(weights + j);
    if (args.soft_cap != 0) scores = Capped(scores, args.soft_cap);
    if (args.slope != 0) {
      const float distance = static_cast<float>(j - (args.query_position + r));
      scores = MulAdd(slope, F32x16::Load(kIndex) + F32x16::Broadcast(distance), scores);
    }
    scores.Store(weights + j);
  }
}

// Softmax over the scores [begin, end) of a row; the rest of their pages becomes exactly 0.
void SoftmaxRow(float* weights, int64_t begin, int64_t end) {
  F32x16 max = F32x16::Broadcast(-INFINITY);
  ForEachPage(begin, end, [&](int64_t j, bool is_partial) {
    F32x16 scores = F32x16::Load(weights + j);
    if (is_partial) scores = KeepBetween(scores, j, begin, end, -INFINITY);
    max = Max(max, scores);
  });
  const F32x16 shift = F32x16::Broadcast(ReduceMax(max));
  F32x16 sum = F32x16::Broadcast(0.0f);
  ForEachPage(begin, end, [&](int64_t j, bool is_partial) {
    F32x16 scores = F32x16::Load(weights + j) - shift;
    // What lies outside may be no number that Exp can take.
    if (is_partial) scores = KeepBetween(scores, j, begin, end, 0.0f);
    F32x16 e = Exp(scores);
    if (is_partial) e = KeepBetween(e, j, begin, end, 0.0f);
    e.Store(weights + j);
    sum = sum + e;
  });
  const F32x16 norm = F32x16::Broadcast(1.0f / ReduceAdd(sum));
  ForEachPage(begin, end,
              [&](int64_t j, bool) { (F32x16::Load(weights + j) * norm).Store(weights + j); });
}

struct KeyRange {
  int64_t begin, end;
};

// Columns [d, d + 16 kBlocks) of the weighted sum of values for kRows rows, keys in ascending
// order. kPartial: the one block has only `lanes` columns.
template <int kRows, int kBlocks, bool kPartial>
void MixBlock(const AttentionTileArgs& args, int64_t row, KeyRange keys, int64_t d, int64_t lanes) {
  F32x16 sum[kRows][kBlocks];
  for (int r = 0; r < kRows; ++r) {
    for (int b = 0; b < kBlocks; ++b) sum[r][b] = F32x16::Broadcast(0.0f);
  }
  const uint64_t end = keys.end;  // unsigned: a key's page is a shift, its place a mask
  for (uint64_t j = keys.begin; j < end; ++j) {
    const float* value =
        args.pages[j / kLanes] + args.value_offset + (j % kLanes) * args.head_dim + d;
    F32x16 v[kBlocks];
    for (int b = 0; b < kBlocks; ++b) {
      v[b] = kPartial ? F32x16::LoadPartial(value, lanes) : F32x16::Load(value + b * kLanes);
    }
    for (int r = 0; r < kRows; ++r) {
      const F32x16 w = F32x16::Broadcast(args.weights[(row + r) * args.weights_stride + j]);
      for (int b = 0; b < kBlocks; ++b) sum[r][b] = MulAdd(w, v[b], sum[r][b]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* out = args.output + (row + r) * args.output_stride + d;
    for (int b = 0; b < kBlocks; ++b) {
      if (kPartial) {
        sum[r][b].StorePartial(out, lanes);
      } else {
        sum[r][b].Store(out + b * kLanes);
      }
    }
  }
}

template <int kRows, int kBlocks>
void Mix(const AttentionTileArgs& args, int64_t row, KeyRange keys) {
  int64_t d = 0;
  for (; d + kBlocks * kLanes <= args.head_dim; d += kBlocks * kLanes) {
    MixBlock<kRows, kBlocks, false>(args, row, keys, d, 0);
  }
  for (; d + kLanes <= args.head_dim; d += kLanes) MixBlock<kRows, 1, false>(args, row, keys, d, 0);
  if (d < args.head_dim) MixBlock<kRows, 1, true>(args, row, keys, d, args.head_dim - d);
}

// A row's weights outside what it sees are exactly 0, so the rows of one block all run over the
// keys of all of them: adding 0 * v changes no bit of a finite sum.
template <int kRows, int kPages, int kBlocks>
void TileRows(const AttentionTileArgs& args, int64_t row) {
  const KeyRange keys = {FirstKey(args, row), KeyEnd(args, row + kRows - 1)};
  const int64_t page = keys.begin / kLanes;
  const int64_t page_end = (keys.end + kLanes - 1) / kLanes;
  Score<kRows, kPages>(args, row, page, page_end);
  for (int64_t r = row; r < row + kRows; ++r) {
    float* weights = args.weights + r * args.weights_stride;
    const int64_t begin = FirstKey(args, r), end = KeyEnd(args, r);
    if (args.soft_cap != 0 || args.slope != 0) BendScores(args, r, begin, end);
    SoftmaxRow(weights, begin, end);
    for (int64_t j = page * kLanes; j < begin / kLanes * kLanes; ++j) weights[j] = 0.0f;
    const int64_t own_end = (end + kLanes - 1) / kLanes * kLanes;
    for (int64_t j = own_end; j < page_end * kLanes; ++j) weights[j] = 0.0f;
  }
  Mix<kRows, kBlocks>(args, row, keys);
}

void AttentionTileKernel(const AttentionTileArgs& args) {
  int64_t row = 0;
  for (; row + 8 <= args.rows; row += 8) TileRows<8, 1, 2>(args, row);
  for (; row + 4 <= args.rows; row += 4) TileRows<4, 2, 2>(args, row);
  for (; row < args.rows; ++row) TileRows<1, 4, 4>(args, row);
}

constexpr IsaKernels kKernels = {LayerNormKernel,     RmsNormKernel, ActivateKernel,
                                 ActivateGatedKernel, SoftCapKernel, RotateKernel,
                                 AttentionTileKernel};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
