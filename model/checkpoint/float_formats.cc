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

float F16ToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7FFFu;
  // The exponent's bias grows from 15 to 127; all ones (infinity, NaN) stay all ones.
  const uint32_t rebias = (magnitude >= 0x7C00u ? 224u : 112u) << 23;
  const uint32_t normal = (magnitude << 13) + rebias;
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return std::bit_cast<float>(sign | (magnitude >= 0x0400u ? normal : subnormal));
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
