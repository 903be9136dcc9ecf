// The table of architectures: which tensor of a checkpoint plays which part. A new family is a row
// here and the reading of its config's facts (model/checkpoint/hf_families.h); the forward pass
// does not change.
#ifndef HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_
#define HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_

#include "absl/strings/string_view.h"

namespace heed {

// Parts whose linear layers have biases in every checkpoint of a family; in others as the config
// says.
struct BiasedParts {
  bool qkv = false;
  bool attention_output = false;
  bool mlp = false;
};

// How one tensor holds queries, keys and values: [q | k | v], or [q | k | v] of each head in turn.
enum class QkvPacking { kWhole, kByHead };

// Tensor names without ".weight" or ".bias"; "$" stands for the layer's number (the number of its
// group where layers share weights); empty: the family has no such part.
struct TensorNames {
  absl::string_view architecture;

  absl::string_view token_embedding;
  absl::string_view position_embedding;
  absl::string_view type_embedding;
  absl::string_view embedding_norm;
  absl::string_view
      embedding_projection;  // from the embedding's width to the stream's, if narrower

  absl::string_view attention_norm;  // before attention; after it in a post-norm model
  absl::string_view fused_qkv;       // one tensor, see qkv_packing; else the three below
  absl::string_view query, key, value;
  absl::string_view query_norm, key_norm;  // of each head
  absl::string_view attention_output;
  absl::string_view attention_output_norm;  // on attention's result, before it is added
  absl::string_view mlp_norm;
  absl::string_view gate;  // with a gated feed-forward layer; empty: `up` holds [gate | up]
  absl::string_view up, down;
  absl::string_view mlp_output_norm;

  absl::string_view final_norm;
  absl::string_view output_projection;  // the embedding_projection's counterpart
  // A masked language model's head: dense, activation, norm.
  absl::string_view head_dense, head_norm;
  absl::string_view unembedding;       // when not tied
  absl::string_view unembedding_bias;  // has one by this name, tied or not

  QkvPacking qkv_packing = QkvPacking::kWhole;
  bool input_major = false;  // linear weights are stored [in, out] (GPT-2's Conv1D)
  BiasedParts biased;
  bool projection_bias = false;   // of embedding_projection
  bool wide_positions = false;    // positions are added after the projection, at the stream's width
  bool bare_first_layer = false;  // layer 0 has no attention_norm
};

// Null for a family that is not in the table.
const TensorNames* FindTensorNames(absl::string_view architecture);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_
