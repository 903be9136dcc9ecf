// bfloat16 by plain arithmetic; the kernels have their own instructions.
#ifndef HEED_MODEL_KERNELS_BF16_H_
#define HEED_MODEL_KERNELS_BF16_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "model/kernels/bf16_kernels.h"
#include "model/kernels/half.h"

namespace heed {

// The nearest bfloat16, ties to even; NaN stays NaN. Subnormal numbers become 0.
inline uint16_t FloatToBf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  if ((bits & 0x7f800000) == 0) return static_cast<uint16_t>(bits >> 16 & 0x8000);
  bits += 0x7fff + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

inline float Bf16ToFloat(uint16_t value) {
  return std::bit_cast<float>(uint32_t{value} << 16);
}

// The weight of value q under scale `scale` (half precision) as Bf16Kernels multiply it, times
// 2^-kBf16WeightShift: the product rounded to half precision, and that to seven bits behind the
// point, ties away from 0.
inline uint16_t RoundedWeight(uint16_t scale, int q) {
  const uint32_t half = FloatToHalf(HalfToFloat(scale) * static_cast<float>(q));
  const uint32_t magnitude = ((half & 0x7fff) + 4) >> 3;
  if ((magnitude & 0x7f80) == 0) return 0;  // tiles take subnormal numbers for 0
  return static_cast<uint16_t>((half & 0x8000) | magnitude);
}

inline float RoundedWeightValue(uint16_t scale, int q) {
  return Bf16ToFloat(RoundedWeight(scale, q)) * std::ldexp(1.0f, kBf16WeightShift);
}

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_BF16_H_
