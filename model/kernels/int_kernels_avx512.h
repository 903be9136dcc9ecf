// What the AVX-512 integer kernels share. The rules of isa_kernels.h hold here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_AVX512_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_AVX512_H_

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

constexpr int kVectors = kPanelCols / 16;  // registers that hold a panel's columns
constexpr int64_t kStepBytes = kPanelCols * kDotWidth;

inline __mmask16 Lanes(int64_t cols, int v) {
  const int64_t n = cols - 16 * v;
  return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1u);
}

inline __m512 LoadScales(const uint16_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_AVX512_H_
