// Reading the facts that several families' config.json files state alike.
#ifndef HEED_MODEL_CHECKPOINT_HF_FACTS_H_
#define HEED_MODEL_CHECKPOINT_HF_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/layer_kinds.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/model_config.h"

namespace heed {

inline constexpr DoubleRange kEpsRange{1e-30, 1};

// "a", "b" and so on.
std::string QuotedList(absl::Span<const absl::string_view> names);

// Several names are ways to compute the same function.
absl::StatusOr<Activation> ReadActivation(const ConfigReader& config, ConfigReader::Keys keys,
                                          absl::string_view fallback);

// Refuses a flag that is not `expected`, because the other value would change the mathematics.
absl::Status RequireFlag(const ConfigReader& config, absl::string_view key, bool expected);

// Layers, heads, width, vocabulary and context window, under any of their names. The fallbacks are
// in `model` already. As many key heads as heads.
absl::Status ReadCommonSizes(const ConfigReader& config, ModelConfig& model);

// num_key_value_heads; null: as many as heads.
absl::Status ReadKeyValueHeads(const ConfigReader& config, std::optional<int> fallback,
                               ModelConfig& model);

// Sets head_dim from width and heads.
absl::Status DivideWidthByHeads(const ConfigReader& config, ModelConfig& model);

// 1 / sqrt(head_dim).
double UsualScale(const ModelConfig& model);

// Which layers are windowed: as layer_types says where it is there, else those for which
// `by_default` holds. There must be a window if there are such layers.
absl::Status ReadWindowedLayers(const ConfigReader& config, std::optional<int64_t> window,
                                absl::FunctionRef<bool(int layer)> by_default, ModelConfig& model);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_HF_FACTS_H_
