// IntKernels::quantize over what an instruction set does to one group. The rules of isa_kernels.h
// hold here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_

#include <stdint.h>

namespace heed {
namespace {

// The scale of a group of activations of which the largest is `most`, without its sign: NaN unless
// `most` is finite.
inline float ActivationScale(float most) {
  constexpr float kLargestFinite = 3.402823466e38f;
  return most <= kLargestFinite ? most / 127.0f : __builtin_nanf("");
}

// kLargestOf: the largest magnitude of n elements; not finite where one of them is not.
// kRoundGroup: n elements times `factor`, rounded, and zeros up to `padded`; returns their sum.
template <float (*kLargestOf)(const float* x, int64_t n),
          int32_t (*kRoundGroup)(const float* x, float factor, int64_t n, int64_t padded,
                                 int8_t* q)>
void QuantizeRow(const float* x, int64_t n, int64_t group, int8_t* q, float* scale, int32_t* sum) {
  for (; n > 0; n -= group, x += group, q += group, ++scale) {
    const int64_t in_group = n < group ? n : group;
    const float largest = kLargestOf(x, in_group);
    *scale = ActivationScale(largest);
    int32_t total = 0;
    if (*scale == *scale) {
      total = kRoundGroup(x, largest > 0 ? 127.0f / largest : 0.0f, in_group, group, q);
    } else {
      __builtin_memset(q, 0, group);
    }
    *sum++ = total;
  }
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_QUANTIZE_H_
