// Rotary position parameters of config.json, as transformers 4 and 5 write them.
#ifndef HEED_MODEL_CHECKPOINT_HF_ROPE_H_
#define HEED_MODEL_CHECKPOINT_HF_ROPE_H_

#include "absl/status/status.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Sets rope_theta and rope_scaling of `model`, whose context_window is already known. transformers
// 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters with the theta inside.
// UNIMPLEMENTED for other kinds than default, linear and llama3, for rotation of a part of each
// head, and for parameters that differ by layer.
absl::Status ReadRope(const ConfigReader& config, ModelConfig& model);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_ROPE_H_
