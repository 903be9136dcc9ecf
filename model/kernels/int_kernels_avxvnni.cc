#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx2.h"

namespace heed {
namespace {

// sums += the dot products of four bytes each. Through the intrinsic GCC 12 copies every sum to
// another register and to memory at each step.
inline void AddDots(__m256i w, __m256i x, __m256i& sums) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(w), "x"(x));
}

struct Dot8 {
  static constexpr int kBits = 8, kSteps = 1, kMaxRows = 6;
  static constexpr bool kTakesOffZero = false;
  using Weights = __m256i;

  static Weights Load(__m256i bytes) { return bytes; }
  static void Add(Weights w, const int8_t* x, __m256i& sums) { AddDots(w, FourBytes(x), sums); }
};

struct Dot4 {
  static constexpr int kBits = 4, kSteps = 2, kMaxRows = 4;
  static constexpr bool kTakesOffZero = false;
  using Weights = Halves;

  static Weights Load(__m256i bytes) { return Split(bytes); }
  static void Add(const Weights& w, const int8_t* x, __m256i& sums) {
    AddDots(w.first, FourBytes(x), sums);
    AddDots(w.second, FourBytes(x + kStepActivations), sums);
  }
};

}  // namespace

const IntKernels& AvxVnniIntKernels() {
  return kKernelsOf<Dot8, Dot4>;
}

}  // namespace heed
