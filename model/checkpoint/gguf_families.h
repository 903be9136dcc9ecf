// One reader for each architecture of GGUF files: its metadata in, the facts of ModelConfig out.
// What a key is called, and what is meant where it is missing, follows llama.cpp. Where GGUF has no
// key for a fact, the architecture implies it; of an activation heed takes the one that such models
// were trained with.
//
// All of them: INVALID_ARGUMENT for values that are missing, out of range or contradict one
// another, UNIMPLEMENTED for options that ModelConfig cannot express, by key and value.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_FAMILIES_H_
#define HEED_MODEL_CHECKPOINT_GGUF_FAMILIES_H_

#include "absl/status/statusor.h"
#include "model/checkpoint/gguf_facts.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Shaped like Llama: RMS norms, rotary positions, gated feed-forward layers.
absl::StatusOr<ModelConfig> ReadGgufLlama(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufSmolLm3(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufPhi3(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufQwen2(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufQwen3(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufGemma(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufGemma2(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufGemma3(GgufSource& source);

// Other decoders.
absl::StatusOr<ModelConfig> ReadGgufGpt2(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufGptNeoX(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufPhi2(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufStarCoder2(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufStableLm(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufBloom(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufMpt(GgufSource& source);

// Encoders.
absl::StatusOr<ModelConfig> ReadGgufBert(GgufSource& source);
absl::StatusOr<ModelConfig> ReadGgufModernBert(GgufSource& source);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_FAMILIES_H_
