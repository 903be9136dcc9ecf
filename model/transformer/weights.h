// A transformer's weights, read from a checkpoint and packed for a backend.
#ifndef HEED_MODEL_TRANSFORMER_WEIGHTS_H_
#define HEED_MODEL_TRANSFORMER_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"
#include "model/transformer/weight_reader.h"

namespace heed {

// Gain and bias of one norm, [width] each; bias is empty for RMSNorm and for a LayerNorm without
// one, both are empty where the model has no such norm.
struct NormWeights {
  AlignedBuffer weight;
  AlignedBuffer bias;

  bool present() const { return weight.size() > 0; }
};

// One half of a layer, attention or feed-forward. Of the three norms a model has one or two.
struct HalfWeights {
  NormWeights before;  // on what the half reads
  std::unique_ptr<Linear> in;
  std::unique_ptr<Linear> out;
  NormWeights inside;  // on the half's result, before it is added to the residual stream
  NormWeights after;   // on the sum
};

struct LayerWeights {
  // in: [query_width + 2 * kv_width, width], q, k, v rows in this order; out: [width, query_width].
  HalfWeights attention;
  NormWeights query_norm, key_norm;  // [head_dim]
  // in: [ffn_width, width], or gated [2 * ffn_width, width] with the gate's rows first; out:
  // [width, ffn_width].
  HalfWeights mlp;
};

// table_width is the width of the embedding table: the stream's unless the model projects.
struct TransformerWeights {
  LookupTable token_embedding;  // [vocab_size, table_width]; empty when tied: the unembedding's
  // [context_window + position_offset, position_width]; empty unless positions are learned.
  AlignedBuffer position_embedding;
  int64_t position_width = 0;
  AlignedBuffer type_embedding;  // [table_width]: token type 0; empty when the model has none
  NormWeights embedding_norm;
  std::unique_ptr<Linear> embedding_projection;  // [width, table_width]; null: none
  std::vector<LayerWeights> layers;              // one for each group of layers
  NormWeights final_norm;
  std::unique_ptr<Linear> head;  // [table_width, width]; null: none
  NormWeights head_norm;         // present: the head is followed by an activation and this norm
  std::unique_ptr<Linear> unembedding;  // [vocab_size, table_width]; null: the model has no head

  int64_t parameter_count = 0;  // tied weights once
  int64_t bytes = 0;            // resident
  std::string compute_dtype;    // as WeightReader's
  std::vector<std::string> notes;
};

// Errors as Checkpoint::ReadF32; UNIMPLEMENTED for an architecture without a row in
// architectures.h.
absl::StatusOr<TransformerWeights> LoadWeights(const Checkpoint& checkpoint, const Backend& backend,
                                               const LanguageModelOptions& options);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_WEIGHTS_H_
