// The kernels of float_kernels.h over F32x16, for the file of one instruction set to include after
// its vector_*.h and after
//   constexpr int kTileVectors, kTileRows;  // whose sums stay in registers
#ifndef HEED_MODEL_KERNELS_FLOAT_KERNELS_IMPL_H_
#define HEED_MODEL_KERNELS_FLOAT_KERNELS_IMPL_H_

#include <stdint.h>

#include "model/kernels/float_kernels.h"

namespace heed {
namespace {

constexpr int64_t kTileCols = 16 * kTileVectors;

// Of a tile twice as wide: fewer rows than these two leave most of the sums unused.
constexpr int kWideVectors = 2 * kTileVectors;
constexpr int kWideRows = kTileRows < 4 ? 1 : (kTileRows - 2) / 2;

inline F32x16 LoadWeights(const float* p) {
  return F32x16::Load(p);
}
inline F32x16 LoadWeights(const uint16_t* p) {
  return LoadHalf(p);
}

// 16 columns of a result. Totals of a row are `total_stride` apart.
inline void WriteColumns(const FloatTileArgs& args, F32x16 sum, int64_t row, int64_t col,
                         int64_t total_stride) {
  float* const total = args.total + row * total_stride + col;
  if (!args.is_first) sum = F32x16::Load(total) + sum;
  if (!args.is_last) return sum.Store(total);
  sum = sum + F32x16::Load(args.bias + col);
  float* const y = args.y + row * args.y_stride + col;
  const int64_t n = args.cols - col;
  if (n >= 16) {
    if (args.accumulate) sum = F32x16::Load(y) + sum;
    sum.Store(y);
  } else if (n > 0) {
    if (args.accumulate) sum = F32x16::LoadPartial(y, n) + sum;
    sum.StorePartial(y, n);
  }
}

template <typename Weight, int kVectors, int kRows>
void Tile(const FloatTileArgs& args) {
  constexpr int kBytes = 16 * kVectors * sizeof(Weight);
  // Asking for weights takes as long as reading them: of a whole panel, with little else to do, the
  // processor asks for what comes next by itself, and soon enough.
  constexpr bool kAsksAhead = kVectors < kWideVectors || kRows >= 4;
  F32x16 sum[kRows][kVectors];
  for (auto& row : sum) {
    for (F32x16& columns : row) columns = F32x16::Broadcast(0);
  }
  const float* x = args.x;
  const Weight* w = static_cast<const Weight*>(args.w);
  const char* ahead = args.ahead;
  for (int64_t k = 0; k < args.features; ++k) {
    F32x16 weights[kVectors];
    for (int v = 0; v < kVectors; ++v) weights[v] = LoadWeights(w + 16 * v);
    if constexpr (kAsksAhead) {
      for (int byte = 0; byte < kBytes; byte += 64) __builtin_prefetch(ahead + byte, 0, 2);
    }
    ahead += args.ahead_step;
    for (int r = 0; r < kRows; ++r) {
      const F32x16 value = F32x16::Broadcast(x[r]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = MulAdd(value, weights[v], sum[r][v]);
    }
    x += kRows;
    w += args.w_stride;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) WriteColumns(args, sum[r][v], r, 16 * v, 16 * kVectors);
  }
}

// The tile of args.rows rows, at most kRows.
template <typename Weight, int kVectors, int kRows>
void RunTile(const FloatTileArgs& args) {
  if constexpr (kRows > 1) {
    if (args.rows < kRows) return RunTile<Weight, kVectors, kRows - 1>(args);
  }
  Tile<Weight, kVectors, kRows>(args);
}

void Widen(const uint16_t* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; i += 16) LoadHalf(from + i).Store(to + i);
}

void Narrow(const float* from, int64_t n, uint16_t* to) {
  for (int64_t i = 0; i < n; i += 16) StoreHalf(F32x16::Load(from + i), to + i);
}

constexpr FloatKernels kFloatKernels = {.panel_cols = kTileCols,
                                        .max_rows = kTileRows,
                                        .max_wide_rows = kWideRows,
                                        .tile32 = RunTile<float, kTileVectors, kTileRows>,
                                        .tile16 = RunTile<uint16_t, kTileVectors, kTileRows>,
                                        .wide_tile32 = RunTile<float, kWideVectors, kWideRows>,
                                        .widen = Widen,
                                        .narrow = Narrow};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_FLOAT_KERNELS_IMPL_H_
