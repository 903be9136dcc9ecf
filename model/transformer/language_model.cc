#include "model/transformer/language_model.h"

#include "model/transformer/mixing_model.h"
#include "model/transformer/transformer.h"

namespace heed {

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadLanguageModel(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options) {
  if (checkpoint.config().architecture == "heed_mixing") {
    return LoadMixingModel(checkpoint, backend, options);
  }
  return LoadTransformer(checkpoint, backend, options);
}

}  // namespace heed
