// The vector kernels' interface to the rest: plain functions over plain pointers, one table for
// each instruction set.
//
// The files that implement a table are compiled with that instruction set's flags. They include
// nothing but headers that hold to this and C headers, so that no inline function of a library is
// emitted with instructions that another machine lacks.
#ifndef HEED_MODEL_KERNELS_ISA_KERNELS_H_
#define HEED_MODEL_KERNELS_ISA_KERNELS_H_

#include <stdint.h>

#include "model/kernels/attention_tile.h"

namespace heed {

// As Activation in model_config.h.
enum class ActivationCode : int { kGeluTanh, kGeluErf, kSilu, kRelu };

struct IsaKernels {
  // One row: y = norm(x), n elements. bias may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, double eps, float* y,
                     int64_t n);
  void (*rms_norm)(const float* x, const float* weight, double eps, float* y, int64_t n);
  // y = act(x), n elements; y may be x.
  void (*activate)(ActivationCode code, const float* x, float* y, int64_t n);
  void (*activate_gated)(ActivationCode code, const float* gate, const float* up, float* y,
                         int64_t n);
  // x = cap * tanh(x / cap), n elements.
  void (*soft_cap)(float cap, float* x, int64_t n);
  // One head of one row: pairs (i, i + half).
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);
};

const IsaKernels& PortableKernels();
const AttentionKernels& PortableAttention();
#if defined(__x86_64__)
const IsaKernels& Avx2Kernels();
const IsaKernels& Avx512Kernels();
const AttentionKernels& Avx2Attention();
const AttentionKernels& Avx512Attention();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_H_
