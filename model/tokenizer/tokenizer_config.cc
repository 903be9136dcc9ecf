#include "model/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

absl::Status ReadFlag(const JsonValue& json, absl::string_view key, std::optional<bool>* flag) {
  const std::optional<JsonValue> value = json.Find(key);
  if (!value.has_value() || value->IsNull()) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(*flag, value->Bool());
  return absl::OkStatus();
}

// {"7": {"content": "<a>", "special": true, ...}, ...}
absl::Status ReadAddedTokens(const JsonValue& json, std::vector<AddedTokenText>* tokens) {
  return json.ForEachMember([&](absl::string_view key, const JsonValue& value) -> absl::Status {
    AddedTokenText token;
    if (!absl::SimpleAtoi(key, &token.id) || token.id < 0) {
      return value.Error("has a key that is no id");
    }
    HEED_ASSIGN_OR_RETURN(const absl::string_view content, value.StringAt("content"));
    token.content = std::string(content);
    HEED_ASSIGN_OR_RETURN(token.special, value.BoolOr("special", false));
    HEED_ASSIGN_OR_RETURN(token.lstrip, value.BoolOr("lstrip", false));
    tokens->push_back(std::move(token));
    return absl::OkStatus();
  });
}

// A special token is a string or an object with its content.
absl::Status ReadNamed(const JsonValue& json, TokenizerConfig* config) {
  for (const char* const key : {"bos_token", "eos_token", "unk_token", "sep_token", "cls_token",
                                "pad_token", "mask_token"}) {
    const std::optional<JsonValue> value = json.Find(key);
    if (!value.has_value() || value->IsNull()) continue;
    NamedToken token = {key, "", false};
    if (value->IsObject()) {
      HEED_ASSIGN_OR_RETURN(const absl::string_view content, value->StringAt("content"));
      token.content = std::string(content);
      HEED_ASSIGN_OR_RETURN(token.lstrip, value->BoolOr("lstrip", false));
    } else {
      HEED_ASSIGN_OR_RETURN(const absl::string_view content, value->String());
      token.content = std::string(content);
    }
    config->named.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(absl::string_view text) {
  TokenizerConfig config;
  HEED_ASSIGN_OR_RETURN(const JsonDocument document,
                        JsonDocument::Parse("tokenizer_config.json", text));
  const JsonValue json = document.root();
  HEED_ASSIGN_OR_RETURN(config.tokenizer_class, json.StringOr("tokenizer_class", ""));
  if (absl::EndsWith(config.tokenizer_class, "Fast")) {
    config.tokenizer_class.resize(config.tokenizer_class.size() - 4);
  }
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_bos_token", &config.add_bos_token));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_eos_token", &config.add_eos_token));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "add_prefix_space", &config.add_prefix_space));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "do_lower_case", &config.do_lower_case));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "keep_accents", &config.keep_accents));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "strip_accents", &config.strip_accents));
  HEED_RETURN_IF_ERROR(ReadFlag(json, "tokenize_chinese_chars", &config.tokenize_chinese_chars));
  HEED_RETURN_IF_ERROR(ReadNamed(json, &config));
  const std::optional<JsonValue> added = json.Find("added_tokens_decoder");
  if (added.has_value()) HEED_RETURN_IF_ERROR(ReadAddedTokens(*added, &config.added_tokens));
  return config;
}

std::optional<std::string> NameOf(const TokenizerConfig& config, absl::string_view key) {
  for (const NamedToken& token : config.named) {
    if (token.key == key) return token.content;
  }
  return std::nullopt;
}

std::vector<TokenId> IdsOf(const PieceTable& pieces, const std::optional<std::string>& content) {
  if (!content.has_value()) return {};
  const std::optional<TokenId> id = pieces.Find(*content);
  return id.has_value() ? std::vector<TokenId>{*id} : std::vector<TokenId>();
}

void MergeAddedTokens(const TokenizerConfig& config, const PieceTable& pieces,
                      TokenizerText* text) {
  std::vector<AddedTokenText> tokens = config.added_tokens;
  absl::flat_hash_set<std::string> contents;
  absl::flat_hash_set<TokenId> ids;
  for (const AddedTokenText& token : tokens) {
    contents.insert(token.content);
    ids.insert(token.id);
  }
  const auto add = [&](const AddedTokenText& token) {
    if (contents.contains(token.content) || ids.contains(token.id)) return;
    contents.insert(token.content);
    ids.insert(token.id);
    tokens.push_back(token);
  };
  for (const NamedToken& token : config.named) {
    const std::optional<TokenId> id = pieces.Find(token.content);
    if (id.has_value()) add({*id, token.content, true, token.lstrip});
  }
  for (const AddedTokenText& token : text->added_tokens) add(token);
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const AddedTokenText& a, const AddedTokenText& b) { return a.id < b.id; });
  text->added_tokens = std::move(tokens);
}

void AddDefaults(absl::Span<const NamedToken> defaults, TokenizerConfig* config) {
  for (const NamedToken& token : defaults) {
    if (!NameOf(*config, token.key).has_value()) config->named.push_back(token);
  }
}

}  // namespace heed
