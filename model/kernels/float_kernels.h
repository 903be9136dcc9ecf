// The kernels of linear layers whose weights are floats, of 32 or 16 bits: a table for each
// instruction set, as in isa_kernels.h.
//
// Weights lie in panels of `panel_cols` output features: [features, panel_cols], features being the
// layer's input features.
//
// A sum's order is fixed: the products of each kFloatChunk features one after the other from 0,
// each a fused multiply-add where there are such, and these sums one after the other. So a row's
// bits depend neither on how many rows are computed together nor on how wide the vectors are.
#ifndef HEED_MODEL_KERNELS_FLOAT_KERNELS_H_
#define HEED_MODEL_KERNELS_FLOAT_KERNELS_H_

#include <stdint.h>

namespace heed {

constexpr int64_t kFloatChunk = 256;

// Some rows against the features of one chunk of a panel.
struct FloatTileArgs {
  const float* x;     // [features, rows]
  const void* w;      // feature k's [panel_cols] at w + k * w_stride: float, or half as uint16_t
  int64_t w_stride;   // at least panel_cols
  int64_t features;   // at least 1
  int64_t rows;       // 1..max_rows
  int64_t cols;       // 1..panel_cols; the rest of the panel is filled up
  int is_first;       // this chunk begins the sums
  int is_last;        // and this one finishes them
  int accumulate;     // y += instead of y =
  float* total;       // [rows, panel_cols], where the chunks come in several calls, in order
  const float* bias;  // [panel_cols]
  float* y;           // row r at y + r * y_stride, [cols]
  int64_t y_stride;
  // Weights that will be needed next, to be brought near meanwhile: for each feature as many bytes
  // as are read of it, at `ahead`, which then moves on by `ahead_step`.
  const char* ahead;
  int64_t ahead_step;
};

struct FloatKernels {
  int64_t panel_cols;  // a multiple of 16, at most kMostPanelCols
  int64_t max_rows;    // of a tile, at most kMostTileRows
  int64_t max_wide_rows;

  void (*tile32)(const FloatTileArgs& args);
  void (*tile16)(const FloatTileArgs& args);
  // The same of twice as many columns and up to max_wide_rows rows.
  void (*wide_tile32)(const FloatTileArgs& args);

  // n finite values, a multiple of 16: exactly; and the nearest, ties to even, infinity beyond the
  // largest.
  void (*widen)(const uint16_t* from, int64_t n, float* to);
  void (*narrow)(const float* from, int64_t n, uint16_t* to);
};

constexpr int64_t kMostPanelCols = 32;
constexpr int64_t kMostTileRows = 16;

const FloatKernels& PortableFloatKernels();
#if defined(__x86_64__)
const FloatKernels& Avx2FloatKernels();
const FloatKernels& Avx512FloatKernels();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_FLOAT_KERNELS_H_
