// The table of architectures: which tensor of a checkpoint plays which part. A new family is a row
// here and its config's facts in model/checkpoint/hf_config; the forward pass does not change.
#ifndef HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_
#define HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_

#include "absl/strings/string_view.h"

namespace heed {

// Tensor names without ".weight" or ".bias"; "$" stands for the layer's number; empty: the family
// has no such part.
struct TensorNames {
  absl::string_view architecture;

  absl::string_view token_embedding;
  absl::string_view position_embedding;
  absl::string_view type_embedding;
  absl::string_view embedding_norm;

  absl::string_view attention_norm;
  absl::string_view fused_qkv;  // [q | k | v] in one tensor; else the three below
  absl::string_view query, key, value;
  absl::string_view attention_output;
  absl::string_view mlp_norm;
  absl::string_view gate, up, down;

  absl::string_view final_norm;
  // A masked language model's head: dense, activation, norm, then the unembedding with a bias of
  // its own.
  absl::string_view head_dense, head_norm, head_bias;
  absl::string_view unembedding;  // when not tied

  bool input_major = false;    // linear weights are stored [in, out] (GPT-2's Conv1D)
  bool linear_biases = false;  // every linear layer has a bias; otherwise as the config says
};

// Null for a family that is not in the table.
const TensorNames* FindTensorNames(absl::string_view architecture);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_ARCHITECTURES_H_
