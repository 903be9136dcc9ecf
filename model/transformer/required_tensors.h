// Which tensors a model is made of, known from its facts alone.
#ifndef HEED_MODEL_TRANSFORMER_REQUIRED_TENSORS_H_
#define HEED_MODEL_TRANSFORMER_REQUIRED_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/base/layer_kinds.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// What a tensor is in the model, which decides how its values may be held (WeightFormat).
enum class TensorUse { kVector, kTable, kLinear, kEmbedding };

struct RequiredTensor {
  std::string name;            // as Checkpoint names it
  std::vector<int64_t> shape;  // outermost first, as it is stored
  TensorUse use = TensorUse::kVector;
};

// The tensors that LoadLanguageModel reads from a checkpoint of this configuration, each once and
// in its order. UNIMPLEMENTED for an architecture that it does not know either.
absl::StatusOr<std::vector<RequiredTensor>> RequiredTensors(const ModelConfig& config);

// What is wrong with the checkpoint's tensors, one status for each that is missing or has another
// shape or type than the model needs. LoadLanguageModel would fail with the first; where there is
// none, it could still meet a value that is not finite. Reads no values.
std::vector<absl::Status> CheckTensors(const Checkpoint& checkpoint);

// Bytes that LoadLanguageModel's weights take in this format, but for what the library that packs
// f32 adds, and unless some need more bits than the format has.
int64_t EstimateWeightBytes(const Checkpoint& checkpoint, WeightFormat format);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_REQUIRED_TENSORS_H_
