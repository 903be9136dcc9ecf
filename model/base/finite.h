// Numbers that are numbers.
#ifndef HEED_MODEL_BASE_FINITE_H_
#define HEED_MODEL_BASE_FINITE_H_

#include <bit>
#include <cstdint>

#include "absl/types/span.h"

namespace heed {

// True when no value is a NaN or an infinity. Integer arithmetic, which compilers vectorise without
// being told to reorder sums.
inline bool AllFinite(absl::Span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t bad = 0;
  for (float value : values) bad |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  return bad == 0;
}

}  // namespace heed

#endif  // HEED_MODEL_BASE_FINITE_H_
