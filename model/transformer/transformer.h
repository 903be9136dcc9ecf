// A transformer from a checkpoint: any of the architectures in architectures.h, on a chosen
// backend.
#ifndef HEED_MODEL_TRANSFORMER_TRANSFORMER_H_
#define HEED_MODEL_TRANSFORMER_TRANSFORMER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"

namespace heed {

// As LoadLanguageModel, for the architectures in architectures.h.
absl::StatusOr<std::unique_ptr<const LanguageModel>> LoadTransformer(
    const Checkpoint& checkpoint, const Backend* backend, const LanguageModelOptions& options);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_TRANSFORMER_H_
