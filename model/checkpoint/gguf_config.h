// A GGUF file's metadata to a ModelConfig.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_CONFIG_H_
#define HEED_MODEL_CHECKPOINT_GGUF_CONFIG_H_

#include <optional>

#include "absl/status/statusor.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/model_config.h"
#include "model/checkpoint/pooling.h"

namespace heed {

struct GgufConfig {
  ModelConfig model;
  std::optional<PoolingConfig> pooling;  // where the file says how
};

// Sizes that the metadata need not name come from the tensors' shapes. INVALID_ARGUMENT for values
// that are missing, out of range or contradict one another; UNIMPLEMENTED, by key and value, for
// architectures and options that heed does not know, and for every key of the architecture that it
// does not know: it may change the answers.
//
// GGUF names no activation: the architecture implies it, and heed takes the one that such models
// were trained with (for bert the exact GELU, where llama.cpp takes its approximation).
absl::StatusOr<GgufConfig> ReadGgufConfig(const GgufFiles& files);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_CONFIG_H_
