#include "model/tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <optional>
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
// What is settled is handed out in parts of about this size.
constexpr size_t kWindowBytes = 4096;

}  // namespace

// Viterbi's algorithm over the bytes of a piece. Where no other way leads past a place, what comes
// before it is settled and handed out, so that memory does not grow with the text.
class UnigramWorker : public ModelWorker {
 public:
  explicit UnigramWorker(const UnigramModel& model) : model_(model) {}

  absl::Status Tokenize(absl::string_view piece, TokenSink sink) override {
    best_.assign(std::min(piece.size(), kWindowBytes + kMaxPieceBytes) + 1, Best{});
    settled_ = 0;
    reach_ = 0;
    unknown_.reset();
    for (size_t at = 0; at < piece.size();) {
      if (at == reach_ && at - settled_ >= kWindowBytes) Settle(piece, at, sink);
      const size_t char_bytes = static_cast<size_t>(DecodeValidUtf8(piece.substr(at)).length);
      HEED_RETURN_IF_ERROR(Extend(piece, at, char_bytes));
      at += char_bytes;
    }
    Settle(piece, piece.size(), sink);
    FlushUnknown(piece, sink);
    return absl::OkStatus();
  }

 private:
  // The best way to spell the text up to a byte.
  struct Best {
    double score = 0;
    int32_t begin = -1;  // of the last token; -1: no way is known
    TokenId id = kNoToken;
  };

  Best& BestAt(size_t byte) { return best_[byte - settled_]; }

  void Offer(size_t begin, size_t end, double score, TokenId id) {
    if (end - settled_ >= best_.size())
      best_.resize(std::max(2 * best_.size(), end - settled_ + 1));
    reach_ = std::max(reach_, end);
    Best& best = BestAt(end);
    if (best.begin >= 0 && !(score > best.score)) return;
    best = {score, static_cast<int32_t>(begin), id};
  }

  // Tries every piece that begins at `at`, and the unknown token where none is the character alone.
  absl::Status Extend(absl::string_view piece, size_t at, size_t char_bytes) {
    const double score = BestAt(at).score;
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
    if (at + char_bytes <= reach_) {
      const Best& target = BestAt(at + char_bytes);
      if (target.begin >= 0 && !(unk_score > target.score)) return absl::OkStatus();
    }
    if (!model_.options_.unk_id.has_value()) {
      return absl::InvalidArgumentError(
          "the text has a character outside the vocabulary, and the tokenizer has no unk_id");
    }
    Offer(at, at + char_bytes, unk_score, *model_.options_.unk_id);
    return absl::OkStatus();
  }

  // Hands out the best path from the last settled place to `end`, which all ways lead through.
  void Settle(absl::string_view piece, size_t end, TokenSink sink) {
    path_.clear();
    for (size_t at = end; at > settled_;) {
      const Best& best = BestAt(at);
      path_.push_back({best.id, static_cast<uint32_t>(best.begin), static_cast<uint32_t>(at)});
      at = best.begin;
    }
    for (size_t i = path_.size(); i > 0; --i) Emit(piece, path_[i - 1], sink);
    // Sums go on from the score so far: from 0 they would round differently.
    const double score = BestAt(end).score;
    std::fill_n(best_.begin(), end - settled_ + 1, Best{});
    settled_ = end;
    best_[0].score = score;
  }

  // Unknown neighbours are one token.
  void Emit(absl::string_view piece, const ModelToken& token, TokenSink sink) {
    if (token.id != model_.options_.unk_id) {
      FlushUnknown(piece, sink);
      sink(token);
    } else if (unknown_.has_value()) {
      unknown_->end = token.end;
    } else {
      unknown_ = token;
    }
  }

  void FlushUnknown(absl::string_view piece, TokenSink sink) {
    if (!unknown_.has_value()) return;
    ModelToken token = *unknown_;
    unknown_.reset();
    const absl::string_view text = piece.substr(token.begin, token.end - token.begin);
    const std::optional<TokenId> known = model_.pieces_.Find(text);
    if (known.has_value() && model_.IsMatched(*known)) {
      token.id = *known;
    } else if (model_.options_.byte_fallback && EmitBytes(text, token, sink)) {
      return;
    }
    sink(token);
  }

  bool EmitBytes(absl::string_view text, const ModelToken& token, TokenSink sink) {
    for (const char c : text) {
      if (model_.byte_ids_[static_cast<unsigned char>(c)] == kNoToken) return false;
    }
    for (const char c : text) {
      sink({model_.byte_ids_[static_cast<unsigned char>(c)], token.begin, token.end});
    }
    return true;
  }

  const UnigramModel& model_;
  std::vector<Best> best_;  // by byte since the last settled place
  size_t settled_ = 0;
  size_t reach_ = 0;  // the furthest end of a way
  std::vector<ModelToken> path_;
  std::optional<ModelToken> unknown_;  // a run that may go on
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
