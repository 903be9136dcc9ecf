#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx512.h"

namespace heed {
namespace {

constexpr int kTileRows = 16;
constexpr int64_t kTileBytes = 64;  // of a row of a tile: input features of one tile product

// What LDTILECFG reads: palette 1, and the size of each of the eight tiles.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

constexpr TileConfig kAllTilesFull = {
    1,
    0,
    {},
    {kTileBytes, kTileBytes, kTileBytes, kTileBytes, kTileBytes, kTileBytes, kTileBytes,
     kTileBytes},
    {kTileRows, kTileRows, kTileRows, kTileRows, kTileRows, kTileRows, kTileRows, kTileRows}};

void EnterBlocks() {
  _tile_loadconfig(&kAllTilesFull);
}

void LeaveBlocks() {
  _tile_release();
}

constexpr int kHalfVectors = kVectors / 2;
constexpr int64_t kHalfCols = kPanelCols / 2;
using Dots = int32_t[kMaxIntBlockRows * kHalfCols];

// The dot products of one group: of 32 rows, or the first 16 of them, with half a panel's columns.
// Tiles 0 to 3 are the sums, 4 and 5 the rows, 6 and 7 the columns.
inline void ComputeDots(const IntTileArgs& args, int64_t g, int64_t half, Dots& dots) {
  constexpr int64_t kStride = kHalfCols * sizeof(int32_t);
  const uint8_t* w = args.w + g * args.group * kPanelCols + half * kHalfCols * kDotWidth;
  const int8_t* x = args.x + g * args.group;
  const int64_t x_stride = args.x_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (args.rows <= kTileRows) {
    for (int64_t k = 0; k < args.group; k += kTileBytes, w += kTileBytes * kPanelCols) {
      _tile_loadd(4, x + k, x_stride);
      _tile_loadd(6, w, kStepBytes);
      _tile_loadd(7, w + kTileBytes, kStepBytes);
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
    }
  } else {
    for (int64_t k = 0; k < args.group; k += kTileBytes, w += kTileBytes * kPanelCols) {
      _tile_loadd(4, x + k, x_stride);
      _tile_loadd(6, w, kStepBytes);
      _tile_loadd(7, w + kTileBytes, kStepBytes);
      _tile_loadd(5, x + k + kTileRows * x_stride, x_stride);
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(2, dots + kTileRows * kHalfCols, kStride);
    _tile_stored(3, dots + kTileRows * kHalfCols + 16, kStride);
  }
  _tile_stored(0, dots, kStride);
  _tile_stored(1, dots + 16, kStride);
}

inline void AddDots(const IntTileArgs& args, int64_t g, int64_t half, const Dots& dots) {
  const uint16_t* const scales = args.w_scale + g * kPanelCols + half * kHalfCols;
  const __m512 w_scale[kHalfVectors] = {LoadScales(scales), LoadScales(scales + 16)};
  for (int64_t r = 0; r < args.rows; ++r) {
    const int64_t index = r * args.n_groups + g;
    const __m512i start = _mm512_set1_epi32(-args.zero * args.x_sum[index]);
    for (int v = 0; v < kHalfVectors; ++v) {
      const __m512i dot = _mm512_load_si512(dots + r * kHalfCols + 16 * v);
      AddScaled(_mm512_add_epi32(dot, start), w_scale[v], args.x_scale[index],
                args.total + r * kPanelCols + half * kHalfCols + 16 * v);
    }
  }
}

// A half's products are added up while those of the next are on their way: what a tile has stored
// cannot be loaded at once.
void Block8(const IntTileArgs& args) {
  alignas(64) Dots dots[2];
  if (args.begin_group == 0) {
    __builtin_memset(args.total, 0, args.rows * kPanelCols * sizeof(float));
  }
  ComputeDots(args, args.begin_group, 0, dots[0]);
  for (int64_t g = args.begin_group; g < args.end_group; ++g) {
    ComputeDots(args, g, 1, dots[1]);
    AddDots(args, g, 0, dots[0]);
    if (g + 1 < args.end_group) ComputeDots(args, g + 1, 0, dots[0]);
    AddDots(args, g, 1, dots[1]);
  }
  if (args.end_group == args.n_groups) StoreTile(args);
}

IntKernels MakeKernels() {
  IntKernels kernels = VnniIntKernels();
  kernels.block8 = Block8;
  kernels.enter_blocks = EnterBlocks;
  kernels.leave_blocks = LeaveBlocks;
  return kernels;
}

}  // namespace

const IntKernels& AmxIntKernels() {
  static const IntKernels kernels = MakeKernels();
  return kernels;
}

}  // namespace heed
