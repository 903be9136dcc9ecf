#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx512.h"

namespace heed {
namespace {

constexpr int64_t kFullDepth = 64;  // input features of one tile product
constexpr int64_t kHalfDepth = 32;
constexpr int64_t kSums = kIntBlockRows * kBlockCols;
constexpr int64_t kLineBytes = 64;  // of the caches

// Tiles 0 to 3 are sums. The products of full depth are of tiles 4 and 6, those of half of it are
// of tiles 5 and 7.
constexpr int kSumTiles = 4;

// What LDTILECFG reads: palette 1, and the size of each of the eight tiles.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

constexpr TileConfig kConfig = {1,
                                0,
                                {},
                                {64, 64, 64, 64, kFullDepth, kHalfDepth, 64, 64},
                                {16, 16, 16, 16, 16, 16, kFullDepth / 4, kHalfDepth / 4}};

void EnterBlocks() {
  _tile_loadconfig(&kConfig);
}

void LeaveBlocks() {
  _tile_release();
}

// The intrinsics take no tile numbers from templates.
template <int kTile>
inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kSum, int kRows, int kCols>
inline void AddProduct() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRows), "i"(kCols));
}
template <int kTile>
inline void StoreTile(int32_t* to) {
  constexpr int64_t kStride = kBlockCols * sizeof(int32_t);
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(kStride), "i"(kTile) : "memory");
}

// The products of one group with the block's rows and kBlockCols columns, into a tile of sums.
template <int kTile>
inline void Multiply(const IntBlockArgs& args, const int8_t* w, int64_t g) {
  const int8_t* x = args.x + g * args.group;
  w += g * args.group * kBlockCols;
  ZeroTile<kTile>();
  int64_t left = args.group;
  for (; left >= kFullDepth; left -= kFullDepth) {
    _tile_loadd(4, x, args.x_stride);
    _tile_loadd(6, w, kBlockCols * kDotWidth);
    AddProduct<kTile, 4, 6>();
    x += kFullDepth;
    w += kFullDepth * kBlockCols;
  }
  if (left > 0) {
    _tile_loadd(5, x, args.x_stride);
    _tile_loadd(7, w, kBlockCols * kDotWidth);
    AddProduct<kTile, 5, 7>();
  }
}

// A sum of at most this many products is less than 2^22: added to the bits of 1.5 * 2^23 it gives
// those of 1.5 * 2^23 + sum. Beside running tiles floating-point instructions are scarce, integer
// ones are not.
constexpr int64_t kMaxBiasedGroup = 256;
constexpr float kBias = 12582912.0f;

// total += dot * w_scale * x_scale, of one group.
template <bool kBiased>
inline void AddDots(const int32_t* dots, const uint16_t* w_scales, const float* x_scales,
                    __m512 (&total)[kIntBlockRows]) {
  const __m512 bias = _mm512_set1_ps(kBias);
  const __m512 w_scale = LoadScales(w_scales);
  const __m512 biased_scale = _mm512_mul_ps(w_scale, bias);
#pragma GCC unroll 16
  for (int r = 0; r < kIntBlockRows; ++r) {
    const __m512i dot = _mm512_load_si512(dots + r * kBlockCols);
    __m512 scaled;
    if constexpr (kBiased) {
      const __m512i biased = _mm512_add_epi32(dot, _mm512_castps_si512(bias));
      scaled = _mm512_fmsub_ps(_mm512_castsi512_ps(biased), w_scale, biased_scale);
    } else {
      scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), w_scale);
    }
    total[r] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(x_scales[r]), total[r]);
  }
}

// What a tile has stored cannot be loaded at once, and a product takes longer than the rest: a
// group's sums are stored kStoreLag groups after they were begun, and added kAddLag groups after.
constexpr int64_t kStoreLag = 2;
constexpr int64_t kAddLag = 4;
using Ring = int32_t[kSumTiles][kSums];

template <int kTile, bool kBiased>
inline __attribute__((always_inline)) void Step(const IntBlockArgs& args, int64_t tile_col,
                                                int64_t g, Ring& ring,
                                                __m512 (&total)[kIntBlockRows]) {
  constexpr int kStored = (kTile + kSumTiles - kStoreLag) % kSumTiles;
  if (g < args.n_groups) {
    Multiply<kTile>(args, args.w + tile_col * args.n_groups * args.group * kBlockCols, g);
    const uint8_t* const ahead =
        args.ahead + (tile_col * args.n_groups + g) * args.ahead_lines * kLineBytes;
    for (int64_t i = 0; i < args.ahead_lines; ++i) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead + i * kLineBytes), _MM_HINT_T1);
    }
  }
  if (g >= kStoreLag && g - kStoreLag < args.n_groups) {
    StoreTile<kStored>(ring[kStored]);
  }
  if (g >= kAddLag && g - kAddLag < args.n_groups) {
    const int64_t from = g - kAddLag;
    AddDots<kBiased>(ring[kTile], args.w_scale + from * kPanelCols + tile_col * kBlockCols,
                     args.x_scale + from * kIntBlockRows, total);
  }
}

inline __attribute__((always_inline)) void Finish(const IntBlockArgs& args, int64_t tile_col,
                                                  const __m512 (&total)[kIntBlockRows]) {
  const int64_t col = tile_col * kBlockCols;
  const __mmask16 lanes = Lanes(args.cols - col, 0);
  const __m512 unit = _mm512_set1_ps(args.unit), bias = _mm512_loadu_ps(args.bias + col);
  float* y = args.y + col;
#pragma GCC unroll 16
  for (int r = 0; r < kIntBlockRows; ++r, y += args.y_stride) {
    if (r >= args.rows) break;
    __m512 sum = _mm512_fmadd_ps(total[r], unit, bias);
    if (args.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y), sum);
    _mm512_mask_storeu_ps(y, lanes, sum);
  }
}

template <bool kBiased>
void RunBlock(const IntBlockArgs& args) {
  alignas(64) Ring ring;
  for (int64_t tile_col = 0; tile_col * kBlockCols < args.cols; ++tile_col) {
    float* const carried = args.total + tile_col * kSums;
    __m512 total[kIntBlockRows];
#pragma GCC unroll 16
    for (int r = 0; r < kIntBlockRows; ++r) {
      total[r] = args.is_first ? _mm512_setzero_ps() : _mm512_load_ps(carried + r * kBlockCols);
    }
    for (int64_t g = 0; g < args.n_groups + kAddLag; g += kSumTiles) {
      Step<0, kBiased>(args, tile_col, g, ring, total);
      Step<1, kBiased>(args, tile_col, g + 1, ring, total);
      Step<2, kBiased>(args, tile_col, g + 2, ring, total);
      Step<3, kBiased>(args, tile_col, g + 3, ring, total);
    }
    if (args.is_last) {
      Finish(args, tile_col, total);
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < kIntBlockRows; ++r) _mm512_store_ps(carried + r * kBlockCols, total[r]);
    }
  }
}

void Block(const IntBlockArgs& args) {
  if (args.group <= kMaxBiasedGroup) {
    RunBlock<true>(args);
  } else {
    RunBlock<false>(args);
  }
}

// A step's weights of kPanelCols columns, to the places of their tiles.
inline void StoreStep(const __m512i (&step)[kVectors], int64_t features, int64_t k, int8_t* out) {
  for (int v = 0; v < kVectors; ++v) {
    _mm512_store_si512(out + (v * features + k) * kBlockCols, step[v]);
  }
}

void Widen8(const uint8_t* w8, int64_t features, int8_t* out) {
  const __m512i zero = _mm512_set1_epi8(-128);
  for (int64_t k = 0; k < features; k += kDotWidth, w8 += kStepBytes) {
    __m512i step[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      step[v] = _mm512_xor_si512(_mm512_loadu_si512(w8 + 64 * v), zero);
    }
    StoreStep(step, features, k, out);
  }
}

void Widen4(const uint8_t* w4, int64_t features, int8_t* out) {
  const __m512i low_half = _mm512_set1_epi8(15), zero = _mm512_set1_epi8(8);
  for (int64_t k = 0; k < features; k += 2 * kDotWidth, w4 += kStepBytes) {
    __m512i low[kVectors], high[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      const __m512i both = _mm512_loadu_si512(w4 + 64 * v);
      low[v] = _mm512_sub_epi8(_mm512_and_si512(both, low_half), zero);
      high[v] = _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(both, 4), low_half), zero);
    }
    StoreStep(low, features, k, out);
    StoreStep(high, features, k + kDotWidth, out);
  }
}

IntKernels MakeKernels() {
  IntKernels kernels = VnniIntKernels();
  kernels.block = Block;
  kernels.enter_blocks = EnterBlocks;
  kernels.leave_blocks = LeaveBlocks;
  kernels.widen8 = Widen8;
  kernels.widen4 = Widen4;
  return kernels;
}

}  // namespace

const IntKernels& AmxIntKernels() {
  static const IntKernels kernels = MakeKernels();
  return kernels;
}

}  // namespace heed
