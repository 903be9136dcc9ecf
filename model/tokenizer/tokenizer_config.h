// What tokenizer_config.json adds to the other files of a tokenizer.
#ifndef HEED_MODEL_TOKENIZER_TOKENIZER_CONFIG_H_
#define HEED_MODEL_TOKENIZER_TOKENIZER_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/tokenizer/piece_table.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_builder.h"

namespace heed {

struct NamedToken {
  std::string key;  // "mask_token"
  std::string content;
  bool lstrip = false;
};

// What tokenizer_config.json says that changes ids.
struct TokenizerConfig {
  std::string tokenizer_class;
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> do_lower_case;
  std::optional<bool> keep_accents;
  std::optional<bool> strip_accents;
  std::optional<bool> tokenize_chinese_chars;
  std::vector<AddedTokenText> added_tokens;  // with their ids
  std::vector<NamedToken> named;
};

// INVALID_ARGUMENT for text that is no such file; what it does not say stays empty.
absl::StatusOr<TokenizerConfig> ParseTokenizerConfig(absl::string_view text);

// The content of the token with a key such as "mask_token".
std::optional<std::string> NameOf(const TokenizerConfig& config, absl::string_view key);

// The id of a piece as a list, which is empty where there is none.
std::vector<TokenId> IdsOf(const PieceTable& pieces, const std::optional<std::string>& content);

// Adds the tokens that the configuration adds and names to those of `text`, in the order of their
// ids. Of tokens with the same content or id the configuration's counts.
void MergeAddedTokens(const TokenizerConfig& config, const PieceTable& pieces, TokenizerText* text);

// Tokens that a class has unless the configuration names others.
void AddDefaults(absl::Span<const NamedToken> defaults, TokenizerConfig* config);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKENIZER_CONFIG_H_
