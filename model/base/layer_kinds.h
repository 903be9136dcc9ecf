// The kinds of layers that checkpoints ask for and kernels compute.
#ifndef HEED_MODEL_BASE_LAYER_KINDS_H_
#define HEED_MODEL_BASE_LAYER_KINDS_H_

namespace heed {

enum class NormKind { kLayerNorm, kRmsNorm };

// gelu_new (tanh approximation), gelu (erf), silu, relu.
enum class Activation { kGeluTanh, kGeluErf, kSilu, kRelu };

}  // namespace heed

#endif  // HEED_MODEL_BASE_LAYER_KINDS_H_
