// The models below a transformer: an embedding, one mixing pattern over the words so far, and the
// embedding again as unembedding. No norms, no feed-forward layer, no residual stream.
#ifndef HEED_MODEL_TRANSFORMER_MIXING_MODEL_H_
#define HEED_MODEL_TRANSFORMER_MIXING_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"

namespace heed {

// As LoadLanguageModel, for a checkpoint of the architecture "heed_mixing".
absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadMixingModel(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_MIXING_MODEL_H_
