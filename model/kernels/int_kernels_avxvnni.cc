#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx2.h"

namespace heed {
namespace {

// The dot products of four bytes each.
template <int kBitsOfWeight>
struct Dot : Dot256 {
  static constexpr int kBits = kBitsOfWeight, kSteps = 1, kHeld = 8;
  static constexpr bool kTakesOffZero = false;
  using Weights = __m256i;

  static Weights Load(const uint8_t* w, int step) {
    if (kBits == 8) return LoadBytes(w + step * kStepBytes);
    const __m256i both = LoadBytes(w + step / 2 * kStepBytes);
    const __m256i shifted = step % 2 == 0 ? both : _mm256_srli_epi16(both, 4);
    return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
  }
  // Through the intrinsic GCC 12 copies every sum to another register and to memory at each step.
  static void Add(Weights w, const int8_t* x, Sums& sums) {
    const __m256i four = _mm256_set1_epi32(FourBytes(x));
    asm("%{vex%} vpdpbusd %[x], %[w], %[sums]" : [sums] "+x"(sums) : [w] "x"(w), [x] "x"(four));
  }
};

}  // namespace

const IntKernels& AvxVnniIntKernels() {
  return kKernelsOf<Dot<8>, Dot<4>>;
}

}  // namespace heed
