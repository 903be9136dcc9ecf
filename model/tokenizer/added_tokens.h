// Tokens that are found in the text before the model sees it: control tokens and whatever was added
// after training.
#ifndef HEED_MODEL_TOKENIZER_ADDED_TOKENS_H_
#define HEED_MODEL_TOKENIZER_ADDED_TOKENS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/piece_table.h"
#include "model/tokenizer/token_matcher.h"

namespace heed {

struct AddedToken {
  std::string content;             // as written in the file
  std::string normalized_content;  // what is looked for: after the normalizer where `normalized`,
                                   // else as content
  TokenId id = 0;
  bool single_word = false;  // only where no word character is beside it
  bool lstrip = false;       // takes the whitespace before it along
  bool rstrip = false;       // and the whitespace after it
  bool normalized = false;   // found in the normalized text, else in the text as given
  bool special = false;      // a control token
};

// Immutable once parsed.
class AddedTokens {
 public:
  // The array "added_tokens". As in the reference, an id in the file is only advice: a token that
  // is in the model's vocabulary keeps that id, any other gets the next free one. INVALID_ARGUMENT
  // for wrong fields, a repeated content or id, and a next free id that is taken because the
  // vocabulary has holes.
  static absl::StatusOr<AddedTokens> Parse(const JsonValue& json, const PieceTable& pieces,
                                           const Normalizers& normalizers);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  std::optional<TokenId> Find(absl::string_view content) const;

  // Cuts the tokens with normalized == `normalized` out of the pieces: the longest of those that
  // begin first, then on from its end. Special tokens are left as text unless `parse_special`.
  void Extract(bool normalized, bool parse_special, PieceList* list) const;

 private:
  absl::Status Add(const JsonValue& json, const PieceTable& pieces, const Normalizers& normalizers,
                   TokenId* next_id);
  void ExtractFrom(const TokenMatcher& matcher, bool parse_special, absl::string_view text,
                   uint32_t base, std::vector<Piece>* pieces) const;

  std::vector<AddedToken> tokens_;
  absl::flat_hash_map<std::string, TokenId> ids_;  // by content
  TokenMatcher raw_matcher_;                       // numbers are indices into tokens_
  TokenMatcher normalized_matcher_;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_ADDED_TOKENS_H_
