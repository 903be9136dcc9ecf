#include "model/checkpoint/tensor_names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace heed {
namespace {

bool IsBuffer(absl::string_view architecture, absl::string_view name) {
  if (architecture == "gpt2") {
    return absl::EndsWith(name, ".attn.bias") || absl::EndsWith(name, ".attn.masked_bias");
  }
  if (architecture == "llama") return absl::EndsWith(name, "rotary_emb.inv_freq");
  if (architecture != "bert") return false;
  return name == "embeddings.position_ids" || name == "embeddings.token_type_ids";
}

}  // namespace

absl::string_view BaseModelPrefix(absl::string_view architecture) {
  if (architecture == "gpt2") return "transformer.";
  if (architecture == "llama") return "model.";
  if (architecture == "bert") return "bert.";
  return "";
}

std::optional<std::string> CanonicalTensorName(absl::string_view architecture,
                                               absl::string_view name) {
  name = absl::StripPrefix(name, BaseModelPrefix(architecture));
  if (IsBuffer(architecture, name)) return std::nullopt;
  if (absl::EndsWith(name, "LayerNorm.gamma")) {
    return absl::StrCat(absl::StripSuffix(name, "gamma"), "weight");
  }
  if (absl::EndsWith(name, "LayerNorm.beta")) {
    return absl::StrCat(absl::StripSuffix(name, "beta"), "bias");
  }
  return std::string(name);
}

}  // namespace heed
