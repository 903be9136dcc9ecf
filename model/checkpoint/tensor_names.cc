#include "model/checkpoint/tensor_names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace heed {
namespace {

// What a family's tensors are called beside their parameters' own names.
struct NameRules {
  absl::string_view architecture;
  absl::string_view prefix;  // of the base model
  // How the names of buffers end that old writers saved like parameters.
  absl::string_view buffers[3] = {};
  bool has_wrapper = false;  // it is also found as the language model of a larger one
};

constexpr NameRules kRules[] = {
    {"gpt2", "transformer.", {".attn.bias", ".attn.masked_bias"}},
    {"gpt_neo", "transformer.", {".attn.attention.bias", ".attn.attention.masked_bias"}},
    {"gpt_neox",
     "gpt_neox.",
     {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"}},
    {"llama", "model.", {"rotary_emb.inv_freq"}},
    {"mistral", "model.", {"rotary_emb.inv_freq"}},
    {"qwen2", "model.", {"rotary_emb.inv_freq"}},
    {"qwen3", "model.", {"rotary_emb.inv_freq"}},
    {"gemma", "model.", {"rotary_emb.inv_freq"}},
    {"gemma2", "model.", {"rotary_emb.inv_freq"}},
    {"gemma3_text", "model.", {"rotary_emb.inv_freq"}, true},
    {"smollm3", "model.", {"rotary_emb.inv_freq"}},
    {"phi", "model.", {"rotary_emb.inv_freq"}},
    {"phi3", "model.", {"rotary_emb.inv_freq"}},
    {"starcoder2", "model.", {"rotary_emb.inv_freq"}},
    {"stablelm", "model.", {"rotary_emb.inv_freq"}},
    {"opt", "model."},
    {"bloom", "transformer."},
    {"mpt", "transformer."},
    {"bert", "bert.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"roberta", "roberta.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"xlm-roberta", "roberta.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"camembert", "roberta.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"distilbert", "distilbert.", {"embeddings.position_ids"}},
    {"albert", "albert.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"electra", "electra.", {"embeddings.position_ids", "embeddings.token_type_ids"}},
    {"modernbert", "model."},
};

const NameRules* FindRules(absl::string_view architecture) {
  for (const NameRules& rules : kRules) {
    if (rules.architecture == architecture) return &rules;
  }
  return nullptr;
}

// Of a language model inside a larger one, whose other parts keep their names.
constexpr absl::string_view kInnerPrefixes[] = {"language_model.model.", "model.language_model.",
                                                "language_model."};

absl::string_view StripPrefixes(const NameRules& rules, absl::string_view name) {
  if (rules.has_wrapper) {
    for (const absl::string_view prefix : kInnerPrefixes) {
      if (absl::ConsumePrefix(&name, prefix)) return name;
    }
  }
  return absl::StripPrefix(name, rules.prefix);
}

bool IsBuffer(const NameRules& rules, absl::string_view name) {
  for (const absl::string_view end : rules.buffers) {
    if (!end.empty() && absl::EndsWith(name, end)) return true;
  }
  return false;
}

}  // namespace

absl::string_view BaseModelPrefix(absl::string_view architecture) {
  const NameRules* rules = FindRules(architecture);
  return rules != nullptr ? rules->prefix : "";
}

std::optional<std::string> CanonicalTensorName(absl::string_view architecture,
                                               absl::string_view name) {
  if (const NameRules* rules = FindRules(architecture)) {
    name = StripPrefixes(*rules, name);
    if (IsBuffer(*rules, name)) return std::nullopt;
  }
  if (absl::EndsWith(name, "LayerNorm.gamma")) {
    return absl::StrCat(absl::StripSuffix(name, "gamma"), "weight");
  }
  if (absl::EndsWith(name, "LayerNorm.beta")) {
    return absl::StrCat(absl::StripSuffix(name, "beta"), "bias");
  }
  return std::string(name);
}

}  // namespace heed
