#include "model/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_scripts.h"

namespace heed {
namespace {

// The pattern of GPT-2, which ByteLevel has built in.
constexpr absl::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr absl::string_view kWhitespacePattern =
    R"([\w\x{200c}\x{200d}]+|[^\w\s\x{200c}\x{200d}]+)";

// Joins a match to the segment before it, unless that one is a match too.
void MergeWithPrevious(std::vector<Segment>* segments) {
  size_t kept = 0;
  bool previous_match = false;
  for (const Segment& segment : *segments) {
    if (segment.is_match && !previous_match && kept > 0) {
      (*segments)[kept - 1].end = segment.end;
    } else {
      (*segments)[kept++] = segment;
    }
    previous_match = segment.is_match;
  }
  segments->resize(kept);
}

// The mirror image of MergeWithPrevious.
void MergeWithNext(std::vector<Segment>* segments) {
  size_t first_kept = segments->size();
  bool next_match = false;
  for (size_t i = segments->size(); i-- > 0;) {
    const Segment segment = (*segments)[i];
    if (segment.is_match && !next_match && first_kept < segments->size()) {
      (*segments)[first_kept].begin = segment.begin;
    } else {
      (*segments)[--first_kept] = segment;
    }
    next_match = segment.is_match;
  }
  segments->erase(segments->begin(), segments->begin() + first_kept);
}

void MergeContiguous(std::vector<Segment>* segments) {
  size_t kept = 0;
  bool previous_match = false;
  for (const Segment& segment : *segments) {
    if (segment.is_match == previous_match && kept > 0) {
      (*segments)[kept - 1].end = segment.end;
    } else {
      (*segments)[kept++] = segment;
    }
    previous_match = segment.is_match;
  }
  segments->resize(kept);
}

void RemoveMatches(std::vector<Segment>* segments) {
  const auto removed = std::remove_if(segments->begin(), segments->end(),
                                      [](const Segment& s) { return s.is_match; });
  segments->erase(removed, segments->end());
}

class SplitPreTokenizer : public PreTokenizer {
 public:
  SplitPreTokenizer(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  absl::Status Apply(PieceList* list) const override {
    const std::unique_ptr<SegmentFinder> finder = pattern_->NewFinder();
    std::vector<Segment> segments;
    std::vector<Piece> pieces;
    pieces.reserve(list->pieces.size());
    for (const Piece& piece : list->pieces) {
      if (piece.token != kNoToken) {
        pieces.push_back(piece);
        continue;
      }
      HEED_RETURN_IF_ERROR(finder->Find(list->Text(piece), &segments));
      Cut(piece.begin, &segments, &pieces);
    }
    list->pieces = std::move(pieces);
    return absl::OkStatus();
  }

 private:
  void Cut(uint32_t base, std::vector<Segment>* segments, std::vector<Piece>* pieces) const {
    if (invert_) {
      for (Segment& segment : *segments) segment.is_match = !segment.is_match;
    }
    ApplyBehavior(behavior_, segments);
    for (const Segment& segment : *segments) {
      if (segment.begin < segment.end)
        pieces->push_back({base + segment.begin, base + segment.end, kNoToken});
    }
  }

  const std::unique_ptr<Pattern> pattern_;
  const SplitBehavior behavior_;
  const bool invert_;
};

// Puts a space before each piece that does not begin with one.
class PrefixSpace : public PreTokenizer {
 public:
  absl::Status Apply(PieceList* list) const override {
    return RewritePieces(
        [](const AlignedText& in, const Piece& piece, AlignedText* out) {
          AppendPrefixed(in, piece, in.text()[piece.begin] == ' ' ? "" : " ", out);
          return absl::OkStatus();
        },
        list);
  }
};

class BytesToAlphabet : public PreTokenizer {
 public:
  absl::Status Apply(PieceList* list) const override { return RewriteAsByteLevel(list); }
  bool only_spells_bytes() const override { return true; }
};

// Spells spaces as a visible character, and puts one before a piece that has none.
class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };

  Metaspace(absl::string_view replacement, Prepend prepend)
      : replacement_(replacement), prepend_(prepend) {}

  absl::Status Apply(PieceList* list) const override {
    return RewritePieces(
        [this](const AlignedText& in, const Piece& piece, AlignedText* out) {
          Rewrite(in, piece, out);
          return absl::OkStatus();
        },
        list);
  }

 private:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const {
    const absl::string_view text = in.text().substr(piece.begin, piece.end - piece.begin);
    if (Prepends(in, piece, text)) out->Append(replacement_, in.origin(piece.begin));
    for (size_t at = 0; at < text.size();) {
      const size_t space = std::min(text.find(' ', at), text.size());
      out->AppendRange(in, piece.begin + at, piece.begin + space);
      if (space < text.size()) out->Append(replacement_, in.origin(piece.begin + space));
      at = space + 1;
    }
  }

  bool Prepends(const AlignedText& in, const Piece& piece, absl::string_view text) const {
    if (prepend_ == Prepend::kNever) return false;
    if (prepend_ == Prepend::kFirst && in.origin(piece.begin).begin != 0) return false;
    return text[0] != ' ' && !absl::StartsWith(text, replacement_);
  }

  const std::string replacement_;
  const Prepend prepend_;
};

void AddSplit(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert,
              PreTokenizers* steps) {
  steps->push_back(std::make_unique<SplitPreTokenizer>(std::move(pattern), behavior, invert));
}

absl::StatusOr<SplitBehavior> ParseBehavior(const JsonValue& json) {
  constexpr std::pair<absl::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  };
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, json.String());
  for (const auto& [known, behavior] : kNames) {
    if (known == name) return behavior;
  }
  return json.Error(absl::StrCat("is \"", name,
                                 "\"; expected Removed, Isolated, MergedWithPrevious, ",
                                 "MergedWithNext or Contiguous"));
}

absl::Status ParseOne(const JsonValue& json, PreTokenizers* steps);

absl::Status ParseSequence(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const JsonValue list, json.Get("pretokenizers"));
  return list.ForEachElement([&](int64_t, const JsonValue& step) { return ParseOne(step, steps); });
}

absl::Status ParseByteLevel(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const bool add_prefix_space, json.BoolAt("add_prefix_space"));
  HEED_ASSIGN_OR_RETURN(const bool use_regex, json.BoolOr("use_regex", true));
  if (add_prefix_space) steps->push_back(std::make_unique<PrefixSpace>());
  if (use_regex) {
    HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, NewRegexPattern(kByteLevelPattern));
    AddSplit(std::move(pattern), SplitBehavior::kIsolated, false, steps);
  }
  steps->push_back(std::make_unique<BytesToAlphabet>());
  return absl::OkStatus();
}

absl::Status ParseSplit(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const JsonValue pattern_json, json.Get("pattern"));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, ParsePattern(pattern_json));
  HEED_ASSIGN_OR_RETURN(const JsonValue behavior_json, json.Get("behavior"));
  HEED_ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(behavior_json));
  HEED_ASSIGN_OR_RETURN(const bool invert, json.BoolAt("invert"));
  AddSplit(std::move(pattern), behavior, invert, steps);
  return absl::OkStatus();
}

absl::Status ParseDigits(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const bool individual, json.BoolAt("individual_digits"));
  AddSplit(NewCharPattern(IsNumeric),
           individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false, steps);
  return absl::OkStatus();
}

absl::Status ParsePunctuation(const JsonValue& json, PreTokenizers* steps) {
  SplitBehavior behavior = SplitBehavior::kIsolated;
  const std::optional<JsonValue> behavior_json = json.Find("behavior");
  if (behavior_json.has_value()) {
    HEED_ASSIGN_OR_RETURN(behavior, ParseBehavior(*behavior_json));
  }
  AddSplit(NewCharPattern(IsPunctuation), behavior, false, steps);
  return absl::OkStatus();
}

absl::Status ParseWhitespace(const JsonValue&, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, NewRegexPattern(kWhitespacePattern));
  AddSplit(std::move(pattern), SplitBehavior::kRemoved, true, steps);
  return absl::OkStatus();
}

absl::Status ParseWhitespaceSplit(const JsonValue&, PreTokenizers* steps) {
  AddSplit(NewCharPattern(IsWhitespace), SplitBehavior::kRemoved, false, steps);
  return absl::OkStatus();
}

absl::Status ParseBert(const JsonValue& json, PreTokenizers* steps) {
  HEED_RETURN_IF_ERROR(ParseWhitespaceSplit(json, steps));
  AddSplit(NewCharPattern(IsPunctuation), SplitBehavior::kIsolated, false, steps);
  return absl::OkStatus();
}

// A string of one character.
absl::StatusOr<absl::string_view> ParseChar(const JsonValue& json, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonValue value, json.Get(key));
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, value.String());
  if (text.empty() || DecodeUtf8(text).length != static_cast<int>(text.size())) {
    return value.Unexpected("one character");
  }
  return text;
}

absl::StatusOr<Metaspace::Prepend> ParsePrepend(const JsonValue& json) {
  HEED_ASSIGN_OR_RETURN(const std::string scheme, json.StringOr("prepend_scheme", "always"));
  // Older files say it with a flag.
  HEED_ASSIGN_OR_RETURN(const bool add_prefix_space, json.BoolOr("add_prefix_space", true));
  if (scheme == "never") return Metaspace::Prepend::kNever;
  const bool says_scheme = json.Find("prepend_scheme").has_value();
  if (!add_prefix_space && says_scheme) {
    return json.Error(absl::StrCat("has add_prefix_space false and the prepend_scheme ",
                                   Quoted(scheme), "; expected never"));
  }
  if (!add_prefix_space) return Metaspace::Prepend::kNever;
  if (scheme == "first") return Metaspace::Prepend::kFirst;
  if (scheme == "always") return Metaspace::Prepend::kAlways;
  return json.Error(
      absl::StrCat("has the prepend_scheme ", Quoted(scheme), "; expected always, first or never"));
}

absl::Status ParseMetaspace(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view replacement, ParseChar(json, "replacement"));
  HEED_ASSIGN_OR_RETURN(const Metaspace::Prepend prepend, ParsePrepend(json));
  HEED_ASSIGN_OR_RETURN(const bool split, json.BoolOr("split", true));
  steps->push_back(std::make_unique<Metaspace>(replacement, prepend));
  if (split) {
    AddSplit(NewLiteralPattern(replacement), SplitBehavior::kMergedWithNext, false, steps);
  }
  return absl::OkStatus();
}

absl::Status ParseCharDelimiter(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view delimiter, ParseChar(json, "delimiter"));
  AddSplit(NewLiteralPattern(delimiter), SplitBehavior::kRemoved, false, steps);
  return absl::OkStatus();
}

// Text before the first character with a script is dropped, as in the reference.
absl::Status ParseUnicodeScripts(const JsonValue&, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, NewRegexPattern(UnicodeScriptsPattern()));
  AddSplit(std::move(pattern), SplitBehavior::kRemoved, true, steps);
  return absl::OkStatus();
}

absl::Status ParseFixedLength(const JsonValue& json, PreTokenizers* steps) {
  constexpr int64_t kDefaultChars = 5;
  int64_t n_chars = kDefaultChars;
  if (const std::optional<JsonValue> length = json.Find("length")) {
    HEED_ASSIGN_OR_RETURN(n_chars, length->Int(1, std::numeric_limits<int32_t>::max()));
  }
  AddSplit(NewFixedLengthPattern(n_chars), SplitBehavior::kIsolated, false, steps);
  return absl::OkStatus();
}

struct Row {
  absl::string_view type;
  absl::Status (*parse)(const JsonValue& json, PreTokenizers* steps);
};
constexpr Row kRows[] = {
    {"Sequence", ParseSequence},
    {"ByteLevel", ParseByteLevel},
    {"Split", ParseSplit},
    {"Digits", ParseDigits},
    {"Punctuation", ParsePunctuation},
    {"Whitespace", ParseWhitespace},
    {"WhitespaceSplit", ParseWhitespaceSplit},
    {"BertPreTokenizer", ParseBert},
    {"Metaspace", ParseMetaspace},
    {"CharDelimiterSplit", ParseCharDelimiter},
    {"Delimiter", ParseCharDelimiter},
    {"FixedLength", ParseFixedLength},
    {"UnicodeScripts", ParseUnicodeScripts},
};

absl::Status ParseOne(const JsonValue& json, PreTokenizers* steps) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
  for (const Row& row : kRows) {
    if (row.type == type) return row.parse(json, steps);
  }
  return json.Unsupported(absl::StrCat("heed has no pre-tokenizer \"", type, "\""));
}

}  // namespace

void ApplyBehavior(SplitBehavior behavior, std::vector<Segment>* segments) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return RemoveMatches(segments);
    case SplitBehavior::kIsolated:
      return;
    case SplitBehavior::kMergedWithPrevious:
      return MergeWithPrevious(segments);
    case SplitBehavior::kMergedWithNext:
      return MergeWithNext(segments);
    case SplitBehavior::kContiguous:
      return MergeContiguous(segments);
  }
}

absl::StatusOr<PreTokenizers> ParsePreTokenizers(const JsonValue& json) {
  PreTokenizers steps;
  if (!json.IsNull()) HEED_RETURN_IF_ERROR(ParseOne(json, &steps));
  return steps;
}

}  // namespace heed
