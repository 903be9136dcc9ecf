// One reader for each family of models: its config.json in, the facts of ModelConfig out. What a
// family's keys are called, and what an absent key means, follows transformers' configuration
// classes. A family that shares another's layout shares its reader.
//
// All of them: INVALID_ARGUMENT for values that are out of range or contradict one another,
// UNIMPLEMENTED for options that ModelConfig cannot express, by key and value.
#ifndef HEED_MODEL_CHECKPOINT_HF_FAMILIES_H_
#define HEED_MODEL_CHECKPOINT_HF_FAMILIES_H_

#include "absl/status/statusor.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Shaped like Llama: RMS norms, rotary positions, gated feed-forward layers.
absl::StatusOr<ModelConfig> ReadLlama(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadMistral(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadQwen2(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadQwen3(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadSmolLm3(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadPhi3(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadGemma(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadGemma2(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadGemma3(const ConfigReader& config);

// Other decoders.
absl::StatusOr<ModelConfig> ReadGpt2(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadGptNeo(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadGptNeoX(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadPhi(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadOpt(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadBloom(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadMpt(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadStarCoder2(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadStableLm(const ConfigReader& config);

// Encoders.
absl::StatusOr<ModelConfig> ReadBert(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadRoberta(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadDistilBert(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadAlbert(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadElectra(const ConfigReader& config);
absl::StatusOr<ModelConfig> ReadModernBert(const ConfigReader& config);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_FAMILIES_H_
