#include "model/tokenizer/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/piece_table.h"
#include "model/tokenizer/unigram.h"

namespace heed {
namespace {

// Longer pieces are not made by merging: finding all their halves is quadratic.
constexpr size_t kMaxMergedBytes = 256;

absl::Status Invalid(const SentencePieceFacts& facts, absl::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID",
                   absl::StrCat(facts.source, ": ", problem));
}

// Pieces that a text can be spelled with.
bool IsSpelling(PieceKind kind) {
  return kind == PieceKind::kNormal || kind == PieceKind::kUserDefined ||
         kind == PieceKind::kUnused;
}

// Pieces that are found in a text before it is spelled.
bool IsFoundFirst(PieceKind kind) {
  return kind == PieceKind::kControl || kind == PieceKind::kUnknown ||
         kind == PieceKind::kUserDefined;
}

// The way a piece can be made of two others, for all pieces; the best score has the smallest rank.
std::vector<BpeModel::MergeRule> MergesByScore(const SentencePieceFacts& facts,
                                               const PieceTable& table) {
  std::vector<TokenId> order(facts.pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](TokenId a, TokenId b) { return facts.scores[a] > facts.scores[b]; });
  const auto find = [&](absl::string_view text) -> std::optional<TokenId> {
    const std::optional<TokenId> id = table.Find(text);
    return id.has_value() && IsSpelling(facts.kinds[*id]) ? id : std::nullopt;
  };
  std::vector<BpeModel::MergeRule> rules;
  int32_t rank = 0;
  float score = 0;
  for (const TokenId id : order) {
    const absl::string_view piece = facts.pieces[id];
    if (find(piece) != id || piece.size() > kMaxMergedBytes) continue;
    if (!rules.empty() && facts.scores[id] != score) rank = static_cast<int32_t>(rules.size());
    score = facts.scores[id];
    for (size_t at = 1; at < piece.size(); ++at) {
      if ((static_cast<unsigned char>(piece[at]) & 0xC0) == 0x80) continue;
      const std::optional<TokenId> left = find(piece.substr(0, at));
      if (!left.has_value()) continue;
      const std::optional<TokenId> right = find(piece.substr(at));
      if (right.has_value()) rules.push_back({*left, *right, id, rank});
    }
  }
  return rules;
}

absl::StatusOr<std::unique_ptr<TokenModel>> BuildModel(const SentencePieceFacts& facts) {
  absl::StatusOr<PieceTable> table = PieceTable::FromList(facts.pieces);
  if (!table.ok()) return Invalid(facts, table.status().message());
  if (facts.is_bpe) {
    BpeOptions options;
    options.fuse_unk = true;
    options.byte_fallback = facts.byte_fallback;
    if (facts.unk_id.has_value()) options.unk_token = facts.pieces[*facts.unk_id];
    const std::vector<BpeModel::MergeRule> rules = MergesByScore(facts, *table);
    return BpeModel::Create(*std::move(table), std::move(options), rules);
  }
  UnigramOptions options = {facts.unk_id, facts.byte_fallback, {}};
  for (const PieceKind kind : facts.kinds) options.matched.push_back(IsSpelling(kind));
  absl::StatusOr<std::unique_ptr<UnigramModel>> model =
      UnigramModel::Create(*std::move(table), {facts.scores.begin(), facts.scores.end()}, options);
  if (!model.ok()) return Invalid(facts, model.status().message());
  return *std::move(model);
}

std::vector<std::string> NormalizersOf(const SentencePieceFacts& facts) {
  std::vector<std::string> steps;
  if (!facts.charsmap.empty()) {
    steps.push_back(PrecompiledJson(facts.charsmap));
  }
  if (facts.remove_extra_whitespaces) {
    // Other whitespace than spaces stays where it is.
    steps.push_back(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "})");
    steps.push_back(R"({"type":"Replace","pattern":{"Regex":"\\A | \\z"},"content":""})");
  }
  if (facts.add_dummy_prefix) steps.push_back(R"({"type":"Prepend","prepend":" "})");
  if (facts.escape_whitespaces) {
    steps.push_back(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})");
  }
  return steps;
}

std::vector<std::string> DecodersOf(const SentencePieceFacts& facts) {
  std::vector<std::string> steps = {R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})",
                                    R"({"type":"ByteFallback"})", R"({"type":"Fuse"})"};
  if (facts.add_dummy_prefix) {
    steps.push_back(R"({"type":"Strip","content":" ","start":1,"stop":0})");
  }
  return steps;
}

}  // namespace

absl::Status CheckPieces(const SentencePieceFacts& facts) {
  const size_t n = facts.pieces.size();
  if (facts.scores.size() != n || facts.kinds.size() != n) {
    return Invalid(facts, absl::StrCat("has ", n, " pieces, ", facts.scores.size(), " scores and ",
                                       facts.kinds.size(), " kinds; expected one of each"));
  }
  for (size_t id = 0; id < n; ++id) {
    if (!IsValidUtf8(facts.pieces[id])) {
      return Invalid(
          facts, absl::StrCat("piece ", id, " is ", Quoted(facts.pieces[id]), "; expected UTF-8"));
    }
    if (!std::isfinite(facts.scores[id])) {
      return Invalid(facts, absl::StrCat("piece ", id, " has no finite score"));
    }
  }
  for (const std::optional<TokenId>& id : {facts.unk_id, facts.bos_id, facts.eos_id}) {
    if (!id.has_value() || (*id >= 0 && static_cast<size_t>(*id) < n)) continue;
    return Invalid(facts, absl::StrCat("has the special id ", *id, " but only ", n, " pieces"));
  }
  return absl::OkStatus();
}

std::string PrecompiledJson(absl::string_view charsmap) {
  return absl::StrCat(R"({"type":"Precompiled","precompiled_charsmap":")",
                      absl::Base64Escape(charsmap), "\"}");
}

absl::StatusOr<std::unique_ptr<Tokenizer>> BuildSentencePieceTokenizer(
    const SentencePieceFacts& facts) {
  HEED_RETURN_IF_ERROR(CheckPieces(facts));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<TokenModel> model, BuildModel(facts));
  TokenizerText text;
  for (size_t id = 0; id < facts.pieces.size(); ++id) {
    if (!IsFoundFirst(facts.kinds[id])) continue;
    const bool special = facts.kinds[id] != PieceKind::kUserDefined;
    // Of equal pieces only the one that the vocabulary finds can be a token of its own.
    const TokenId token_id = static_cast<TokenId>(id);
    if (model->pieces().Find(facts.pieces[id]) != token_id) continue;
    text.added_tokens.push_back({token_id, facts.pieces[id], special, false});
  }
  for (const AddedTokenText& token : facts.added_tokens) {
    const std::optional<TokenId> id = model->pieces().Find(token.content);
    if (!id.has_value() || !IsFoundFirst(facts.kinds[*id])) text.added_tokens.push_back(token);
  }
  text.normalizers = NormalizersOf(facts);
  text.decoders = DecodersOf(facts);
  if (facts.add_bos && facts.bos_id.has_value()) text.before.push_back(*facts.bos_id);
  if (facts.add_eos && facts.eos_id.has_value()) text.after.push_back(*facts.eos_id);
  return BuildTokenizer(facts.source, text.Json(), std::move(model));
}

}  // namespace heed
