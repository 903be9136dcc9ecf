#include "model/tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/aligned_text.h"

namespace heed {
namespace {

constexpr double kUnknownPenalty = 10.0;
// Every place of a text is tried with pieces up to the longest.
constexpr size_t kMaxPieceBytes = 1024;

}  // namespace

// Viterbi's algorithm over the bytes of a piece.
class UnigramWorker : public ModelWorker {
 public:
  explicit UnigramWorker(const UnigramModel& model) : model_(model) {}

  absl::Status Tokenize(absl::string_view piece, std::vector<ModelToken>* tokens) override {
    tokens->clear();
    best_.assign(piece.size() + 1, Best{});
    for (size_t at = 0; at < piece.size();) {
      const size_t char_bytes = static_cast<size_t>(DecodeValidUtf8(piece.substr(at)).length);
      HEED_RETURN_IF_ERROR(Extend(piece, at, char_bytes));
      at += char_bytes;
    }
    TraceBack(piece.size());
    for (size_t i = path_.size(); i > 0; --i) {
      HEED_RETURN_IF_ERROR(Emit(piece, path_[i - 1], tokens));
    }
    return absl::OkStatus();
  }

 private:
  // The best way to spell the text up to a byte.
  struct Best {
    double score = 0;
    int32_t begin = -1;  // of the last token; -1: no way is known
    TokenId id = kNoToken;
  };

  void Offer(size_t begin, size_t end, double score, TokenId id) {
    Best& best = best_[end];
    if (best.begin >= 0 && !(score > best.score)) return;
    best = {score, static_cast<int32_t>(begin), id};
  }

  // Tries every piece that begins at `at`, and the unknown token where none is the character alone.
  absl::Status Extend(absl::string_view piece, size_t at, size_t char_bytes) {
    const double score = best_[at].score;
    bool has_single = false;
    PieceTrie::Walk walk(model_.trie_);
    for (size_t i = at; i < piece.size() && walk.Step(static_cast<unsigned char>(piece[i])); ++i) {
      const TokenId id = walk.value();
      if (id == PieceTrie::kNone) continue;
      Offer(at, i + 1, model_.scores_[id] + score, id);
      has_single = has_single || i + 1 == at + char_bytes;
    }
    if (has_single) return absl::OkStatus();
    const double unk_score = model_.unk_score_ + score;
    const Best& target = best_[at + char_bytes];
    if (target.begin >= 0 && !(unk_score > target.score)) return absl::OkStatus();
    if (!model_.options_.unk_id.has_value()) {
      return absl::InvalidArgumentError(
          "the text has a character outside the vocabulary, and the tokenizer has no unk_id");
    }
    Offer(at, at + char_bytes, unk_score, *model_.options_.unk_id);
    return absl::OkStatus();
  }

  // The tokens of the best path in path_, from the last to the first; unknown neighbours are one.
  void TraceBack(size_t size) {
    path_.clear();
    for (size_t end = size; end > 0;) {
      const Best& best = best_[end];
      const uint32_t begin = static_cast<uint32_t>(best.begin);
      const bool unknown = best.id == model_.options_.unk_id;
      if (unknown && !path_.empty() && path_.back().id == best.id) {
        path_.back().begin = begin;
      } else {
        path_.push_back({best.id, begin, static_cast<uint32_t>(end)});
      }
      end = begin;
    }
  }

  absl::Status Emit(absl::string_view piece, ModelToken token, std::vector<ModelToken>* tokens) {
    if (token.id == model_.options_.unk_id) {
      const absl::string_view text = piece.substr(token.begin, token.end - token.begin);
      const std::optional<TokenId> known = model_.pieces_.Find(text);
      if (known.has_value() && model_.IsMatched(*known)) {
        token.id = *known;
      } else if (model_.options_.byte_fallback && EmitBytes(text, token, tokens)) {
        return absl::OkStatus();
      }
    }
    tokens->push_back(token);
    return absl::OkStatus();
  }

  bool EmitBytes(absl::string_view text, const ModelToken& token, std::vector<ModelToken>* tokens) {
    for (const char c : text) {
      if (model_.byte_ids_[static_cast<unsigned char>(c)] == kNoToken) return false;
    }
    for (const char c : text) {
      tokens->push_back({model_.byte_ids_[static_cast<unsigned char>(c)], token.begin, token.end});
    }
    return true;
  }

  const UnigramModel& model_;
  std::vector<Best> best_;  // by byte
  std::vector<ModelToken> path_;
};

std::unique_ptr<ModelWorker> UnigramModel::NewWorker() const {
  return std::make_unique<UnigramWorker>(*this);
}

absl::StatusOr<std::unique_ptr<UnigramModel>> UnigramModel::Create(PieceTable pieces,
                                                                   std::vector<double> scores,
                                                                   UnigramOptions options) {
  if (pieces.longest() > kMaxPieceBytes) {
    return absl::InvalidArgumentError(absl::StrCat("has a piece of ", pieces.longest(),
                                                   " bytes; expected at most ", kMaxPieceBytes));
  }
  if (options.unk_id.has_value() && !pieces.Contains(*options.unk_id)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has the unk_id ", *options.unk_id, ", which is none of its ", pieces.count(), " pieces"));
  }
  auto model = std::unique_ptr<UnigramModel>(new UnigramModel());
  double min_score = std::numeric_limits<double>::infinity();
  std::vector<PieceTrie::Entry> entries;
  for (TokenId id = 0; id < pieces.size(); ++id) {
    if (!options.matched.empty() && !options.matched[id]) continue;  // as IsMatched
    min_score = std::min(min_score, scores[id]);
    entries.push_back({pieces.Piece(id), id});
  }
  model->trie_ = PieceTrie(std::move(entries));
  model->unk_score_ = min_score - kUnknownPenalty;
  model->byte_ids_ = FindBytePieces(pieces);
  model->pieces_ = std::move(pieces);
  model->scores_ = std::move(scores);
  model->options_ = std::move(options);
  return model;
}

absl::StatusOr<std::unique_ptr<UnigramModel>> UnigramModel::Parse(const JsonValue& json) {
  std::vector<std::string> pieces;
  std::vector<double> scores;
  HEED_ASSIGN_OR_RETURN(const JsonValue vocab, json.Get("vocab"));
  HEED_RETURN_IF_ERROR(vocab.ForEachElement([&](int64_t, const JsonValue& entry) -> absl::Status {
    HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> parts, entry.Array());
    if (parts.size() != 2) return entry.Unexpected("a piece and its score");
    HEED_ASSIGN_OR_RETURN(const absl::string_view piece, parts[0].String());
    HEED_ASSIGN_OR_RETURN(scores.emplace_back(), parts[1].Double());
    pieces.emplace_back(piece);
    return absl::OkStatus();
  }));
  UnigramOptions options;
  const std::optional<JsonValue> unk_id = json.Find("unk_id");
  if (unk_id.has_value() && !unk_id->IsNull()) {
    HEED_ASSIGN_OR_RETURN(options.unk_id, unk_id->Int(0, static_cast<int64_t>(pieces.size()) - 1));
  }
  HEED_ASSIGN_OR_RETURN(options.byte_fallback, json.BoolOr("byte_fallback", false));
  absl::StatusOr<PieceTable> table = PieceTable::FromList(std::move(pieces));
  if (!table.ok()) return vocab.Error(table.status().message());
  absl::StatusOr<std::unique_ptr<UnigramModel>> model =
      Create(*std::move(table), std::move(scores), std::move(options));
  if (!model.ok()) return vocab.Error(model.status().message());
  return model;
}

}  // namespace heed
