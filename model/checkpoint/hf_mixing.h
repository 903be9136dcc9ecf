// The family of models below a transformer: an embedding, one mixing pattern, and the embedding
// again as unembedding. Heed's own layout, in the form of a Hugging Face folder.
#ifndef HEED_MODEL_CHECKPOINT_HF_MIXING_H_
#define HEED_MODEL_CHECKPOINT_HF_MIXING_H_

#include "absl/status/statusor.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Reads a config.json of model_type "heed_mixing". There are no defaults: "mixing",
// "position_encoding", "hidden_size", "vocab_size" and "max_position_embeddings" must all be there.
// UNIMPLEMENTED for a pattern or an encoding that heed does not know, by name.
absl::StatusOr<ModelConfig> ReadMixing(const ConfigReader& config);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_MIXING_H_
