#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx512.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_quantize_avx512.h"
#include "model/kernels/int_kernels_spread.h"

namespace heed {
namespace {

// How far ahead of the arithmetic weights are asked for: they come from memory exactly once when
// there are few rows.
constexpr int64_t kPrefetchBytes = 4096;

// Registers of columns that go together: of weights in a cache so many that their sums and totals
// fit beside each other. Totals that go to memory after each group cost more, since stores take
// turns with products on some processors, but weights that come from memory are best read in order.
template <int kRows, bool kCold>
constexpr int kTogether = kRows <= 3 || kCold ? kVectors : kVectors / 2;

inline __m512i FourBytes(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return _mm512_set1_epi32(four);
}

// sums += the dot products of four bytes each. Through the intrinsic GCC 12 copies sums to other
// registers and to memory.
inline void AddDots(__m512i w, __m512i x, __m512i& sums) {
  asm("vpdpbusd %[x], %[w], %[sums]" : [sums] "+v"(sums) : [w] "v"(w), [x] "v"(x));
}

// One step of eight or four bits: the weights of kDotWidth input features.
template <int kBits, int kCount>
inline void LoadStep(const uint8_t* w, int64_t step, __m512i (&out)[kCount]) {
  for (int v = 0; v < kCount; ++v) {
    if constexpr (kBits == 8) {
      out[v] = _mm512_loadu_si512(w + step * kStepBytes + 64 * v);
    } else {
      const __m512i both = _mm512_loadu_si512(w + step / 2 * kStepBytes + 64 * v);
      out[v] =
          _mm512_and_si512(step % 2 == 0 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
    }
  }
}

// Asks for what comes next a little at a time.
class Ahead {
 public:
  Ahead(const IntTileArgs& args, int64_t pieces)
      : at_(args.ahead), end_(at_ + args.ahead_bytes), piece_(args.ahead_bytes / pieces + 1) {}

  void AskForPiece() {
    const uint8_t* const end = end_ - at_ < piece_ ? end_ : at_ + piece_;
    for (; at_ < end; at_ += kLine) _mm_prefetch(reinterpret_cast<const char*>(at_), _MM_HINT_T1);
  }

 private:
  static constexpr int64_t kLine = 64;
  const uint8_t* at_;
  const uint8_t* const end_;
  const int64_t piece_;
};

// Asks for the lines of the results, to be written: rows lie far apart, and often in another core's
// cache.
inline void AskForResults(const IntTileArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t col = 0; col < args.cols; col += 16) {
      _m_prefetchw(args.y + r * args.y_stride + col);
    }
  }
}

// totals += dots * w_scale * x_scale, for each column.
template <int kCount>
inline void AddScaled(const __m512i (&dots)[kCount], const __m512 (&w_scale)[kCount], float x_scale,
                      __m512 (&totals)[kCount]) {
  const __m512 factor = _mm512_set1_ps(x_scale);
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) {
    const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[v]), w_scale[v]);
    totals[v] = _mm512_fmadd_ps(scaled, factor, totals[v]);
  }
}

template <int kCount>
inline void SetZero(__m512 (&totals)[kCount]) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) totals[v] = _mm512_setzero_ps();
}

template <int kCount>
inline void LoadTotals(const float* from, __m512 (&totals)[kCount]) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) totals[v] = _mm512_load_ps(from + 16 * v);
}

template <int kCount>
inline void StoreTotals(const __m512 (&totals)[kCount], float* to) {
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) _mm512_store_ps(to + 16 * v, totals[v]);
}

// Of a row's columns from `first` on.
template <int kCount>
inline void StoreResults(const IntTileArgs& args, int64_t first, const __m512 (&totals)[kCount],
                         float* y) {
  const __m512 unit = _mm512_set1_ps(args.unit);
#pragma GCC unroll 8
  for (int v = 0; v < kCount; ++v) {
    const int64_t col = first + 16 * v;
    const __mmask16 lanes = Lanes(args.cols - col, 0);
    __m512 sum = _mm512_fmadd_ps(totals[v], unit, _mm512_loadu_ps(args.bias + col));
    if (args.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y + col), sum);
    _mm512_mask_storeu_ps(y + col, lanes, sum);
  }
}

// The columns from `first` on that go together. kCold: the weights come from memory.
template <int kRows, int kBits, bool kCold>
inline void AddGroups(const IntTileArgs& args, int64_t first, Ahead& ahead) {
  constexpr int kUnroll = 4;  // steps; groups are multiples of 16 input features
  constexpr int kCount = kTogether<kRows, kCold>;
  constexpr bool kKeepsTotals = 2 * kRows * kCount <= 24;  // in registers, from group to group
  const int64_t steps = args.group / kDotWidth;
  const int8_t* x = args.x + args.begin_group * steps * kStepActivations;
  const float* x_scale = args.x_scale + args.begin_group * kMaxIntTileRows;
  const int32_t* x_start = args.x_start + args.begin_group * kMaxIntTileRows;
  const uint8_t* w = args.w + args.begin_group * steps * kStepBytes * kBits / 8 + first * kDotWidth;
  const uint16_t* w_scales = args.w_scale + args.begin_group * kPanelCols + first;
  float* const at = args.total + first;
  __m512 totals[kRows][kCount];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (args.begin_group == 0) {
      SetZero(totals[r]);
      if (!kKeepsTotals) StoreTotals(totals[r], at + r * kPanelCols);
    } else if (kKeepsTotals) {
      LoadTotals(at + r * kPanelCols, totals[r]);
    }
  }
  for (int64_t g = args.begin_group; g < args.end_group; ++g) {
    ahead.AskForPiece();
    __m512i dots[kRows][kCount];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kCount; ++v) dots[r][v] = _mm512_set1_epi32(x_start[r]);
    }
    for (int64_t step = 0; step < steps; step += kUnroll) {
      for (int v = 0; kCold && v < kUnroll * kVectors * kBits / 8; ++v) {
        _mm_prefetch(reinterpret_cast<const char*>(w + 64 * v + kPrefetchBytes), _MM_HINT_T0);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kUnroll; ++i) {
        __m512i weights[kCount];
        LoadStep<kBits>(w, i, weights);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m512i four = FourBytes(x + i * kStepActivations + r * kDotWidth);
#pragma GCC unroll 8
          for (int v = 0; v < kCount; ++v) AddDots(weights[v], four, dots[r][v]);
        }
      }
      w += kUnroll * kStepBytes * kBits / 8;
      x += kUnroll * kStepActivations;
    }
    __m512 w_scale[kCount];
#pragma GCC unroll 8
    for (int v = 0; v < kCount; ++v) w_scale[v] = LoadScales(w_scales + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (!kKeepsTotals) LoadTotals(at + r * kPanelCols, totals[r]);
      AddScaled(dots[r], w_scale, x_scale[r], totals[r]);
      if (!kKeepsTotals) StoreTotals(totals[r], at + r * kPanelCols);
    }
    w_scales += kPanelCols;
    x_scale += kMaxIntTileRows;
    x_start += kMaxIntTileRows;
  }
  const bool is_last = args.end_group == args.n_groups;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (!kKeepsTotals && is_last) LoadTotals(at + r * kPanelCols, totals[r]);
    if (is_last) {
      StoreResults(args, first, totals[r], args.y + r * args.y_stride);
    } else if (kKeepsTotals) {
      StoreTotals(totals[r], at + r * kPanelCols);
    }
  }
}

template <int kRows, int kBits, bool kCold>
void RunTile(const IntTileArgs& args) {
  constexpr int kCols = kTogether<kRows, kCold> * 16;
  if (args.end_group == args.n_groups) AskForResults(args);
  Ahead ahead(args, (args.end_group - args.begin_group) * kPanelCols / kCols);
  for (int64_t first = 0; first < kPanelCols; first += kCols) {
    AddGroups<kRows, kBits, kCold>(args, first, ahead);
  }
}

using TileFunction = void (*)(const IntTileArgs&);

template <int kBits>
void Tile(const IntTileArgs& args) {
  static constexpr TileFunction kByRows[2][kMaxIntTileRows] = {
      {RunTile<1, kBits, true>, RunTile<2, kBits, true>, RunTile<3, kBits, true>,
       RunTile<4, kBits, true>, RunTile<5, kBits, true>, RunTile<6, kBits, true>},
      {RunTile<1, kBits, false>, RunTile<2, kBits, false>, RunTile<3, kBits, false>,
       RunTile<4, kBits, false>, RunTile<5, kBits, false>, RunTile<6, kBits, false>}};
  kByRows[args.is_warm][args.rows - 1](args);
}

// Of pairs of lanes, which `swapped` has the other way round: the sum, and in the second of a pair
// (`second`) the difference.
inline __m512 AddPairs(__m512 x, __m512 swapped, __mmask16 second) {
  const __m512 signs = _mm512_mask_blend_ps(second, _mm512_set1_ps(1), _mm512_set1_ps(-1));
  return _mm512_fmadd_ps(x, signs, swapped);
}

// The Hadamard matrix of 16 times x.
inline __m512 AddLanes(__m512 x) {
  x = AddPairs(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
  x = AddPairs(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
  x = AddPairs(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
  return AddPairs(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
}

inline void SpreadOne(const float* x, float* out) {
  static_assert(kSpreadGroup == 64);
  __m512 v[4];
  for (int i = 0; i < 4; ++i) {
    const __m512 factors = _mm512_load_ps(kSpreadFactors.values + 16 * i);
    v[i] = AddLanes(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), factors));
  }
  const __m512 a = _mm512_add_ps(v[0], v[1]), b = _mm512_sub_ps(v[0], v[1]);
  const __m512 c = _mm512_add_ps(v[2], v[3]), d = _mm512_sub_ps(v[2], v[3]);
  _mm512_storeu_ps(out, _mm512_add_ps(a, c));
  _mm512_storeu_ps(out + 16, _mm512_add_ps(b, d));
  _mm512_storeu_ps(out + 32, _mm512_sub_ps(a, c));
  _mm512_storeu_ps(out + 48, _mm512_sub_ps(b, d));
}

void Unpack4(const uint8_t* w4, int64_t bytes, uint8_t* w8) {
  const __m512i low_half = _mm512_set1_epi8(15);
  for (int64_t i = 0; i < bytes; i += kStepBytes, w8 += 2 * kStepBytes) {
    for (int v = 0; v < kVectors; ++v) {
      const __m512i both = _mm512_loadu_si512(w4 + i + 64 * v);
      _mm512_storeu_si512(w8 + 64 * v, _mm512_and_si512(both, low_half));
      _mm512_storeu_si512(w8 + kStepBytes + 64 * v,
                          _mm512_and_si512(_mm512_srli_epi16(both, 4), low_half));
    }
  }
}

constexpr IntKernels kKernels = {.bf16 = nullptr,
                                 .tile8 = Tile<8>,
                                 .tile4 = Tile<4>,
                                 .unpack4 = Unpack4,
                                 .quantize = Quantize,
                                 .spread = SpreadRow<SpreadOne>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& VnniIntKernels() {
  return kKernels;
}

}  // namespace heed
