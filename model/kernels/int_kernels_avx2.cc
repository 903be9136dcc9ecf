#include "model/kernels/int_kernels_avx2.h"

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

// The sums of neighbouring 16-bit numbers, added to `sums`.
inline void AddNeighbours(__m256i numbers, __m256i& sums) {
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(numbers, _mm256_set1_epi16(1)));
}

// Two products of a byte without a sign and one with are summed in 16 bits, which do not suffice
// for weights up to 255. With 128 taken off, their magnitudes do, and activations take on their
// signs: these are never -128.
struct Dot8 {
  static constexpr int kBits = 8, kSteps = 1, kMaxRows = 4;
  static constexpr bool kTakesOffZero = true;
  struct Weights {
    __m256i values, magnitudes;
  };

  static Weights Load(__m256i bytes) {
    const __m256i values = _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
    return {values, _mm256_abs_epi8(values)};
  }
  static void Add(const Weights& w, const int8_t* x, __m256i& sums) {
    AddNeighbours(_mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(FourBytes(x), w.values)),
                  sums);
  }
};

// Weights up to 15 leave room for two steps.
struct Dot4 {
  static constexpr int kBits = 4, kSteps = 2, kMaxRows = 4;
  static constexpr bool kTakesOffZero = false;
  using Weights = Halves;

  static Weights Load(__m256i bytes) { return Split(bytes); }
  static void Add(const Weights& w, const int8_t* x, __m256i& sums) {
    AddNeighbours(_mm256_add_epi16(_mm256_maddubs_epi16(w.first, FourBytes(x)),
                                   _mm256_maddubs_epi16(w.second, FourBytes(x + kStepActivations))),
                  sums);
  }
};

}  // namespace

const IntKernels& Avx2IntKernels() {
  return kKernelsOf<Dot8, Dot4>;
}

}  // namespace heed
