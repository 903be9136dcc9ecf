// Which tensor of a GGUF file is which of the canonical ones, and what its rows have to go through.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_
#define HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/checkpoint/model_config.h"

namespace heed {

struct GgufTensorRule {
  std::string gguf_name;       // "blk.3.attn_q.weight"
  std::string canonical_name;  // "layers.3.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // outermost first
  // Heads whose rows the file holds with the two of each rotary pair side by side, where the
  // canonical order has all the first and then all the second ones; 0: rows are as they should be.
  int rotary_heads = 0;
};

// The tensors that are not of a layer, and those of one layer, that a model of this configuration
// must have. The architecture is one of those that ReadGgufConfig knows.
std::vector<GgufTensorRule> GlobalTensors(const ModelConfig& config);
std::vector<GgufTensorRule> LayerTensors(const ModelConfig& config, int layer);

// Whether a tensor without a rule changes nothing: what it holds is known from elsewhere.
bool IsRedundantTensor(const ModelConfig& config, absl::string_view gguf_name);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_
