// Tokenizers from other sources than tokenizer.json: a model, and around it the same parts, written
// as that file writes them.
#ifndef HEED_MODEL_TOKENIZER_TOKENIZER_BUILDER_H_
#define HEED_MODEL_TOKENIZER_TOKENIZER_BUILDER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/token_model.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// `json` is a tokenizer.json without its model; `source` names it in messages. Errors as
// ParseTokenizerJson.
absl::StatusOr<std::unique_ptr<Tokenizer>> BuildTokenizer(absl::string_view source,
                                                          absl::string_view json,
                                                          std::unique_ptr<TokenModel> model);

// One element of "added_tokens"; not normalized.
struct AddedTokenText {
  TokenId id = 0;
  std::string content;
  bool special = false;
  bool lstrip = false;
};

// The parts of a tokenizer.json as JSON texts. Contents must be valid UTF-8.
struct TokenizerText {
  std::vector<AddedTokenText> added_tokens;
  std::vector<std::string> normalizers;
  std::vector<std::string> pre_tokenizers;
  std::vector<std::string> decoders;
  std::vector<TokenId> before;  // special tokens around the text
  std::vector<TokenId> after;

  std::string Json() const;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_TOKENIZER_BUILDER_H_
