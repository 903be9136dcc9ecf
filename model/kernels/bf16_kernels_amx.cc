#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/bf16_kernels.h"
#include "model/kernels/int_kernels.h"
#include "model/kernels/vector_avx512.h"

namespace heed {
namespace {

constexpr int64_t kRowBytes = 64;  // of every tile
constexpr int64_t kStepsPerTile = kTileFeatures / kDotWidth;

// How far ahead of the arithmetic weights are asked for where they come from memory once. A few
// lines at a time between other work: asked for together, they would wait for each other.
constexpr int64_t kPrefetchBytes = 4096;
constexpr int64_t kScalePrefetchBytes = 512;

// What LDTILECFG reads: palette 1, and the size of each of the eight tiles. 0 to 3 are sums, 4 and
// 5 activations, 6 and 7 weights.
struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

void Enter(int64_t rows) {
  const auto r = static_cast<uint8_t>(rows);
  const TileConfig config = {
      1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {r, r, r, r, r, r, kTileSide, kTileSide}};
  asm volatile("ldtilecfg %0" ::"m"(config));  // GCC 12's intrinsic names 8 bytes of it only
}

void Leave() {
  _tile_release();
}

// The intrinsics take no tile numbers from templates.
template <int kTile>
inline void ZeroTile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
inline void LoadTile(const void* from) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(kRowBytes), "i"(kTile) : "memory");
}
template <int kTile>
inline void StoreTile(void* to) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(kRowBytes), "i"(kTile) : "memory");
}
template <int kSum, int kRows, int kCols>
inline void AddProduct() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kRows), "i"(kCols));
}

// Sixteen of the features of a tile, in TileOrder.
inline __m256i RoundHalfTile(__m512 x) {
  constexpr int kOrder = 0xd8;  // 0 2 1 3
  const __m512 factor = _mm512_set1_ps(0x1p64f);
  static_assert(kBf16ActivationShift == 64);
  const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(x, factor));
  return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(rounded, kOrder), kOrder);
}

void Round(const float* x, int64_t n, uint16_t* out) {
  for (; n > 0; n -= kTileFeatures, x += kTileFeatures, out += kTileNumbers) {
    const __m512 low = _mm512_maskz_loadu_ps(FirstLanes(n), x);
    const __m512 high = _mm512_maskz_loadu_ps(FirstLanes(n - 16), x + 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), RoundHalfTile(low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), RoundHalfTile(high));
  }
}

// Scales of kTileSide output features, each for a pair of neighbours.
inline __m512h PairScales(const uint16_t* scales) {
  const __m512i pairs = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8,
                                         7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const __m256i from = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales));
  return _mm512_castsi512_ph(_mm512_permutexvar_epi16(pairs, _mm512_castsi256_si512(from)));
}

// RoundedWeight, given q in half precision. Multiplying by 2^12 and keeping the upper half shifts
// to the right by 3 and rounds, and fills the freed places of negative numbers with ones.
inline __m512i RoundWeights(__m512h q, __m512h scales) {
  const __m512i half = _mm512_castph_si512(_mm512_mul_ph(q, scales));
  const __m512i shifted = _mm512_mulhrs_epi16(half, _mm512_set1_epi16(1 << 12));
  return _mm512_and_si512(shifted, _mm512_set1_epi16(static_cast<int16_t>(0x8fff)));
}

// (a & b) | c
inline __m512i AndOr(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xea);
}

// A step of 8-bit weights of kTileSide output features: the pairs of features 0 and 2, and those of
// features 1 and 3. Behind the bits of 1024 a byte is added to it.
inline void WidenStep8(const uint8_t* w, __m512h scales, uint16_t* out) {
  const __m512i low_byte = _mm512_set1_epi16(0xff), magic = _mm512_set1_epi16(0x6400);
  const __m512h zero = _mm512_castsi512_ph(_mm512_set1_epi16(0x6480));  // 1024 + 128
  const __m512i bytes = _mm512_loadu_si512(w);
  const __m512i even = AndOr(bytes, low_byte, magic);
  const __m512i odd = AndOr(_mm512_srli_epi16(bytes, 8), low_byte, magic);
  _mm512_store_si512(out, RoundWeights(_mm512_sub_ph(_mm512_castsi512_ph(even), zero), scales));
  _mm512_store_si512(out + kTileFeatures,
                     RoundWeights(_mm512_sub_ph(_mm512_castsi512_ph(odd), zero), scales));
}

// Two steps of 4-bit weights: what is looked up is the upper half of a number in half precision,
// the lower being 0. A permutation of bytes looks at the lowest six bits of each of its indices, of
// which two are the next weight's: all four parts of the table are the same. One of 16-bit words
// takes the place of two instructions.
inline void WidenSteps4(const uint8_t* w, __m512h scales, uint16_t* out) {
  const __m512i values = _mm512_broadcast_i32x4(
      _mm_setr_epi8(-0x38, -0x39, -0x3a, -0x3b, -0x3c, -0x3e, -0x40, -0x44,  // -8 .. -1
                    0, 0x3c, 0x40, 0x42, 0x44, 0x45, 0x46, 0x47));           // 0 .. 7
  constexpr __mmask64 kUpperBytes = 0xaaaaaaaaaaaaaaaa;
  const __m512i bytes = _mm512_loadu_si512(w);
  const auto widen = [&](__m512i indices) {
    const __m512i q = _mm512_maskz_permutexvar_epi8(kUpperBytes, indices, values);
    return RoundWeights(_mm512_castsi512_ph(q), scales);
  };
  _mm512_store_si512(out, widen(_mm512_slli_epi16(bytes, 8)));
  _mm512_store_si512(out + kTileFeatures, widen(bytes));
  _mm512_store_si512(out + 2 * kTileFeatures, widen(_mm512_slli_epi16(bytes, 4)));
  _mm512_store_si512(out + 3 * kTileFeatures, widen(_mm512_srli_epi16(bytes, 4)));
}

template <int kBits>
constexpr int64_t kTileBytes = kTileFeatures* kPanelCols* kBits / 8;  // of a panel's weights

// One tile: output features 16 col_tile and further of the panel, and features of one group.
template <int kBits>
inline __attribute__((always_inline)) void WidenTile(const uint8_t* w, const uint16_t* w_scale,
                                                     int64_t col_tile, uint16_t* out) {
  const __m512h scales = PairScales(w_scale + col_tile * kTileSide);
  w += col_tile * kTileSide * kDotWidth;
  if constexpr (kBits == 8) {
#pragma GCC unroll 8
    for (int64_t s = 0; s < kStepsPerTile; ++s) {
      WidenStep8(w + s * kStepBytes, scales, out + s * 2 * kTileFeatures);
    }
  } else {
#pragma GCC unroll 4
    for (int64_t s = 0; s < kStepsPerTile / 2; ++s) {
      WidenSteps4(w + s * kStepBytes, scales, out + s * 4 * kTileFeatures);
    }
  }
}

template <int kBits>
void Widen(const uint8_t* w, const uint16_t* w_scale, int64_t group, int64_t first, int64_t n_tiles,
           uint16_t* out, int64_t out_stride) {
  for (int64_t t = 0; t < n_tiles; ++t) {
    const uint16_t* const scale = w_scale + (first + t) * kTileFeatures / group * kPanelCols;
    for (int64_t c = 0; c < kPanelTiles; ++c) {
      WidenTile<kBits>(w + (first + t) * kTileBytes<kBits>, scale, c,
                       out + c * out_stride + t * kTileNumbers);
    }
  }
}

void Finish(const Bf16FinishArgs& args) {
  const __m512 factor = _mm512_set1_ps(args.factor);
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const total = args.total + r * kTileSide;
    float* const y = args.y + r * args.y_stride;
    for (int v = 0; v * 16 < args.cols; ++v) {
      const __mmask16 lanes = FirstLanes(args.cols - 16 * v);
      __m512 sum = _mm512_fmadd_ps(_mm512_load_ps(total + v * kTileSumCount), factor,
                                   _mm512_loadu_ps(args.bias + 16 * v));
      if (args.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y + 16 * v), sum);
      _mm512_mask_storeu_ps(y + 16 * v, lanes, sum);
    }
  }
}

// What one turn widens is multiplied in the next: stores take a while to become readable.
template <int kBits>
void RunPanel(const Bf16PanelArgs& args) {
  alignas(64) uint16_t widened[2][kPanelTiles][kTileNumbers];
  ZeroTile<0>();
  ZeroTile<1>();
  ZeroTile<2>();
  ZeroTile<3>();
  for (int64_t t = 0; t <= args.n_tiles; ++t) {
    const bool widens = t<args.n_tiles, multiplies = t> 0;
    const uint8_t* const w = args.w + t * kTileBytes<kBits>;
    const uint16_t* const scale = args.w_scale + t * kTileFeatures / args.group * kPanelCols;
    auto& to = widened[t % 2];
    const auto& from = widened[(t + 1) % 2];
    const auto widen = [&](int64_t c) {
      constexpr int64_t kBytes = kTileBytes<kBits> / kPanelTiles;
      for (int64_t i = 0; i < kBytes; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(w + kPrefetchBytes + c * kBytes + i),
                     _MM_HINT_T0);
      }
      if (c % 2 == 0) {
        _mm_prefetch(reinterpret_cast<const char*>(scale + c * kTileSide) + kScalePrefetchBytes,
                     _MM_HINT_T0);
      }
      WidenTile<kBits>(w, scale, c, to[c]);
    };
    if (multiplies) {
      LoadTile<4>(args.x + (t - 1) * kTileNumbers);
      LoadTile<6>(from[0]);
      AddProduct<0, 4, 6>();
    }
    if (widens) widen(0);
    if (multiplies) {
      LoadTile<7>(from[1]);
      AddProduct<1, 4, 7>();
    }
    if (widens) widen(1);
    if (multiplies) {
      LoadTile<6>(from[2]);
      AddProduct<2, 4, 6>();
    }
    if (widens) widen(2);
    if (multiplies) {
      LoadTile<7>(from[3]);
      AddProduct<3, 4, 7>();
    }
    if (widens) widen(3);
  }
  alignas(64) float total[kPanelTiles * kTileSumCount];
  StoreTile<0>(total);
  StoreTile<1>(total + kTileSumCount);
  StoreTile<2>(total + 2 * kTileSumCount);
  StoreTile<3>(total + 3 * kTileSumCount);
  Finish({total, args.rows, args.factor, args.bias, args.y, args.y_stride, args.cols,
          args.accumulate});
}

void Panel(const Bf16PanelArgs& args) {
  if (args.bits == 8) {
    RunPanel<8>(args);
  } else {
    RunPanel<4>(args);
  }
}

void AddPair(const Bf16PairArgs& args) {
  if (args.is_first) {
    ZeroTile<0>();
    ZeroTile<1>();
    ZeroTile<2>();
    ZeroTile<3>();
  } else {
    LoadTile<0>(args.total[0]);
    LoadTile<1>(args.total[1]);
    LoadTile<2>(args.total[2]);
    LoadTile<3>(args.total[3]);
  }
  const uint16_t *x0 = args.x[0], *x1 = args.x[1], *w0 = args.w[0], *w1 = args.w[1];
  for (int64_t t = 0; t < args.n_tiles; ++t) {
    LoadTile<4>(x0 + t * kTileNumbers);
    LoadTile<6>(w0 + t * kTileNumbers);
    AddProduct<0, 4, 6>();
    LoadTile<7>(w1 + t * kTileNumbers);
    AddProduct<1, 4, 7>();
    LoadTile<5>(x1 + t * kTileNumbers);
    AddProduct<2, 5, 6>();
    AddProduct<3, 5, 7>();
  }
  StoreTile<0>(args.total[0]);
  StoreTile<1>(args.total[1]);
  StoreTile<2>(args.total[2]);
  StoreTile<3>(args.total[3]);
}

constexpr Bf16Kernels kKernels = {.round = Round,
                                  .enter = Enter,
                                  .leave = Leave,
                                  .panel = Panel,
                                  .add_pair = AddPair,
                                  .widen8 = Widen<8>,
                                  .widen4 = Widen<4>,
                                  .finish = Finish};

}  // namespace

const Bf16Kernels& AmxBf16Kernels() {
  return kKernels;
}

const IntKernels& AmxIntKernels() {
  static const IntKernels kernels = [] {
    IntKernels all = VnniIntKernels();
    all.bf16 = &kKernels;
    return all;
  }();
  return kernels;
}

}  // namespace heed
