#include "model/checkpoint/float_formats.h"

#include <bit>
#include <cstring>

namespace heed {
namespace {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little-endian and are read without swapping");

constexpr uint32_t kExponentMask = 0x7F800000;

// These loops are free of branches so that the compiler turns them into vector code.

uint16_t Load16(const char* bytes, size_t index) {
  uint16_t value;
  std::memcpy(&value, bytes + 2 * index, sizeof(value));
  return value;
}

// The fields move to their places in f32; a multiplication gives the exponent its new bias, and to
// subnormal numbers one of their own.
float F16ToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7FFFu;
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t not_finite = magnitude >= 0x7C00u ? kExponentMask : 0;
  return std::bit_cast<float>(sign | not_finite | std::bit_cast<uint32_t>(value));
}

bool AllFinite(absl::Span<const float> values) {
  uint32_t bad = 0;
  for (const float value : values) {
    bad |= (std::bit_cast<uint32_t>(value) & kExponentMask) == kExponentMask ? 1u : 0u;
  }
  return bad == 0;
}

}  // namespace

void F16ToF32(const char* bytes, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = F16ToFloat(Load16(bytes, i));
}

void BF16ToF32(const char* bytes, absl::Span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::bit_cast<float>(static_cast<uint32_t>(Load16(bytes, i)) << 16);
  }
}

int64_t FindNonFinite(absl::Span<const float> values) {
  if (AllFinite(values)) return -1;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!AllFinite(values.subspan(i, 1))) return static_cast<int64_t>(i);
  }
  return -1;
}

}  // namespace heed
