#include "model/kernels/kv_rounding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "model/kernels/half.h"

namespace heed {
namespace {

void RoundHead(absl::Span<float> head) {
  const float scale = KvScale(head);
  for (float& value : head) value = static_cast<float>(KvNumber(value, scale)) * scale;
}

}  // namespace

float KvScale(absl::Span<const float> head) {
  float largest = 0;
  for (float value : head) {
    if (!std::isfinite(value)) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::fabs(value));
  }
  if (largest < 0x1p-100f) return 0;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(largest / 127) + 0x80u) & ~0xffu);
}

int8_t KvNumber(float value, float scale) {
  if (!(scale > 0)) return 0;
  const float inverse = 1 / scale;
  return static_cast<int8_t>(std::nearbyint(value * inverse));
}

void RoundAsStored(KvType type, int64_t head_dim, MatrixRef rows) {
  if (type == KvType::kF32) return;
  for (int64_t r = 0; r < rows.rows; ++r) {
    const absl::Span<float> row = rows.Row(r);
    if (type == KvType::kF16) {
      for (float& value : row) value = HalfToFloat(FloatToHalf(value));
      continue;
    }
    for (int64_t i = 0; i < rows.cols; i += head_dim) RoundHead(row.subspan(i, head_dim));
  }
}

}  // namespace heed
