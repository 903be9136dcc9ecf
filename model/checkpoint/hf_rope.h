// Rotary position parameters of config.json, as transformers 4 and 5 write them.
#ifndef HEED_MODEL_CHECKPOINT_HF_ROPE_H_
#define HEED_MODEL_CHECKPOINT_HF_ROPE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Where a family states its rotary parameters. transformers 4 writes a theta, rope_scaling and
// perhaps a rotated fraction at the top; transformers 5 writes rope_parameters with all of it
// inside.
struct RopeKeys {
  absl::string_view theta = "rope_theta";  // at the top
  double default_theta = 10000;
  // Families whose layers differ have an object of this name inside rope_parameters; empty: all
  // layers are alike.
  absl::string_view layer_type;
  bool is_scaled = true;  // rope_scaling is about these layers
  // Phi-3's only scaling is LongRoPE, which its first configurations called "su" or "yarn", and its
  // original context is 4096 unless the configuration says otherwise.
  bool is_phi3 = false;
};

// UNIMPLEMENTED for kinds of scaling other than default, linear, dynamic, llama3, yarn and
// longrope, and for parameters that differ by layer where a family has but one kind of layers.
// context_window, head_dim and rotary_dim of `model` are already known.
absl::StatusOr<RopeParameters> ReadRopeParameters(const ConfigReader& config, const RopeKeys& keys,
                                                  const ModelConfig& model);

// Sets rope_theta and rope_scaling of `model`. Dynamic scaling also stretches its context window by
// the factor, in families whose layers are alike; in others it ends where the scaling would begin.
absl::Status ReadRope(const ConfigReader& config, const RopeKeys& keys, ModelConfig& model);

// Sets rotary_dim of `model`: head_dim times the fraction under `key` or, inside rope_parameters,
// under partial_rotary_factor.
absl::Status ReadRotaryFraction(const ConfigReader& config, absl::string_view key, double fallback,
                                ModelConfig& model);

// Refuses a fraction other than 1, for families without one.
absl::Status RequireWholeHeads(const ConfigReader& config);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_ROPE_H_
