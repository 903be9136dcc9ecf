// Half precision (IEEE 754 binary16) by plain arithmetic, for packing; the kernels have their own
// instructions.
#ifndef HEED_MODEL_KERNELS_HALF_H_
#define HEED_MODEL_KERNELS_HALF_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace heed {

// The nearest half-precision number, ties to even; beyond the largest, infinity.
inline uint16_t FloatToHalf(float value) {
  const uint16_t sign = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16 & 0x8000);
  const float magnitude = std::fabs(value);
  if (std::isnan(magnitude)) return static_cast<uint16_t>(sign | 0x7e00);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x1p-14f) {
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f)));
  }
  uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  bits += 0xfff + (bits >> 13 & 1);  // a carry may move on into the exponent, as it should
  return static_cast<uint16_t>(sign | (bits - (112u << 23)) >> 13);
}

inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 |
                              fraction << 13);
}

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_HALF_H_
