// The kinds of layers that checkpoints ask for and kernels compute.
#ifndef HEED_MODEL_BASE_LAYER_KINDS_H_
#define HEED_MODEL_BASE_LAYER_KINDS_H_

namespace heed {

enum class NormKind { kLayerNorm, kRmsNorm };

// gelu_new (tanh approximation), gelu (erf), silu, relu.
enum class Activation { kGeluTanh, kGeluErf, kSilu, kRelu };

// How the weights of linear layers are held, and computed with. In the formats of 8 and 4 bits, the
// activations that meet them are rounded too: to bfloat16, or to 8 bits where the machine has no
// tiles.
enum class WeightFormat {
  // As the checkpoint says: what it holds in blocks of 8 or 4 bits with one scale stays as it is,
  // other blocks are rounded to 8 bits, and everything else is f32.
  kAsStored,
  kF32,
  kF16,   // half precision; what is computed with it is f32
  kInt8,  // embeddings and unembedding 16 bits
  kInt4,  // embeddings and unembedding 8 bits
};

// How keys and values are kept. They are rounded as they are stored, and whatever reads them reads
// what is stored: f32 as they are; f16 to half precision; int8 to 8 bits with one scale for each
// head of each token, of keys and of values.
enum class KvType { kF32, kF16, kInt8 };

}  // namespace heed

#endif  // HEED_MODEL_BASE_LAYER_KINDS_H_
