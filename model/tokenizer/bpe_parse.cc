// Reading a BPE model from tokenizer.json.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/byte_alphabet.h"

namespace heed {
namespace {

constexpr int64_t kMaxMerges = int64_t{1} << 22;

// The two strings of ["a", "b"] or "a b".
struct MergeParts {
  absl::string_view left;
  absl::string_view right;
};

absl::StatusOr<MergeParts> ParseArrayMerge(const JsonValue& json) {
  std::vector<absl::string_view> parts;
  HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t, const JsonValue& part) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view text, part.String());
    parts.push_back(text);
    return absl::OkStatus();
  }));
  if (parts.size() != 2)
    return json.Error(absl::StrCat("has ", parts.size(), " elements; expected two pieces"));
  return MergeParts{parts[0], parts[1]};
}

absl::StatusOr<MergeParts> ParseMergeParts(const JsonValue& json) {
  if (json.IsArray()) return ParseArrayMerge(json);
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, json.String());
  const size_t space = text.find(' ');
  if (space == absl::string_view::npos || text.find(' ', space + 1) != absl::string_view::npos) {
    return json.Error(
        absl::StrCat("is ", Quoted(text), "; expected two pieces with one space between them"));
  }
  return MergeParts{text.substr(0, space), text.substr(space + 1)};
}

// The first line of merges.txt, which some files still carry.
bool IsVersionLine(const JsonValue& json) {
  return json.IsString() && json.String()->substr(0, 8) == "#version";
}

// Whether `merged` is `left` and what `right` has behind its first `prefix` bytes, both not empty.
bool IsConcatenation(absl::string_view left, absl::string_view right, size_t prefix,
                     absl::string_view merged) {
  if (left.empty() || right.size() <= prefix) return false;
  right.remove_prefix(prefix);
  return merged.size() == left.size() + right.size() && absl::StartsWith(merged, left) &&
         absl::EndsWith(merged, right);
}

// Of valid UTF-8 that is not empty.
char32_t LastChar(absl::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return DecodeUtf8(text.substr(at)).code_point;
}

absl::StatusOr<TokenId> FindPart(const JsonValue& json, const PieceTable& pieces,
                                 absl::string_view piece) {
  const std::optional<TokenId> id = pieces.Find(piece);
  if (!id.has_value())
    return json.Error(
        absl::StrCat("needs the piece ", Quoted(piece), ", which is not in the vocabulary"));
  return *id;
}

}  // namespace

absl::Status BpeModel::AddMerge(const JsonValue& json, absl::string_view left,
                                absl::string_view right) {
  const size_t prefix = options_.continuing_subword_prefix.size();
  if (left.empty() || right.size() <= prefix) {
    return json.Error(absl::StrCat("merges ", Quoted(left), " and ", Quoted(right),
                                   "; expected pieces that add text"));
  }
  HEED_ASSIGN_OR_RETURN(const TokenId left_id, FindPart(json, pieces_, left));
  HEED_ASSIGN_OR_RETURN(const TokenId right_id, FindPart(json, pieces_, right));
  HEED_ASSIGN_OR_RETURN(const TokenId merged,
                        FindPart(json, pieces_, absl::StrCat(left, right.substr(prefix))));
  const int32_t rank = static_cast<int32_t>(merges_.size());
  const auto [place, is_new] = merges_.try_emplace(Pair(left_id, right_id), Merge{rank, merged});
  if (is_new) return absl::OkStatus();
  return json.Error(absl::StrCat("merges ", Quoted(left), " and ", Quoted(right), ", as merge ",
                                 place->second.rank, " does; expected each pair once"));
}

absl::Status BpeModel::ParseMerges(const JsonValue& json) {
  return json.ForEachElement([&](int64_t index, const JsonValue& merge) {
    if (index == kMaxMerges)
      return json.Error(absl::StrCat("has more than ", kMaxMerges, " merges"));
    if (IsVersionLine(merge)) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const MergeParts parts, ParseMergeParts(merge));
    return AddMerge(merge, parts.left, parts.right);
  });
}

absl::Status BpeModel::ParseOptions(const JsonValue& json) {
  const std::optional<JsonValue> dropout = json.Find("dropout");
  if (dropout.has_value() && !dropout->IsNull()) {
    HEED_ASSIGN_OR_RETURN(const double probability, dropout->Double());
    if (probability != 0)
      return dropout->Unsupported("heed tokenizes without dropout; expected null or 0");
  }
  HEED_ASSIGN_OR_RETURN(options_.unk_token, json.StringOr("unk_token", ""));
  HEED_ASSIGN_OR_RETURN(options_.fuse_unk, json.BoolOr("fuse_unk", false));
  HEED_ASSIGN_OR_RETURN(options_.byte_fallback, json.BoolOr("byte_fallback", false));
  HEED_ASSIGN_OR_RETURN(options_.ignore_merges, json.BoolOr("ignore_merges", false));
  HEED_ASSIGN_OR_RETURN(options_.continuing_subword_prefix,
                        json.StringOr("continuing_subword_prefix", ""));
  HEED_ASSIGN_OR_RETURN(options_.end_of_word_suffix, json.StringOr("end_of_word_suffix", ""));
  return absl::OkStatus();
}

void BpeModel::Finish() {
  plain_ = options_.continuing_subword_prefix.empty() && options_.end_of_word_suffix.empty();
  for (char32_t c = 0; c < kDirectChars; ++c) {
    std::string utf8;
    AppendUtf8(c, &utf8);
    direct_ids_[c] = pieces_.Find(utf8).value_or(kNoToken);
  }
  for (int byte = 0; byte < 256; ++byte) {
    alphabet_ids_[byte] =
        pieces_.Find(ByteLevelChar(static_cast<unsigned char>(byte))).value_or(kNoToken);
  }
  byte_ids_ = FindBytePieces(pieces_);
  FillJoins();
  if (!options_.unk_token.empty()) unk_id_ = pieces_.Find(options_.unk_token);
}

// The text of a token is that of the symbols it was merged from, so its first and last character
// are theirs. Where the rules say otherwise, everything may join.
void BpeModel::FillJoins() {
  ends_.resize(pieces_.size());
  for (TokenId id = 0; id < pieces_.size(); ++id) {
    const absl::string_view piece = pieces_.Piece(id);
    if (!piece.empty()) ends_[id] = {DecodeUtf8(piece).code_point, LastChar(piece), false};
  }
  joins_.assign(size_t{1} << kJoinBits, false);
  const size_t prefix = options_.continuing_subword_prefix.size();
  for (const auto& [pair, merge] : merges_) {
    const TokenId left = static_cast<TokenId>(pair >> 32);
    const TokenId right = static_cast<TokenId>(pair & 0xFFFFFFFF);
    if (!IsConcatenation(pieces_.Piece(left), pieces_.Piece(right), prefix,
                         pieces_.Piece(merge.merged))) {
      std::fill(joins_.begin(), joins_.end(), true);
    }
    ends_[left].merges = ends_[right].merges = true;
    joins_[JoinBit(ends_[left].last, ends_[right].first)] = true;
  }
}

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Create(PieceTable pieces, BpeOptions options,
                                                           absl::Span<const MergeRule> rules) {
  auto model = std::make_unique<BpeModel>();
  model->pieces_ = std::move(pieces);
  model->options_ = std::move(options);
  model->merges_.reserve(rules.size());
  for (const MergeRule& rule : rules) {
    const Merge merge = {rule.rank, rule.merged};
    if (model->merges_.try_emplace(Pair(rule.left, rule.right), merge).second) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("two merges join ", Quoted(model->pieces_.Piece(rule.left)), " and ",
                     Quoted(model->pieces_.Piece(rule.right)), "; expected each pair once"));
  }
  model->Finish();
  return model;
}

absl::StatusOr<std::unique_ptr<BpeModel>> BpeModel::Parse(const JsonValue& json) {
  auto model = std::make_unique<BpeModel>();
  HEED_RETURN_IF_ERROR(model->ParseOptions(json));
  HEED_ASSIGN_OR_RETURN(const JsonValue vocab, json.Get("vocab"));
  HEED_ASSIGN_OR_RETURN(model->pieces_, PieceTable::Parse(vocab));
  HEED_ASSIGN_OR_RETURN(const JsonValue merges, json.Get("merges"));
  HEED_RETURN_IF_ERROR(model->ParseMerges(merges));
  model->Finish();
  return model;
}

}  // namespace heed
