#include "model/transformer/language_model.h"

#include "model/transformer/mixing_model.h"
#include "model/transformer/transformer.h"

namespace heed {

absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadLanguageModel(const Checkpoint& checkpoint,
                                                                       const Backend* backend,
                                                                       int64_t max_context) {
  if (checkpoint.config().architecture == "heed_mixing") {
    return LoadMixingModel(checkpoint, backend, max_context);
  }
  return LoadTransformer(checkpoint, backend, max_context);
}

}  // namespace heed
