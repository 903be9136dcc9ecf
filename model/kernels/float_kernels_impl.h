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

inline F32x16 LoadWeights(const float* p) {
  return F32x16::Load(p);
}
inline F32x16 LoadWeights(const uint16_t* p) {
  return LoadHalf(p);
}

// 16 columns of a result.
inline void WriteColumns(const FloatTileArgs& args, F32x16 sum, int64_t row, int64_t col) {
  float* const total = args.total + row * kTileCols + col;
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

template <typename Weight, int kRows>
void Tile(const FloatTileArgs& args) {
  F32x16 sum[kRows][kTileVectors];
  for (auto& row : sum) {
    for (F32x16& columns : row) columns = F32x16::Broadcast(0);
  }
  const float* x = args.x;
  const Weight* w = static_cast<const Weight*>(args.w);
  const char* ahead = args.ahead;
  for (int64_t k = 0; k < args.features; ++k) {
    F32x16 weights[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) {
      weights[v] = LoadWeights(w + 16 * v);
    }
    __builtin_prefetch(ahead, 0, 2);
    if (sizeof(Weight) == 4) __builtin_prefetch(ahead + 64, 0, 2);
    ahead += args.ahead_step;
    for (int r = 0; r < kRows; ++r) {
      const F32x16 value = F32x16::Broadcast(x[r]);
      for (int v = 0; v < kTileVectors; ++v) sum[r][v] = MulAdd(value, weights[v], sum[r][v]);
    }
    x += kRows;
    w += kTileCols;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) WriteColumns(args, sum[r][v], r, 16 * v);
  }
}

// The tile of args.rows rows, at most kRows.
template <typename Weight, int kRows = kTileRows>
void RunTile(const FloatTileArgs& args) {
  if constexpr (kRows > 1) {
    if (args.rows < kRows) return RunTile<Weight, kRows - 1>(args);
  }
  Tile<Weight, kRows>(args);
}

void Widen(const uint16_t* from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; i += 16) LoadHalf(from + i).Store(to + i);
}

void Narrow(const float* from, int64_t n, uint16_t* to) {
  for (int64_t i = 0; i < n; i += 16) StoreHalf(F32x16::Load(from + i), to + i);
}

constexpr FloatKernels kFloatKernels = {.panel_cols = kTileCols,
                                        .max_rows = kTileRows,
                                        .tile32 = RunTile<float>,
                                        .tile16 = RunTile<uint16_t>,
                                        .widen = Widen,
                                        .narrow = Narrow};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_FLOAT_KERNELS_IMPL_H_
