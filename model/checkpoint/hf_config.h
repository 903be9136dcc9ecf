// config.json and generation_config.json of a Hugging Face folder to a ModelConfig.
#ifndef HEED_MODEL_CHECKPOINT_HF_CONFIG_H_
#define HEED_MODEL_CHECKPOINT_HF_CONFIG_H_

#include <optional>

#include "absl/status/statusor.h"
#include "model/base/json.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Absent keys take the defaults of transformers' configuration classes. ("heed_mixing" has none.)
// INVALID_ARGUMENT for values that are out of range or contradict one another; UNIMPLEMENTED for
// architectures and options that heed does not know, by name. `generation_config`, where given, has
// precedence for the ids at which text begins and ends.
absl::StatusOr<ModelConfig> ReadHuggingFaceConfig(
    const JsonValue& config, const std::optional<JsonValue>& generation_config);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_CONFIG_H_
