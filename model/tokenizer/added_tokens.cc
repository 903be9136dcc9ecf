#include "model/tokenizer/added_tokens.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/unicode.h"

namespace heed {
namespace {

constexpr size_t kMaxNormalizedBytes = 1 << 20;

// Beginning of the character that ends at `end` > 0.
size_t PreviousChar(absl::string_view text, size_t end) {
  --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return end;
}

char32_t CharAt(absl::string_view text, size_t at) {
  return DecodeUtf8(text.substr(at)).code_point;
}

bool StandsAlone(absl::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordChar(CharAt(text, PreviousChar(text, begin)))) return false;
  return end == text.size() || !IsWordChar(CharAt(text, end));
}

// Beginning of the whitespace that ends at `at`, not before `limit`.
size_t SkipSpaceBack(absl::string_view text, size_t at, size_t limit) {
  while (at > limit) {
    const size_t previous = PreviousChar(text, at);
    if (!IsWhitespace(CharAt(text, previous))) break;
    at = previous;
  }
  return at;
}

// End of the whitespace that begins at `at`.
size_t SkipSpace(absl::string_view text, size_t at) {
  while (at < text.size()) {
    const Utf8Char c = DecodeUtf8(text.substr(at));
    if (!IsWhitespace(c.code_point)) break;
    at += c.length;
  }
  return at;
}

absl::StatusOr<std::string> NormalizedForm(absl::string_view content,
                                           const Normalizers& normalizers) {
  PieceList list = PieceList::Whole(AlignedText::FromUntrusted(content, kMaxNormalizedBytes));
  HEED_RETURN_IF_ERROR(ApplyAll(normalizers, &list));
  return std::string(list.text.text());
}

absl::StatusOr<AddedToken> ParseToken(const JsonValue& json) {
  AddedToken token;
  HEED_ASSIGN_OR_RETURN(const absl::string_view content, json.StringAt("content"));
  token.content = std::string(content);
  HEED_ASSIGN_OR_RETURN(token.single_word, json.BoolAt("single_word"));
  HEED_ASSIGN_OR_RETURN(token.lstrip, json.BoolAt("lstrip"));
  HEED_ASSIGN_OR_RETURN(token.rstrip, json.BoolAt("rstrip"));
  HEED_ASSIGN_OR_RETURN(token.normalized, json.BoolAt("normalized"));
  HEED_ASSIGN_OR_RETURN(token.special, json.BoolAt("special"));
  return token;
}

}  // namespace

absl::StatusOr<AddedTokens> AddedTokens::Parse(const JsonValue& json, const PieceTable& pieces,
                                               const Normalizers& normalizers) {
  AddedTokens added;
  TokenId next_id = static_cast<TokenId>(pieces.count());
  absl::flat_hash_set<int64_t> file_ids;
  HEED_RETURN_IF_ERROR(json.ForEachElement([&](int64_t, const JsonValue& token) {
    HEED_ASSIGN_OR_RETURN(const JsonValue id_json, token.Get("id"));
    HEED_ASSIGN_OR_RETURN(const int64_t id, id_json.Int(0, std::numeric_limits<TokenId>::max()));
    if (!file_ids.insert(id).second)
      return id_json.Error(absl::StrCat("is ", id, ", as that of another added token"));
    return added.Add(token, pieces, normalizers, &next_id);
  }));
  added.raw_matcher_.Build();
  added.normalized_matcher_.Build();
  return added;
}

absl::Status AddedTokens::Add(const JsonValue& json, const PieceTable& pieces,
                              const Normalizers& normalizers, TokenId* next_id) {
  HEED_ASSIGN_OR_RETURN(AddedToken token, ParseToken(json));
  if (token.content.empty()) return absl::OkStatus();
  const std::optional<TokenId> known = pieces.Find(token.content);
  token.id = known.has_value() ? *known : (*next_id)++;
  if (!known.has_value() && pieces.Contains(token.id)) {
    return json.Error(absl::StrCat("would get the id ", token.id,
                                   ", the next after the vocabulary's ", pieces.count(),
                                   " pieces, which belongs to \"", pieces.Piece(token.id), "\""));
  }
  if (!ids_.emplace(token.content, token.id).second) {
    return json.Error(
        absl::StrCat("has the content \"", token.content, "\", as another added token"));
  }
  token.normalized_content = token.content;
  if (token.normalized) {
    absl::StatusOr<std::string> form = NormalizedForm(token.content, normalizers);
    if (!form.ok()) return json.Error(form.status().message());
    token.normalized_content = *std::move(form);
  }
  TokenMatcher& matcher = token.normalized ? normalized_matcher_ : raw_matcher_;
  if (!token.normalized_content.empty()) {
    matcher.Add(token.normalized_content, static_cast<int32_t>(tokens_.size()));
  }
  tokens_.push_back(std::move(token));
  return absl::OkStatus();
}

std::optional<TokenId> AddedTokens::Find(absl::string_view content) const {
  const auto found = ids_.find(content);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void AddedTokens::Extract(bool normalized, bool parse_special, PieceList* list) const {
  const TokenMatcher& matcher = normalized ? normalized_matcher_ : raw_matcher_;
  if (matcher.empty()) return;
  std::vector<Piece> pieces;
  for (const Piece& piece : list->pieces) {
    if (piece.token != kNoToken) {
      pieces.push_back(piece);
    } else {
      ExtractFrom(matcher, parse_special, list->Text(piece), piece.begin, &pieces);
    }
  }
  list->pieces = std::move(pieces);
}

void AddedTokens::ExtractFrom(const TokenMatcher& matcher, bool parse_special,
                              absl::string_view text, uint32_t base,
                              std::vector<Piece>* pieces) const {
  const auto push = [&](size_t begin, size_t end, TokenId id) {
    if (begin < end)
      pieces->push_back(
          {base + static_cast<uint32_t>(begin), base + static_cast<uint32_t>(end), id});
  };
  size_t done = 0;
  matcher.ForEach(text, [&](const TokenMatcher::Match& match) {
    const AddedToken& token = tokens_[match.string];
    if (token.special && !parse_special) return;
    if (match.begin < done) return;  // inside whitespace that the token before took along
    if (token.single_word && !StandsAlone(text, match.begin, match.end)) return;
    const size_t begin = token.lstrip ? SkipSpaceBack(text, match.begin, done) : match.begin;
    const size_t end = token.rstrip ? SkipSpace(text, match.end) : match.end;
    push(done, begin, kNoToken);
    push(begin, end, token.id);
    done = end;
  });
  push(done, text.size(), kNoToken);
}

}  // namespace heed
