#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_quantize_avx512.h"
#include "model/kernels/int_kernels_spread.h"
#include "model/kernels/vector_avx512.h"

#include "model/kernels/int_tile_impl.h"

namespace heed {
namespace {

// The dot products of four bytes each.
template <int kBitsOfWeight>
struct Dot {
  static constexpr int kBits = kBitsOfWeight, kCols = 16, kSteps = 1, kHeld = 4;
  static constexpr bool kTakesOffZero = false;
  using Sums = __m512i;
  using Weights = __m512i;

  static Sums Start(int32_t start) { return _mm512_set1_epi32(start); }
  static Weights Load(const uint8_t* w, int step) {
    if (kBits == 8) return _mm512_loadu_si512(w + step * kStepBytes);
    const __m512i both = _mm512_loadu_si512(w + step / 2 * kStepBytes);
    const __m512i shifted = step % 2 == 0 ? both : _mm512_srli_epi16(both, 4);
    return _mm512_and_si512(shifted, _mm512_set1_epi8(15));
  }
  // Through the intrinsic GCC 12 copies sums to other registers and to memory.
  static void Add(Weights w, const int8_t* x, Sums& sums) {
    const __m512i four = _mm512_set1_epi32(FourBytes(x));
    asm("vpdpbusd %[x], %[w], %[sums]" : [sums] "+v"(sums) : [w] "v"(w), [x] "v"(four));
  }
  static F32x16 ToFloats(const Sums* sums) { return {_mm512_cvtepi32_ps(*sums)}; }
};

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

constexpr IntKernels kKernels = {.bf16 = nullptr,
                                 .tile8 = Tile<Dot<8>>,
                                 .tile4 = Tile<Dot<4>>,
                                 .quantize = Quantize,
                                 .spread = SpreadRow<SpreadOne>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& VnniIntKernels() {
  return kKernels;
}

}  // namespace heed
