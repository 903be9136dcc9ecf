// Which tensor of a GGUF file is which of the canonical ones, and what its rows have to go through.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_
#define HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/gguf_rows.h"
#include "model/checkpoint/model_config.h"

namespace heed {

struct GgufTensorRule {
  std::string gguf_name;       // "blk.3.attn_q.weight"
  std::string canonical_name;  // "layers.3.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // outermost first
  GgufRowOrder order;          // of the rows

  // Another spelling: a tensor that holds this one and others, one after the other. It has so many
  // rows in all, and this one's begin at that one. Empty: there is no other spelling.
  std::string fused_name;  // "blk.3.attn_qkv.weight"
  int64_t fused_rows = 0;
  int64_t first_fused_row = 0;

  // Whether the file has the other spelling, and not this one.
  bool IsFusedIn(const GgufFiles& files) const;
  std::vector<int64_t> FusedShape() const;
};

// The tensors that are not of a layer, and those of one layer, that a model of this configuration
// must have. The architecture is one of those that ReadGgufConfig knows.
std::vector<GgufTensorRule> GlobalTensors(const ModelConfig& config);
std::vector<GgufTensorRule> LayerTensors(const ModelConfig& config, int layer);

// Whether a tensor without a rule changes nothing: what it holds is known from elsewhere, or it is
// of a part that heed does not answer from.
bool IsRedundantTensor(const ModelConfig& config, absl::string_view gguf_name);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_TENSORS_H_
