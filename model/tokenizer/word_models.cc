#include "model/tokenizer/word_models.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

// One token for the whole of a piece.
absl::Status TokenizeAsUnknown(std::optional<TokenId> unk_id, absl::string_view unk_token,
                               absl::string_view piece, TokenSink sink) {
  if (!unk_id.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has a word outside the vocabulary, and so is the unk_token ",
                     Quoted(unk_token), " of the tokenizer"));
  }
  sink({*unk_id, 0, static_cast<uint32_t>(piece.size())});
  return absl::OkStatus();
}

// Whether `text`, valid UTF-8, has more than `limit` characters.
bool HasMoreCharsThan(absl::string_view text, int64_t limit) {
  if (static_cast<int64_t>(text.size()) <= limit) return false;
  int64_t count = 0;
  for (const char c : text) {
    count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (count > limit) return true;
  }
  return false;
}

PieceTrie TrieOf(const PieceTable& pieces, absl::string_view prefix) {
  std::vector<PieceTrie::Entry> entries;
  for (TokenId id = 0; id < pieces.size(); ++id) {
    if (!pieces.Contains(id) || !absl::StartsWith(pieces.Piece(id), prefix)) continue;
    entries.push_back({pieces.Piece(id).substr(prefix.size()), id});
  }
  return PieceTrie(std::move(entries));
}

}  // namespace

class WordPieceWorker : public ModelWorker {
 public:
  explicit WordPieceWorker(const WordPieceModel& model) : model_(model) {}

  absl::Status Tokenize(absl::string_view piece, TokenSink sink) override {
    if (HasMoreCharsThan(piece, model_.options_.max_input_chars_per_word)) {
      return Unknown(piece, sink);
    }
    tokens_.clear();
    for (size_t at = 0; at < piece.size();) {
      const PieceTrie& trie = at == 0 ? model_.first_ : model_.continuing_;
      const PieceTrie::Match match = trie.Longest(piece.substr(at));
      if (match.length == 0) return Unknown(piece, sink);
      const uint32_t begin = static_cast<uint32_t>(at);
      at += match.length;
      tokens_.push_back({match.value, begin, static_cast<uint32_t>(at)});
    }
    for (const ModelToken& token : tokens_) sink(token);
    return absl::OkStatus();
  }

 private:
  absl::Status Unknown(absl::string_view piece, TokenSink sink) const {
    return TokenizeAsUnknown(model_.unk_id_, model_.options_.unk_token, piece, sink);
  }

  const WordPieceModel& model_;
  std::vector<ModelToken> tokens_;  // a word that cannot be spelled to its end has none of them
};

WordPieceModel::WordPieceModel(PieceTable pieces, WordPieceOptions options)
    : pieces_(std::move(pieces)), options_(std::move(options)) {
  first_ = TrieOf(pieces_, "");
  continuing_ = TrieOf(pieces_, options_.continuing_subword_prefix);
  unk_id_ = pieces_.Find(options_.unk_token);
}

absl::StatusOr<std::unique_ptr<WordPieceModel>> WordPieceModel::Parse(const JsonValue& json) {
  constexpr int64_t kMaxChars = std::numeric_limits<int32_t>::max();
  WordPieceOptions options;
  HEED_ASSIGN_OR_RETURN(options.unk_token, json.StringOr("unk_token", options.unk_token));
  HEED_ASSIGN_OR_RETURN(
      options.continuing_subword_prefix,
      json.StringOr("continuing_subword_prefix", options.continuing_subword_prefix));
  if (const std::optional<JsonValue> max = json.Find("max_input_chars_per_word")) {
    HEED_ASSIGN_OR_RETURN(options.max_input_chars_per_word, max->Int(0, kMaxChars));
  }
  HEED_ASSIGN_OR_RETURN(const JsonValue vocab, json.Get("vocab"));
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, PieceTable::Parse(vocab));
  return std::make_unique<WordPieceModel>(std::move(pieces), std::move(options));
}

std::unique_ptr<ModelWorker> WordPieceModel::NewWorker() const {
  return std::make_unique<WordPieceWorker>(*this);
}

class WordLevelWorker : public ModelWorker {
 public:
  explicit WordLevelWorker(const WordLevelModel& model) : model_(model) {}

  absl::Status Tokenize(absl::string_view piece, TokenSink sink) override {
    const std::optional<TokenId> id = model_.pieces_.Find(piece);
    if (!id.has_value()) {
      return TokenizeAsUnknown(model_.unk_id_, model_.unk_token_, piece, sink);
    }
    sink({*id, 0, static_cast<uint32_t>(piece.size())});
    return absl::OkStatus();
  }

 private:
  const WordLevelModel& model_;
};

WordLevelModel::WordLevelModel(PieceTable pieces, std::string unk_token)
    : pieces_(std::move(pieces)), unk_token_(std::move(unk_token)) {
  unk_id_ = pieces_.Find(unk_token_);
}

absl::StatusOr<std::unique_ptr<WordLevelModel>> WordLevelModel::Parse(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(std::string unk_token, json.StringOr("unk_token", "<unk>"));
  HEED_ASSIGN_OR_RETURN(const JsonValue vocab, json.Get("vocab"));
  HEED_ASSIGN_OR_RETURN(PieceTable pieces, PieceTable::Parse(vocab));
  return std::make_unique<WordLevelModel>(std::move(pieces), std::move(unk_token));
}

std::unique_ptr<ModelWorker> WordLevelModel::NewWorker() const {
  return std::make_unique<WordLevelWorker>(*this);
}

}  // namespace heed
