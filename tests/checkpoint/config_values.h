// Configurations of small models for tests, with any key changed.
#ifndef HEED_TESTS_CHECKPOINT_CONFIG_VALUES_H_
#define HEED_TESTS_CHECKPOINT_CONFIG_VALUES_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/checkpoint/hf_config.h"

namespace heed {

using Values = std::map<std::string, std::string>;  // JSON by key; an empty string removes the key

inline std::string ToJson(const Values& values) {
  std::string text = "{";
  for (const auto& [key, value] : values) {
    if (value.empty()) continue;
    absl::StrAppend(&text, text.size() == 1 ? "" : ", ", "\"", key, "\": ", value);
  }
  return text + "}";
}

inline Values BaseOf(absl::string_view model_type) {
  if (model_type == "gpt2") {
    return {{"model_type", "\"gpt2\""}, {"n_layer", "3"},      {"n_head", "4"}, {"n_embd", "32"},
            {"vocab_size", "300"},      {"n_positions", "64"}, {"n_ctx", "64"}};
  }
  if (model_type == "llama") {
    return {{"model_type", "\"llama\""},  {"num_hidden_layers", "3"},
            {"num_attention_heads", "4"}, {"num_key_value_heads", "2"},
            {"hidden_size", "32"},        {"intermediate_size", "72"},
            {"vocab_size", "300"},        {"max_position_embeddings", "128"}};
  }
  if (model_type == "heed_mixing") {
    return {{"model_type", "\"heed_mixing\""},
            {"mixing", "\"attention\""},
            {"position_encoding", "\"none\""},
            {"hidden_size", "32"},
            {"vocab_size", "300"},
            {"max_position_embeddings", "64"}};
  }
  // The usual names of sizes do for all other families.
  return {{"model_type", absl::StrCat("\"", model_type, "\"")},
          {"num_hidden_layers", "3"},
          {"num_attention_heads", "4"},
          {"num_key_value_heads", "4"},
          {"hidden_size", "32"},
          {"intermediate_size", "64"},
          {"vocab_size", "300"},
          {"max_position_embeddings", "64"}};
}

inline absl::StatusOr<ModelConfig> Read(absl::string_view text, absl::string_view generation = "") {
  const auto config = JsonDocument::Parse("config.json", text);
  if (!config.ok()) return config.status();
  if (generation.empty()) return ReadHuggingFaceConfig(config->root(), std::nullopt);
  const auto generation_config = JsonDocument::Parse("generation_config.json", generation);
  if (!generation_config.ok()) return generation_config.status();
  return ReadHuggingFaceConfig(config->root(), generation_config->root());
}

inline absl::StatusOr<ModelConfig> ReadWith(absl::string_view model_type, const Values& changes,
                                            absl::string_view generation = "") {
  Values values = BaseOf(model_type);
  for (const auto& [key, value] : changes) values[key] = value;
  return Read(ToJson(values), generation);
}

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_CONFIG_VALUES_H_
