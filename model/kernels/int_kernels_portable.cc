#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/half.h"
#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_spread.h"
#include "model/kernels/vector_compiler.h"

#include "model/kernels/int_tile_impl.h"

namespace heed {
namespace {

typedef int32_t I32x4 __attribute__((vector_size(16)));

// Groups whose sums are whole numbers up to 2^24, on the way too, so that single precision has them
// exactly: each product that is added, and each that is yet to be, makes at most 128 times 127.
constexpr int64_t kMostExactGroup = 1024;

// Products of such groups, in single precision: that has vectors on every processor.
template <int kBitsOfWeight>
struct Dot {
  static constexpr int kBits = kBitsOfWeight, kCols = 4, kSteps = 1, kHeld = 4;
  static constexpr bool kTakesOffZero = false;
  using Sums = F32x4;
  struct Weights {
    F32x4 of[kDotWidth];  // activation
  };

  static Sums Start(int32_t start) {
    const auto sum = static_cast<float>(start);
    return Sums{sum, sum, sum, sum};
  }
  static Weights Load(const uint8_t* w, int step) {
    I32x4 words;
    memcpy(&words, w + (kBits == 8 ? step : step / 2) * kStepBytes, sizeof words);
    Weights weights;
    for (int k = 0; k < kDotWidth; ++k) {
      const int shift = 8 * k + (kBits == 8 ? 0 : step % 2 * 4);
      weights.of[k] = __builtin_convertvector(words >> shift & (kBits == 8 ? 255 : 15), F32x4);
    }
    return weights;
  }
  static void Add(const Weights& w, const int8_t* x, Sums& sums) {
    for (int k = 0; k < kDotWidth; ++k) sums += w.of[k] * static_cast<float>(x[k]);
  }
  static F32x16 ToFloats(const Sums* sums) { return {{sums[0], sums[1], sums[2], sums[3]}}; }
};

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
void AnyTile(const IntTileArgs& args) {
  if (args.group <= kMostExactGroup) return Tile<Dot<kBits>>(args);
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
                                 .tile8 = AnyTile<Weight8, 8>,
                                 .tile4 = AnyTile<Weight4, 4>,
                                 .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                 .spread = SpreadRow<SpreadGroup>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& PortableIntKernels() {
  return kKernels;
}

}  // namespace heed
