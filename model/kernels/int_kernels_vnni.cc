#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx512.h"
#include "model/kernels/int_kernels_quantize.h"

namespace heed {
namespace {

// How far ahead of the arithmetic weights are asked for: they come from memory exactly once when
// there are few rows.
constexpr int64_t kPrefetchBytes = 2048;

inline int32_t FourBytes(const int8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return bytes;
}

// sum += the dot products of four bytes each. Through the intrinsic GCC 12 copies every sum to
// another register and to memory at each step, at half the speed.
inline void AddDot(__m512i w, __m512i x, __m512i& sum) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
}

// One step of eight or four bits: the weights of kDotWidth input features.
template <int kBits>
inline void LoadStep(const uint8_t* w, int64_t step, __m512i (&out)[kVectors]) {
  for (int v = 0; v < kVectors; ++v) {
    if constexpr (kBits == 8) {
      out[v] = _mm512_loadu_si512(w + step * kStepBytes + 64 * v);
    } else {
      const __m512i both = _mm512_loadu_si512(w + step / 2 * kStepBytes + 64 * v);
      out[v] =
          _mm512_and_si512(step % 2 == 0 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
    }
  }
}

// The sums lie in local arrays, all of whose indices are known to the compiler: they stay in
// registers.
template <int kRows, int kBits>
void RunTile(const IntTileArgs& args) {
  constexpr int kUnroll = 2;  // steps; groups are multiples of 16 input features
  if (args.begin_group == 0) __builtin_memset(args.total, 0, kRows * kPanelCols * sizeof(float));
  const int64_t x_stride = args.x_stride;
  const int64_t group_bytes = args.group * kPanelCols * kBits / 8;
  for (int64_t g = args.begin_group; g < args.end_group; ++g) {
    const uint8_t* w = args.w + g * group_bytes;
    const int8_t* x = args.x + g * args.group;
    __m512i dot[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i start = _mm512_set1_epi32(-args.zero * args.x_sum[r * args.n_groups + g]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) dot[r][v] = start;
    }
    for (int64_t k = 0; k < args.group; k += kUnroll * kDotWidth) {
      for (int v = 0; v < kUnroll * kVectors * kBits / 8; ++v) {
        _mm_prefetch(reinterpret_cast<const char*>(w + 64 * v + kPrefetchBytes), _MM_HINT_T0);
      }
      for (int step = 0; step < kUnroll; ++step, x += kDotWidth) {
        __m512i weights[kVectors];
        LoadStep<kBits>(w, step, weights);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m512i four = _mm512_set1_epi32(FourBytes(x + r * x_stride));
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            AddDot(weights[v], four, dot[r][v]);
          }
        }
      }
      w += kUnroll * kStepBytes * kBits / 8;
    }
    // total += dot * w_scale * x_scale.
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const __m512 w_scale = LoadScales(args.w_scale + g * kPanelCols + 16 * v);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        AddScaled(dot[r][v], w_scale, args.x_scale[r * args.n_groups + g],
                  args.total + r * kPanelCols + 16 * v);
      }
    }
  }
  if (args.end_group == args.n_groups) StoreTile(args);
}

using TileFunction = void (*)(const IntTileArgs&);

template <int kBits>
void Tile(const IntTileArgs& args) {
  static constexpr TileFunction kByRows[] = {RunTile<1, kBits>, RunTile<2, kBits>,
                                             RunTile<3, kBits>, RunTile<4, kBits>,
                                             RunTile<5, kBits>, RunTile<6, kBits>};
  kByRows[args.rows - 1](args);
}

// The group's largest magnitude; NaN or infinity where an element is not finite. Magnitudes compare
// as their bits do, and what is no number is larger than all.
inline float LargestOf(const float* x, int64_t n) {
  __m512i most = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 16) {
    const __m512 some = _mm512_abs_ps(_mm512_maskz_loadu_ps(Lanes(n - i, 0), x + i));
    most = _mm512_max_epi32(most, _mm512_castps_si512(some));
  }
  const int32_t bits = _mm512_reduce_max_epi32(most);
  float largest;
  __builtin_memcpy(&largest, &bits, sizeof largest);
  return largest;
}

// q of one group of n elements, filled up to `padded`; returns their sum.
inline int32_t RoundGroup(const float* x, float factor, int64_t n, int64_t padded, int8_t* q) {
  const __m512 factors = _mm512_set1_ps(factor);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < padded; i += 16) {
    const __m512 some = _mm512_maskz_loadu_ps(Lanes(n - i, 0), x + i);
    const __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(some, factors));
    sum = _mm512_add_epi32(sum, integers);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtepi32_epi8(integers));
  }
  return _mm512_reduce_add_epi32(sum);
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
                                 .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& VnniIntKernels() {
  return kKernels;
}

}  // namespace heed
