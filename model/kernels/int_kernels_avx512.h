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

inline void StoreTile(const IntTileArgs& args) {
  const __m512 unit = _mm512_set1_ps(args.unit);
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const total = args.total + r * kPanelCols;
    float* const y = args.y + r * args.y_stride;
    for (int v = 0; v < kVectors; ++v) {
      const __mmask16 lanes = Lanes(args.cols, v);
      __m512 sum = _mm512_fmadd_ps(_mm512_load_ps(total + 16 * v), unit,
                                   _mm512_loadu_ps(args.bias + 16 * v));
      if (args.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y + 16 * v), sum);
      _mm512_mask_storeu_ps(y + 16 * v, lanes, sum);
    }
  }
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_AVX512_H_
