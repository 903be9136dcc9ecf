#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx512.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_spread.h"

namespace heed {
namespace {

// How far ahead of the arithmetic weights are asked for: they come from memory exactly once when
// there are few rows.
constexpr int64_t kPrefetchBytes = 2048;

// dot += the dot products of four bytes of one row and those of each column. In one statement, and
// with the sums it adds to, since GCC 12 otherwise copies sums to other registers and to memory.
inline void AddDots(const int8_t* x, const __m512i (&w)[kVectors], __m512i (&dot)[kVectors]) {
  static_assert(kVectors == 4);
  __m512i four;
  asm("vpbroadcastd %[x], %[four]\n\t"
      "vpdpbusd %[four], %[w0], %[dot0]\n\t"
      "vpdpbusd %[four], %[w1], %[dot1]\n\t"
      "vpdpbusd %[four], %[w2], %[dot2]\n\t"
      "vpdpbusd %[four], %[w3], %[dot3]"
      : [dot0] "+v"(dot[0]), [dot1] "+v"(dot[1]), [dot2] "+v"(dot[2]), [dot3] "+v"(dot[3]),
        [four] "=&v"(four)
      : [w0] "v"(w[0]), [w1] "v"(w[1]), [w2] "v"(w[2]), [w3] "v"(w[3]),
        [x] "m"(*reinterpret_cast<const int8_t(*)[kDotWidth]>(x)));
}

// total[0 .. kVectors) += dot * w_scale * x_scale; dot is used up. In one statement for the same
// reason: a tile has no register to spare.
inline void AddScaled(__m512i (&dot)[kVectors], const __m512 (&w_scale)[kVectors],
                      const float* x_scale, __m512* total) {
  __m512 factor;
  asm("vbroadcastss %[x_scale], %[factor]\n\t"
      "vcvtdq2ps %[dot0], %[dot0]\n\t"
      "vcvtdq2ps %[dot1], %[dot1]\n\t"
      "vcvtdq2ps %[dot2], %[dot2]\n\t"
      "vcvtdq2ps %[dot3], %[dot3]\n\t"
      "vmulps %[w0], %[dot0], %[dot0]\n\t"
      "vmulps %[w1], %[dot1], %[dot1]\n\t"
      "vmulps %[w2], %[dot2], %[dot2]\n\t"
      "vmulps %[w3], %[dot3], %[dot3]\n\t"
      "vfmadd213ps %[total0], %[factor], %[dot0]\n\t"
      "vfmadd213ps %[total1], %[factor], %[dot1]\n\t"
      "vfmadd213ps %[total2], %[factor], %[dot2]\n\t"
      "vfmadd213ps %[total3], %[factor], %[dot3]\n\t"
      "vmovaps %[dot0], %[total0]\n\t"
      "vmovaps %[dot1], %[total1]\n\t"
      "vmovaps %[dot2], %[total2]\n\t"
      "vmovaps %[dot3], %[total3]"
      : [dot0] "+v"(dot[0]), [dot1] "+v"(dot[1]), [dot2] "+v"(dot[2]), [dot3] "+v"(dot[3]),
        [factor] "=&v"(factor), [total0] "+m"(total[0]), [total1] "+m"(total[1]),
        [total2] "+m"(total[2]), [total3] "+m"(total[3])
      : [w0] "v"(w_scale[0]), [w1] "v"(w_scale[1]), [w2] "v"(w_scale[2]), [w3] "v"(w_scale[3]),
        [x_scale] "m"(*x_scale));
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

// kCold: the weights come from memory. What `args` holds is copied, since the compiler takes what
// is written for a part of it.
template <int kRows, int kBits, bool kCold>
void RunTile(const IntTileArgs& args) {
  constexpr int kUnroll = 4;  // steps; groups are multiples of 16 input features
  const int64_t steps = args.group / kDotWidth, end_group = args.end_group;
  const int8_t* x = args.x + args.begin_group * steps * kStepActivations;
  const float* x_scale = args.x_scale + args.begin_group * kMaxIntTileRows;
  const int32_t* x_sum = args.x_sum + args.begin_group * kMaxIntTileRows;
  const uint8_t* w = args.w + args.begin_group * steps * kStepBytes * kBits / 8;
  const uint16_t* w_scales = args.w_scale + args.begin_group * kPanelCols;
  const int32_t zero = args.zero;
  auto* total = reinterpret_cast<__m512*>(args.total);
  for (int i = 0; args.begin_group == 0 && i < kRows * kVectors; ++i) {
    _mm512_store_ps(reinterpret_cast<float*>(total + i), _mm512_setzero_ps());
  }
  for (int64_t g = args.begin_group; g < end_group; ++g) {
    asm("" : "+r"(total));  // or GCC keeps an address for each part of it, in memory
    __m512i dot[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i start = _mm512_set1_epi32(-zero * x_sum[r]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) dot[r][v] = start;
    }
    for (int64_t step = 0; step < steps; step += kUnroll) {
      for (int v = 0; kCold && v < kUnroll * kVectors * kBits / 8; ++v) {
        _mm_prefetch(reinterpret_cast<const char*>(w + 64 * v + kPrefetchBytes), _MM_HINT_T0);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kUnroll; ++i) {
        __m512i weights[kVectors];
        LoadStep<kBits>(w, i, weights);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          AddDots(x + i * kStepActivations + r * kDotWidth, weights, dot[r]);
        }
      }
      w += kUnroll * kStepBytes * kBits / 8;
      x += kUnroll * kStepActivations;
    }
    __m512 w_scale[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) w_scale[v] = LoadScales(w_scales + 16 * v);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) AddScaled(dot[r], w_scale, x_scale + r, total + r * kVectors);
    w_scales += kPanelCols;
    x_scale += kMaxIntTileRows;
    x_sum += kMaxIntTileRows;
  }
  if (end_group == args.n_groups) StoreTile(args);
}

using TileFunction = void (*)(const IntTileArgs&);

template <int kBits>
void Tile(const IntTileArgs& args) {
  static constexpr TileFunction kByRows[] = {RunTile<1, kBits, true>, RunTile<2, kBits, true>,
                                             RunTile<3, kBits, true>, RunTile<4, kBits, true>,
                                             RunTile<5, kBits, true>, RunTile<6, kBits, true>};
  static_assert(kMaxIntTileRows == 6);
  const bool is_warm = args.rows == kMaxIntTileRows && args.is_warm != 0;
  (is_warm ? RunTile<6, kBits, false> : kByRows[args.rows - 1])(args);
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
                                 .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                 .spread = SpreadRow<SpreadOne>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& VnniIntKernels() {
  return kKernels;
}

}  // namespace heed
