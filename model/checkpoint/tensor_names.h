// One name for each tensor, whoever wrote the checkpoint.
#ifndef HEED_MODEL_CHECKPOINT_TENSOR_NAMES_H_
#define HEED_MODEL_CHECKPOINT_TENSOR_NAMES_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace heed {

// Prefix that the base model's tensors have when a head is stored beside them, for example
// "transformer." for "gpt2"; empty for families without one.
absl::string_view BaseModelPrefix(absl::string_view architecture);

// `name` less the base-model prefix (once; of Gemma 3 also less the prefixes that its text part has
// beside a vision tower), with LayerNorm.gamma and LayerNorm.beta, which old
// TensorFlow ports wrote, read as weight and bias. Absent for buffers that are no parameters:
// causal masks, rotary frequencies, position ids.
std::optional<std::string> CanonicalTensorName(absl::string_view architecture,
                                               absl::string_view name);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_TENSOR_NAMES_H_
