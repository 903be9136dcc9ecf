#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_avx2.h"

namespace heed {
namespace {

// Products are added in assembly: GCC makes all of them first, and keeps them in memory meanwhile.

// Two products of a byte without a sign and one with are summed in 16 bits, which do not suffice
// for weights up to 255. With 128 taken off, their magnitudes do, and activations take on their
// signs: these are never -128.
struct Dot8 : Dot256 {
  static constexpr int kBits = 8, kSteps = 1, kHeld = 1;
  static constexpr bool kTakesOffZero = true;
  struct Weights {
    __m256i values, magnitudes;
  };

  static Weights Load(const uint8_t* w, int step) {
    const __m256i zero = _mm256_set1_epi8(static_cast<char>(0x80));
    const __m256i values = _mm256_xor_si256(LoadBytes(w + step * kStepBytes), zero);
    return {values, _mm256_abs_epi8(values)};
  }
  static void Add(const Weights& w, const int8_t* x, Sums& sums) {
    __m256i t;
    asm("vpbroadcastd %[x], %[t]\n\t"
        "vpsignb %[values], %[t], %[t]\n\t"
        "vpmaddubsw %[t], %[magnitudes], %[t]\n\t"
        "vpmaddwd %[ones], %[t], %[t]\n\t"
        "vpaddd %[t], %[sums], %[sums]"
        : [sums] "+x"(sums), [t] "=&x"(t)
        : [values] "x"(w.values), [magnitudes] "x"(w.magnitudes), [x] "m"(FourBytes(x)),
          [ones] "x"(_mm256_set1_epi16(1)));
  }
};

// Weights up to 15 leave room for four steps, and more.
struct Dot4 : Dot256 {
  static constexpr int kBits = 4, kSteps = 4, kHeld = 1;
  static constexpr bool kTakesOffZero = false;
  struct Weights {
    __m256i steps[4];
  };

  static Weights Load(const uint8_t* w, int step) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i a = LoadBytes(w + step / 2 * kStepBytes);
    const __m256i b = LoadBytes(w + (step / 2 + 1) * kStepBytes);
    return {_mm256_and_si256(a, low), _mm256_and_si256(_mm256_srli_epi16(a, 4), low),
            _mm256_and_si256(b, low), _mm256_and_si256(_mm256_srli_epi16(b, 4), low)};
  }
  static void Add(const Weights& w, const int8_t* x, Sums& sums) {
    __m256i t, u;
    asm("vpbroadcastd %[x0], %[t]\n\t"
        "vpmaddubsw %[t], %[w0], %[t]\n\t"
        "vpbroadcastd %[x1], %[u]\n\t"
        "vpmaddubsw %[u], %[w1], %[u]\n\t"
        "vpaddw %[u], %[t], %[t]\n\t"
        "vpbroadcastd %[x2], %[u]\n\t"
        "vpmaddubsw %[u], %[w2], %[u]\n\t"
        "vpaddw %[u], %[t], %[t]\n\t"
        "vpbroadcastd %[x3], %[u]\n\t"
        "vpmaddubsw %[u], %[w3], %[u]\n\t"
        "vpaddw %[u], %[t], %[t]\n\t"
        "vpmaddwd %[ones], %[t], %[t]\n\t"
        "vpaddd %[t], %[sums], %[sums]"
        : [sums] "+x"(sums), [t] "=&x"(t), [u] "=&x"(u)
        : [w0] "x"(w.steps[0]), [w1] "x"(w.steps[1]), [w2] "x"(w.steps[2]), [w3] "x"(w.steps[3]),
          [x0] "m"(FourBytes(x)), [x1] "m"(FourBytes(x + kStepActivations)),
          [x2] "m"(FourBytes(x + 2 * kStepActivations)),
          [x3] "m"(FourBytes(x + 3 * kStepActivations)), [ones] "x"(_mm256_set1_epi16(1)));
  }
};

}  // namespace

const IntKernels& Avx2IntKernels() {
  return kKernelsOf<Dot8, Dot4>;
}

}  // namespace heed
