#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_spread.h"

namespace heed {
namespace {

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

int Weight8(const uint8_t* group, int64_t k, int64_t col) {
  return group[(k / kDotWidth * kPanelCols + col) * kDotWidth + k % kDotWidth];
}

int Weight4(const uint8_t* group, int64_t k, int64_t col) {
  const int64_t step = k / kDotWidth;
  const uint8_t both = group[(step / 2 * kPanelCols + col) * kDotWidth + k % kDotWidth];
  return step % 2 == 0 ? both & 15 : both >> 4;
}

template <int (*kWeight)(const uint8_t*, int64_t, int64_t), int kBits>
float GroupSum(const IntTileArgs& args, int64_t g, int64_t r, int64_t col) {
  const int64_t index = g * kMaxIntTileRows + r;
  const int8_t* x = args.x + g * args.group * kMaxIntTileRows + r * kDotWidth;
  const uint8_t* w = args.w + g * args.group * kPanelCols * kBits / 8;
  int32_t dot = args.x_start[index];
  for (int64_t k = 0; k < args.group; ++k) {
    dot += kWeight(w, k, col) * x[k / kDotWidth * kStepActivations + k % kDotWidth];
  }
  const float w_scale = HalfToFloat(args.w_scale[g * kPanelCols + col]);
  return static_cast<float>(dot) * w_scale * args.x_scale[index];
}

template <int (*kWeight)(const uint8_t*, int64_t, int64_t), int kBits>
void Tile(const IntTileArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t col = 0; col < args.cols; ++col) {
      float& total = args.total[r * kPanelCols + col];
      if (args.begin_group == 0) total = 0;
      for (int64_t g = args.begin_group; g < args.end_group; ++g) {
        total += GroupSum<kWeight, kBits>(args, g, r, col);
      }
      if (args.end_group < args.n_groups) continue;
      float& y = args.y[r * args.y_stride + col];
      const float sum = total * args.unit + args.bias[col];
      y = args.accumulate ? y + sum : sum;
    }
  }
}

float LargestOf(const float* x, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n && most == most; ++i) {
    if (!(fabsf(x[i]) <= most)) most = fabsf(x[i]);
  }
  return most;
}

int32_t RoundGroup(const float* x, float factor, int64_t n, int64_t padded, int8_t* q) {
  int32_t sum = 0;
  for (int64_t i = 0; i < padded; ++i) {
    const auto rounded = i < n ? static_cast<int8_t>(nearbyintf(x[i] * factor)) : int8_t{0};
    q[i / kDotWidth * kStepActivations + i % kDotWidth] = rounded;
    sum += rounded;
  }
  return sum;
}

constexpr IntKernels kKernels = {.bf16 = nullptr,
                                 .tile8 = Tile<Weight8, 8>,
                                 .tile4 = Tile<Weight4, 4>,
                                 .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                 .spread = SpreadRow<SpreadGroup>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& PortableIntKernels() {
  return kKernels;
}

}  // namespace heed
