// IntKernels::quantize over what an instruction set does to one group, and
// IntKernels::round_weights for the compiler to make vectors of. The rules of isa_kernels.h hold
// here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_

#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

constexpr float kLargestFinite = 3.402823466e38f;

// Activations below it are 0, so that what others are multiplied by is finite.
constexpr float kLeastActivation = 0x1p-100f;

// The scale of a group of activations of which the largest is `most`, without its sign: NaN unless
// `most` is finite.
inline float ActivationScale(float most) {
  return most <= kLargestFinite ? most / 127.0f : __builtin_nanf("");
}

// kLargestOf: the largest magnitude of n elements; not finite where one of them is not.
// kRoundGroup: n elements times `factor`, rounded, and zeros up to `padded`, kDotWidth of them each
// kStepActivations bytes; returns their sum.
template <float (*kLargestOf)(const float* x, int64_t n),
          int32_t (*kRoundGroup)(const float* x, float factor, int64_t n, int64_t padded,
                                 int8_t* q)>
void QuantizeRow(const float* x, int64_t n, int64_t group, int32_t zero, int8_t* q, float* scale,
                 int32_t* start) {
  for (; n > 0; n -= group, x += group) {
    const int64_t in_group = n < group ? n : group;
    const float largest = kLargestOf(x, in_group);
    *scale = ActivationScale(largest);
    const bool is_finite = *scale == *scale;
    const float factor = is_finite && largest >= kLeastActivation ? 127.0f / largest : 0.0f;
    *start = -zero * kRoundGroup(x, factor, is_finite ? in_group : 0, group, q);
    q += group / kDotWidth * kStepActivations;
    scale += kMaxIntTileRows;
    start += kMaxIntTileRows;
  }
}

// Sets q of weight i; returns it less `zero`.
inline float SetWeight(const RoundWeightsArgs& args, float divisor, int64_t i) {
  // Adding it leaves no place for a fraction: rounds to the nearest integer, ties to even.
  constexpr float kRounder = 0x1.8p23f;
  float rounded = (args.w[i] / divisor + kRounder) - kRounder;
  rounded = rounded < args.least ? args.least : rounded;
  rounded = rounded > args.most ? args.most : rounded;
  args.q[i] = static_cast<uint8_t>(static_cast<int32_t>(rounded) + args.zero);
  return rounded;
}

// The same; returns what the weight loses, of its own size.
inline float RoundWeight(const RoundWeightsArgs& args, float divisor, int64_t i) {
  const float w = args.w[i], rounded = SetWeight(args, divisor, i);
  const float amount = __builtin_fabsf(w);
  const float lost = __builtin_fabsf(args.scale * rounded - w) / (amount > 0 ? amount : 1.0f);
  return lost < 1 ? lost : 1.0f;
}

// The sums are kept in parts, which need not be added one after the other.
WeightsRounded RoundWeights(RoundWeightsArgs args) {
  constexpr int64_t kParts = 16;
  const float divisor = args.scale == 0 ? __builtin_huge_valf() : args.scale;
  float errors[kParts] = {};
  int32_t counts[kParts] = {};
  WeightsRounded all = {0, 0};
  int64_t i = 0;
  if (args.measures == 0) {
#pragma omp simd
    for (i = 0; i < args.n; ++i) SetWeight(args, divisor, i);
    return all;
  }
  for (; i + kParts <= args.n; i += kParts) {
#pragma omp simd
    for (int64_t part = 0; part < kParts; ++part) {
      errors[part] += RoundWeight(args, divisor, i + part);
      counts[part] += args.w[i + part] != 0 ? 1 : 0;
    }
  }
  for (; i < args.n; ++i) {
    all.error += RoundWeight(args, divisor, i);
    all.count += args.w[i] != 0 ? 1 : 0;
  }
  for (int64_t part = 0; part < kParts; ++part) {
    all.error += errors[part];
    all.count += counts[part];
  }
  return all;
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_
