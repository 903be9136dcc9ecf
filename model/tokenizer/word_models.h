// The two models that look at whole words: WordPiece, which spells a word with the longest pieces
// from the left, and WordLevel, which knows a word or does not.
#ifndef HEED_MODEL_TOKENIZER_WORD_MODELS_H_
#define HEED_MODEL_TOKENIZER_WORD_MODELS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "model/tokenizer/piece_trie.h"
#include "model/tokenizer/token_model.h"

namespace heed {

struct WordPieceOptions {
  std::string unk_token = "[UNK]";               // stands for a word that cannot be spelled
  std::string continuing_subword_prefix = "##";  // of pieces that are not a word's first
  int64_t max_input_chars_per_word = 100;        // longer words are not tried
};

class WordPieceModel : public TokenModel {
 public:
  WordPieceModel(PieceTable pieces, WordPieceOptions options);
  // The "model" object of a tokenizer.json.
  static absl::StatusOr<std::unique_ptr<WordPieceModel>> Parse(const JsonValue& json);

  const PieceTable& pieces() const override { return pieces_; }
  std::unique_ptr<ModelWorker> NewWorker() const override;
  absl::string_view name() const override { return "WordPiece"; }

 private:
  friend class WordPieceWorker;

  PieceTable pieces_;
  WordPieceOptions options_;
  PieceTrie first_;       // all pieces, at the beginning of a word
  PieceTrie continuing_;  // those with the prefix, without it
  std::optional<TokenId> unk_id_;
};

class WordLevelModel : public TokenModel {
 public:
  WordLevelModel(PieceTable pieces, std::string unk_token);
  // The "model" object of a tokenizer.json.
  static absl::StatusOr<std::unique_ptr<WordLevelModel>> Parse(const JsonValue& json);

  const PieceTable& pieces() const override { return pieces_; }
  std::unique_ptr<ModelWorker> NewWorker() const override;
  absl::string_view name() const override { return "WordLevel"; }

 private:
  friend class WordLevelWorker;

  PieceTable pieces_;
  std::string unk_token_;
  std::optional<TokenId> unk_id_;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_WORD_MODELS_H_
