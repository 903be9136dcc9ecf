// IntKernels::tile8 and tile4, written once over F32x16 and over a Dot, which says how an
// instruction set multiplies bytes. Included by the file of each, after its vector header. The
// rules of isa_kernels.h hold here.
//
//   kBits                   of a weight
//   kCols                   of one register
//   kSteps                  whose products are added at once
//   kHeld                   registers of weights, at most, that are kept while all rows pass by
//   kTakesOffZero           from each weight, rather than that sums begin with it
//   Sums, Weights           of kCols columns; the latter of kSteps steps
//   Start(start)            Sums that begin with it
//   Load(w, step)           the weights from `step` on, where the first step's are at w
//   Add(weights, x, sums)   sums += their products with the activations of a row, at x
//   ToFloats(sums)          of the kBlockCols columns from sums[0] on
#ifndef HEED_MODEL_KERNELS_INT_TILE_IMPL_H_
#define HEED_MODEL_KERNELS_INT_TILE_IMPL_H_

#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

// Columns whose sums go together in one F32x16.
constexpr int64_t kBlockCols = 16;

// What __builtin_prefetch is told.
constexpr int kToRead = 0, kToWrite = 1, kAllLevels = 3, kNotFirstLevel = 2;
constexpr int64_t kLine = 64;

// Registers that hold the sums of kBlockCols columns.
template <typename Dot>
constexpr int kParts = kBlockCols / Dot::kCols;

// How far ahead of the arithmetic weights are asked for: they come from memory exactly once when
// there are few rows.
constexpr int64_t kPrefetchBytes = 4096;

// Blocks of columns that go together. Weights that come from memory are best read in order. Of
// those in a cache so many blocks that their sums and totals fit the registers, if there are such:
// totals that go to memory after each group cost more, since stores take turns with products on
// some processors.
template <int kRows, bool kCold>
struct Together {
  static constexpr int MostBlocks(int rows) {
    return 4 * rows <= kSumVectors ? 4 : 2 * rows <= kSumVectors ? 2 : 1;
  }
  static constexpr int kCount = MostBlocks(kCold ? kRows : 2 * kRows);
  static constexpr bool kKeepsTotals = 2 * kRows * kCount <= kSumVectors;
};

// The activations of a step, one after the other in a word that may lie anywhere.
using FourBytesAt = int32_t __attribute__((aligned(1), may_alias));
inline const FourBytesAt& FourBytes(const int8_t* x) {
  return *reinterpret_cast<const FourBytesAt*>(x);
}

// Asks for what comes next a little at a time.
class Ahead {
 public:
  Ahead(const IntTileArgs& args, int64_t pieces)
      : at_(args.ahead), end_(at_ + args.ahead_bytes), piece_(args.ahead_bytes / pieces + 1) {}

  void AskForPiece() {
    const uint8_t* const end = end_ - at_ < piece_ ? end_ : at_ + piece_;
    for (; at_ < end; at_ += kLine) __builtin_prefetch(at_, kToRead, kNotFirstLevel);
  }

 private:
  const uint8_t* at_;
  const uint8_t* const end_;
  const int64_t piece_;
};

// Asks for the lines of the results, to be written: rows lie far apart, and often in another core's
// cache.
inline void AskForResults(const IntTileArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t col = 0; col < args.cols; col += kBlockCols) {
      __builtin_prefetch(args.y + r * args.y_stride + col, kToWrite, kAllLevels);
    }
  }
}

template <int kCount>
inline void SetZero(F32x16 (&totals)[kCount]) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) totals[v] = F32x16::Broadcast(0);
}

template <int kCount>
inline void LoadTotals(const float* from, F32x16 (&totals)[kCount]) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) totals[v] = F32x16::Load(from + kBlockCols * v);
}

template <int kCount>
inline void StoreTotals(const F32x16 (&totals)[kCount], float* to) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) totals[v].Store(to + kBlockCols * v);
}

// Of a row's columns from `first` on.
template <int kCount>
inline void StoreResults(const IntTileArgs& args, int64_t first, const F32x16 (&totals)[kCount],
                         float* y) {
  const F32x16 unit = F32x16::Broadcast(args.unit);
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) {
    const int64_t col = first + kBlockCols * v, n = args.cols - col;
    F32x16 sum = MulAdd(totals[v], unit, F32x16::Load(args.bias + col));
    if (args.accumulate) sum = F32x16::LoadPartial(y + col, n) + sum;
    sum.StorePartial(y + col, n);
  }
}

// totals += dots * w_scale * x_scale, for each column.
template <typename Dot, int kCount>
inline void AddScaled(const typename Dot::Sums* dots, const F32x16 (&w_scale)[kCount],
                      float x_scale, F32x16 (&totals)[kCount]) {
  const F32x16 factor = F32x16::Broadcast(x_scale);
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) {
    totals[v] = MulAdd(Dot::ToFloats(dots + v * kParts<Dot>) * w_scale[v], factor, totals[v]);
  }
}

// Dot::kSteps steps from `step` on.
template <typename Dot, int kRows, int kVectors>
inline void AddStep(const uint8_t* w, const int8_t* x, int step,
                    typename Dot::Sums (&dots)[kRows][kVectors]) {
  constexpr int kHeld = Dot::kHeld < kVectors ? Dot::kHeld : kVectors;
  x += step * kStepActivations;
#pragma GCC unroll 8
  for (int first = 0; first < kVectors; first += kHeld) {
    typename Dot::Weights weights[kHeld];
#pragma GCC unroll 8
    for (int v = 0; v < kHeld; ++v) {
      weights[v] = Dot::Load(w + (first + v) * Dot::kCols * kDotWidth, step);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kHeld; ++v) Dot::Add(weights[v], x + r * kDotWidth, dots[r][first + v]);
    }
  }
}

// All steps of a group, of which there are a multiple of 4.
template <typename Dot, int kRows, int kVectors, bool kCold>
inline void AddSteps(const uint8_t* w, const int8_t* x, int64_t steps,
                     typename Dot::Sums (&dots)[kRows][kVectors]) {
  constexpr int kUnroll = 4;
  for (int64_t step = 0; step < steps; step += kUnroll) {
#pragma GCC unroll 8
    for (int i = 0; kCold && i < kUnroll * Dot::kBits / 8; ++i) {
#pragma GCC unroll 8
      for (int64_t line = 0; line < kVectors * Dot::kCols * kDotWidth; line += kLine) {
        __builtin_prefetch(w + i * kStepBytes + line + kPrefetchBytes, kToRead, kAllLevels);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kUnroll; i += Dot::kSteps) AddStep<Dot>(w, x, i, dots);
    w += kUnroll * kStepBytes * Dot::kBits / 8;
    x += kUnroll * kStepActivations;
  }
}

// The groups from `begin` to `end`, of the columns from `first` on that go together.
template <typename Dot, int kRows, bool kCold>
inline void AddGroups(const IntTileArgs& args, int64_t first, int64_t begin, int64_t end,
                      Ahead& ahead) {
  constexpr int kCount = Together<kRows, kCold>::kCount;
  constexpr bool kKeepsTotals = Together<kRows, kCold>::kKeepsTotals;
  constexpr int kVectors = kCount * kParts<Dot>;
  const int64_t steps = args.group / kDotWidth;
  const int8_t* x = args.x + begin * steps * kStepActivations;
  const float* x_scale = args.x_scale + begin * kMaxIntTileRows;
  const int32_t* x_start = args.x_start + begin * kMaxIntTileRows;
  const uint8_t* w = args.w + begin * steps * kStepBytes * Dot::kBits / 8 + first * kDotWidth;
  const uint16_t* w_scales = args.w_scale + begin * kPanelCols + first;
  float* const at = args.total + first;
  F32x16 totals[kRows][kCount];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (begin == 0) {
      SetZero(totals[r]);
      if (!kKeepsTotals) StoreTotals(totals[r], at + r * kPanelCols);
    } else if (kKeepsTotals) {
      LoadTotals(at + r * kPanelCols, totals[r]);
    }
  }
  for (int64_t g = begin; g < end; ++g) {
    ahead.AskForPiece();
    typename Dot::Sums dots[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        dots[r][v] = Dot::Start(Dot::kTakesOffZero ? 0 : x_start[r]);
      }
    }
    AddSteps<Dot, kRows, kVectors, kCold>(w, x, steps, dots);
    w += steps * kStepBytes * Dot::kBits / 8;
    x += steps * kStepActivations;
    F32x16 w_scale[kCount];
#pragma GCC unroll 8
    for (int v = 0; v < kCount; ++v) w_scale[v] = LoadHalf(w_scales + kBlockCols * v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (!kKeepsTotals) LoadTotals(at + r * kPanelCols, totals[r]);
      AddScaled<Dot>(dots[r], w_scale, x_scale[r], totals[r]);
      if (!kKeepsTotals) StoreTotals(totals[r], at + r * kPanelCols);
    }
    w_scales += kPanelCols;
    x_scale += kMaxIntTileRows;
    x_start += kMaxIntTileRows;
  }
  const bool is_last = end == args.n_groups;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (is_last) {
      StoreResults(args, first, totals[r], args.y + r * args.y_stride);
    } else if (kKeepsTotals) {
      StoreTotals(totals[r], at + r * kPanelCols);
    }
  }
}

template <typename Dot, int kRows, bool kCold>
void RunTile(const IntTileArgs& args) {
  constexpr int64_t kCols = Together<kRows, kCold>::kCount * kBlockCols;
  const int64_t groups = args.end_group - args.begin_group;
  const int64_t at_once = kCold && kCols < kPanelCols ? 1 : groups;
  if (args.end_group == args.n_groups) AskForResults(args);
  Ahead ahead(args, groups * kPanelCols / kCols);
  for (int64_t g = args.begin_group; g < args.end_group; g += at_once) {
    for (int64_t first = 0; first < kPanelCols; first += kCols) {
      AddGroups<Dot, kRows, kCold>(args, first, g, g + at_once, ahead);
    }
  }
}

template <typename Dot>
void Tile(const IntTileArgs& args) {
  using Function = void (*)(const IntTileArgs&);
  static constexpr Function kByRows[2][kMaxIntTileRows] = {
      {RunTile<Dot, 1, true>, RunTile<Dot, 2, true>, RunTile<Dot, 3, true>, RunTile<Dot, 4, true>,
       RunTile<Dot, 5, true>, RunTile<Dot, 6, true>},
      {RunTile<Dot, 1, false>, RunTile<Dot, 2, false>, RunTile<Dot, 3, false>,
       RunTile<Dot, 4, false>, RunTile<Dot, 5, false>, RunTile<Dot, 6, false>}};
  kByRows[args.is_warm][args.rows - 1](args);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_TILE_IMPL_H_
