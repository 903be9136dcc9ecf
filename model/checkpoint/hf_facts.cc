#include "model/checkpoint/hf_facts.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

struct NamedActivation {
  absl::string_view name;
  Activation activation;
};

constexpr NamedActivation kActivations[] = {
    {"gelu", Activation::kGeluErf},
    {"gelu_python", Activation::kGeluErf},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"relu", Activation::kRelu},
};

constexpr absl::string_view kFull = "full_attention", kSliding = "sliding_attention";

// One flag for each layer, as the list says.
absl::StatusOr<std::vector<bool>> ReadLayerTypes(const JsonValue& list, int n_layers) {
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> types, list.Array());
  if (static_cast<int>(types.size()) != n_layers) {
    return CheckpointInvalid(absl::StrCat(list.Where(), " has ", types.size(),
                                          " entries; it must have one for each of the ", n_layers,
                                          " layers"));
  }
  std::vector<bool> windowed;
  for (const JsonValue& type : types) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view name, type.String());
    if (name != kFull && name != kSliding) {
      return UnsupportedValue(type, QuotedList({kFull, kSliding}));
    }
    windowed.push_back(name == kSliding);
  }
  return windowed;
}

}  // namespace

std::string QuotedList(absl::Span<const absl::string_view> names) {
  return absl::StrJoin(names, ", ", [](std::string* out, absl::string_view name) {
    absl::StrAppend(out, "\"", name, "\"");
  });
}

absl::StatusOr<Activation> ReadActivation(const ConfigReader& config, ConfigReader::Keys keys,
                                          absl::string_view fallback) {
  HEED_ASSIGN_OR_RETURN(const std::string name, config.String(keys, fallback));
  std::vector<absl::string_view> known;
  for (const NamedActivation& row : kActivations) {
    if (row.name == name) return row.activation;
    known.push_back(row.name);
  }
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, config.Find(keys));
  return UnsupportedValue(*value, QuotedList(known));
}

absl::Status RequireFlag(const ConfigReader& config, absl::string_view key, bool expected) {
  HEED_ASSIGN_OR_RETURN(const bool is_set, config.Bool(key, expected));
  if (is_set == expected) return absl::OkStatus();
  return UnsupportedValue(*config.object().Find(key), expected ? "true" : "false");
}

absl::Status ReadCommonSizes(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(model.n_layers,
                        config.Int({"num_hidden_layers", "n_layer", "n_layers", "num_layers"},
                                   model.n_layers, kLayersRange));
  HEED_ASSIGN_OR_RETURN(model.n_heads,
                        config.Int({"num_attention_heads", "n_head", "n_heads", "num_heads"},
                                   model.n_heads, kHeadsRange));
  HEED_ASSIGN_OR_RETURN(
      model.width,
      config.Int({"hidden_size", "n_embd", "n_embed", "d_model", "dim"}, model.width, kWidthRange));
  HEED_ASSIGN_OR_RETURN(model.vocab_size,
                        config.Int({"vocab_size"}, model.vocab_size, kVocabRange));
  // n_ctx stands beside n_positions in GPT-2 configurations, where transformers does not look at
  // it.
  HEED_ASSIGN_OR_RETURN(const int64_t context,
                        config.Int({"n_ctx"}, model.context_window, kContextRange));
  HEED_ASSIGN_OR_RETURN(model.context_window, config.Int({"max_position_embeddings", "n_positions"},
                                                         context, kContextRange));
  model.n_kv_heads = model.n_heads;
  return absl::OkStatus();
}

absl::Status ReadKeyValueHeads(const ConfigReader& config, std::optional<int> fallback,
                               ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> heads,
                        config.OptionalInt({"num_key_value_heads"}, kHeadsRange));
  if (heads) {
    model.n_kv_heads = static_cast<int>(*heads);
  } else if (!config.object().Find("num_key_value_heads")) {
    model.n_kv_heads = fallback.value_or(model.n_heads);
  }
  return absl::OkStatus();
}

absl::Status DivideWidthByHeads(const ConfigReader& config, ModelConfig& model) {
  if (model.width % model.n_heads != 0) {
    return CheckpointInvalid(absl::StrCat(config.object().Where(), ": the hidden size is ",
                                          model.width, ", which the ", model.n_heads,
                                          " attention heads do not divide"));
  }
  model.head_dim = static_cast<int>(model.width / model.n_heads);
  return absl::OkStatus();
}

double UsualScale(const ModelConfig& model) {
  return 1 / std::sqrt(static_cast<double>(model.head_dim));
}

absl::Status ReadWindowedLayers(const ConfigReader& config, std::optional<int64_t> window,
                                absl::FunctionRef<bool(int layer)> by_default, ModelConfig& model) {
  std::vector<bool> windowed;
  if (const auto list = config.FindNonNull("layer_types")) {
    HEED_ASSIGN_OR_RETURN(windowed, ReadLayerTypes(*list, model.n_layers));
  } else {
    for (int layer = 0; layer < model.n_layers; ++layer) windowed.push_back(by_default(layer));
  }
  if (std::find(windowed.begin(), windowed.end(), true) == windowed.end()) return absl::OkStatus();
  if (!window) {
    return CheckpointInvalid(absl::StrCat(config.object().Where(),
                                          ": some layers have sliding attention, but there is no "
                                          "sliding_window; it must be a positive integer"));
  }
  model.window = *window;
  model.windowed = std::move(windowed);
  return absl::OkStatus();
}

}  // namespace heed
