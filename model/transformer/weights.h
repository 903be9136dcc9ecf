// A transformer's weights, read from a checkpoint and packed for a backend.
#ifndef HEED_MODEL_TRANSFORMER_WEIGHTS_H_
#define HEED_MODEL_TRANSFORMER_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"

namespace heed {

// Gain and bias of one norm, [width] each; bias is empty for RMSNorm, both are empty where the
// model has no such norm.
struct NormWeights {
  AlignedBuffer weight;
  AlignedBuffer bias;

  bool present() const { return weight.size() > 0; }
};

struct LayerWeights {
  NormWeights attention_norm;   // before attention, or after it in a post-norm model
  std::unique_ptr<Linear> qkv;  // [query_width + 2 * kv_width, width]: q, k, v rows in this order
  std::unique_ptr<Linear> attention_output;  // [width, query_width]
  NormWeights mlp_norm;
  std::unique_ptr<Linear> up;  // [ffn_width, width]; gated: [2 * ffn_width, width], gate rows first
  std::unique_ptr<Linear> down;  // [width, ffn_width]
};

struct TransformerWeights {
  AlignedBuffer
      token_embedding;  // [vocab_size, width]; empty when tied: rows come from `unembedding`
  AlignedBuffer position_embedding;  // [context_window, width]; empty under RoPE
  AlignedBuffer type_embedding;      // [width]: token type 0; empty when the model has none
  NormWeights embedding_norm;
  std::vector<LayerWeights> layers;
  NormWeights final_norm;
  std::unique_ptr<Linear> head_dense;  // masked language models only
  NormWeights head_norm;
  std::unique_ptr<Linear> unembedding;  // [vocab_size, width]; null: the model has no head

  int64_t parameter_count = 0;  // tied weights once
  int64_t bytes = 0;            // resident
};

// Errors as Checkpoint::ReadF32; UNIMPLEMENTED for an architecture without a row in
// architectures.h.
absl::StatusOr<TransformerWeights> LoadWeights(const Checkpoint& checkpoint,
                                               const Backend& backend);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_WEIGHTS_H_
