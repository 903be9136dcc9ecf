#include "model/tokenizer/normalizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/char_normalizers.h"
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/unicode.h"

namespace heed {
namespace {

absl::string_view TextOf(const AlignedText& in, const Piece& piece) {
  return in.text().substr(piece.begin, piece.end - piece.begin);
}

// Follows a rewriting character by character and gives each new one its origin.
class RewriteCursor {
 public:
  RewriteCursor(const AlignedText& in, const Piece& piece, AlignedText* out)
      : in_(in), begin_(piece.begin), end_(piece.end), at_(piece.begin), out_(out) {}

  // Takes over `bytes` bytes as they are.
  void Keep(size_t bytes) {
    out_->AppendRange(in_, at_, at_ + bytes);
    at_ += bytes;
  }
  // Takes the place of as many ASCII characters.
  void AddAscii(absl::string_view ascii) {
    out_->AppendAs(ascii, in_, at_);
    at_ += ascii.size();
  }

  void Add(RewrittenChar c) {
    const Origin origin = c.change > 0 ? OriginBefore() : in_.origin(at_);
    for (int consumed = c.change; consumed <= 0 && at_ < end_; ++consumed) {
      at_ += DecodeValidUtf8(in_.text().substr(at_)).length;
    }
    utf8_.clear();
    AppendUtf8(c.code_point, &utf8_);
    out_->Append(utf8_, origin);
  }

 private:
  Origin OriginBefore() const {
    if (at_ > begin_) return in_.origin(at_ - 1);
    return {in_.origin(begin_).begin, in_.origin(begin_).begin};
  }

  const AlignedText& in_;
  const size_t begin_;
  const size_t end_;
  size_t at_;  // what the next character that takes a place will take
  AlignedText* const out_;
  std::string utf8_;
};

// A normalizer that treats each piece on its own.
class PieceNormalizer : public Normalizer {
 public:
  absl::Status Apply(PieceList* list) const override {
    return RewritePieces(
        [this](const AlignedText& in, const Piece& piece, AlignedText* out) {
          Rewrite(in, piece, out);
          return absl::OkStatus();
        },
        list);
  }

 protected:
  virtual void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const = 0;
};

class UnicodeNormalizer : public PieceNormalizer {
 public:
  explicit UnicodeNormalizer(NormalForm form) : form_(form) {}

  absl::Status Apply(PieceList* list) const override {
    const auto is_unchanged = [&](const Piece& piece) {
      return piece.token != kNoToken || IsNormalized(form_, list->Text(piece));
    };
    if (std::all_of(list->pieces.begin(), list->pieces.end(), is_unchanged)) {
      return absl::OkStatus();
    }
    return PieceNormalizer::Apply(list);
  }

 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    RewriteCursor cursor(in, piece, out);
    for (absl::string_view rest = TextOf(in, piece); !rest.empty();) {
      const size_t kept = NormalizedPrefix(form_, rest);
      cursor.Keep(kept);
      rest.remove_prefix(kept);
      if (rest.empty()) break;
      const size_t changed = SeparablePrefix(form_, rest);
      Normalize(form_, rest.substr(0, changed), [&cursor](RewrittenChar c) { cursor.Add(c); });
      rest.remove_prefix(changed);
    }
  }

 private:
  const NormalForm form_;
};

class LowercaseNormalizer : public PieceNormalizer {
 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    RewriteCursor cursor(in, piece, out);
    std::string lower_ascii;
    for (absl::string_view rest = TextOf(in, piece); !rest.empty();) {
      if (const size_t ascii = AsciiPrefix(rest)) {
        lower_ascii.assign(rest.data(), ascii);
        absl::AsciiStrToLower(&lower_ascii);
        cursor.AddAscii(lower_ascii);
        rest.remove_prefix(ascii);
        continue;
      }
      const Utf8Char c = DecodeValidUtf8(rest);
      Lowercase(c.code_point, [&cursor](RewrittenChar lower) { cursor.Add(lower); });
      rest.remove_prefix(c.length);
    }
  }
};

class StripNormalizer : public PieceNormalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}

 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    size_t begin = piece.end;  // of what stays
    size_t end = piece.begin;
    for (size_t at = piece.begin; at < piece.end;) {
      const Utf8Char c = DecodeValidUtf8(in.text().substr(at));
      if (!IsWhitespace(c.code_point)) {
        begin = std::min(begin, at);
        end = at + c.length;
      }
      at += c.length;
    }
    if (begin >= end) {  // nothing but whitespace
      if (!left_ && !right_) out->AppendRange(in, piece.begin, piece.end);
      return;
    }
    out->AppendRange(in, left_ ? begin : piece.begin, right_ ? end : piece.end);
  }

 private:
  const bool left_;
  const bool right_;
};

class PrependNormalizer : public PieceNormalizer {
 public:
  explicit PrependNormalizer(absl::string_view prefix) : prefix_(prefix) {}

 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    AppendPrefixed(in, piece, prefix_, out);
  }

 private:
  const std::string prefix_;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  absl::Status Apply(PieceList* list) const override { return RewriteAsByteLevel(list); }
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<Pattern> pattern, absl::string_view content)
      : pattern_(std::move(pattern)), content_(content) {}

  absl::Status Apply(PieceList* list) const override {
    const std::unique_ptr<SegmentFinder> finder = pattern_->NewFinder();
    std::vector<Segment> segments;
    return RewritePieces(
        [&](const AlignedText& in, const Piece& piece, AlignedText* out) {
          HEED_RETURN_IF_ERROR(finder->Find(TextOf(in, piece), &segments));
          for (const Segment& segment : segments) Append(in, piece.begin, segment, out);
          return absl::OkStatus();
        },
        list);
  }

 private:
  // What replaces a match comes from the match's last character.
  void Append(const AlignedText& in, size_t base, const Segment& segment, AlignedText* out) const {
    const size_t end = base + segment.end;
    if (!segment.is_match) return out->AppendRange(in, base + segment.begin, end);
    const Origin before = in.origin(base);
    out->Append(content_, end > base ? in.origin(end - 1) : Origin{before.begin, before.begin});
  }

  const std::unique_ptr<Pattern> pattern_;
  const std::string content_;
};

absl::Status ParseOne(const JsonValue& json, Normalizers* normalizers);

absl::Status ParseSequence(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const JsonValue steps, json.Get("normalizers"));
  return steps.ForEachElement(
      [&](int64_t, const JsonValue& step) { return ParseOne(step, normalizers); });
}

absl::Status ParseStrip(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const bool left, json.BoolAt("strip_left"));
  HEED_ASSIGN_OR_RETURN(const bool right, json.BoolAt("strip_right"));
  normalizers->push_back(std::make_unique<StripNormalizer>(left, right));
  return absl::OkStatus();
}

absl::Status ParsePrepend(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view prefix, json.StringAt("prepend"));
  normalizers->push_back(std::make_unique<PrependNormalizer>(prefix));
  return absl::OkStatus();
}

absl::Status ParseReplace(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const JsonValue pattern_json, json.Get("pattern"));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, ParsePattern(pattern_json));
  HEED_ASSIGN_OR_RETURN(const absl::string_view content, json.StringAt("content"));
  normalizers->push_back(std::make_unique<ReplaceNormalizer>(std::move(pattern), content));
  return absl::OkStatus();
}

absl::Status ParseBert(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const bool clean_text, json.BoolOr("clean_text", true));
  HEED_ASSIGN_OR_RETURN(const bool ideographs, json.BoolOr("handle_chinese_chars", true));
  HEED_ASSIGN_OR_RETURN(const bool lowercase, json.BoolOr("lowercase", true));
  HEED_ASSIGN_OR_RETURN(const bool strip_accents, json.BoolOr("strip_accents", lowercase));
  if (clean_text) normalizers->push_back(NewCharNormalizer(CleanBertText));
  if (ideographs) normalizers->push_back(NewCharNormalizer(SpaceIdeograph));
  if (strip_accents) {
    normalizers->push_back(std::make_unique<UnicodeNormalizer>(NormalForm::kNfd));
    normalizers->push_back(NewCharNormalizer(StripNonspacingMark));
  }
  if (lowercase) normalizers->push_back(std::make_unique<LowercaseNormalizer>());
  return absl::OkStatus();
}

absl::Status ParsePrecompiled(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const JsonValue blob_json, json.Get("precompiled_charsmap"));
  HEED_ASSIGN_OR_RETURN(const absl::string_view encoded, blob_json.String());
  std::string blob;
  if (!absl::Base64Unescape(encoded, &blob)) return blob_json.Error("is no base64");
  absl::StatusOr<Charsmap> charsmap = Charsmap::Parse(blob);
  if (!charsmap.ok()) return blob_json.Error(charsmap.status().message());
  normalizers->push_back(NewCharsmapNormalizer(*std::move(charsmap)));
  return absl::OkStatus();
}

template <CharRewrite rewrite>
absl::Status ParseChars(const JsonValue&, Normalizers* normalizers) {
  normalizers->push_back(NewCharNormalizer(rewrite));
  return absl::OkStatus();
}

template <NormalForm form>
absl::Status ParseForm(const JsonValue&, Normalizers* normalizers) {
  normalizers->push_back(std::make_unique<UnicodeNormalizer>(form));
  return absl::OkStatus();
}

template <typename T>
absl::Status ParsePlain(const JsonValue&, Normalizers* normalizers) {
  normalizers->push_back(std::make_unique<T>());
  return absl::OkStatus();
}

struct Row {
  absl::string_view type;
  absl::Status (*parse)(const JsonValue& json, Normalizers* normalizers);
};
constexpr Row kRows[] = {
    {"Sequence", ParseSequence},
    {"NFC", ParseForm<NormalForm::kNfc>},
    {"NFD", ParseForm<NormalForm::kNfd>},
    {"NFKC", ParseForm<NormalForm::kNfkc>},
    {"NFKD", ParseForm<NormalForm::kNfkd>},
    {"Lowercase", ParsePlain<LowercaseNormalizer>},
    {"Strip", ParseStrip},
    {"Prepend", ParsePrepend},
    {"Replace", ParseReplace},
    {"StripAccents", ParseChars<StripAccent>},
    {"Nmt", ParseChars<RewriteNmt>},
    {"BertNormalizer", ParseBert},
    {"Precompiled", ParsePrecompiled},
    {"ByteLevel", ParsePlain<ByteLevelNormalizer>},
};

absl::Status ParseOne(const JsonValue& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
  for (const Row& row : kRows) {
    if (row.type == type) return row.parse(json, normalizers);
  }
  return json.Unsupported(absl::StrCat("heed has no normalizer \"", type, "\""));
}

}  // namespace

absl::StatusOr<Normalizers> ParseNormalizers(const JsonValue& json) {
  Normalizers normalizers;
  if (!json.IsNull()) HEED_RETURN_IF_ERROR(ParseOne(json, &normalizers));
  return normalizers;
}

absl::Status ApplyAll(const Normalizers& normalizers, PieceList* list) {
  for (const auto& normalizer : normalizers) HEED_RETURN_IF_ERROR(normalizer->Apply(list));
  return absl::OkStatus();
}

absl::Status RewriteAsByteLevel(PieceList* list) {
  size_t bytes = 0;
  for (const char c : list->text.text()) {
    bytes += ByteLevelChar(static_cast<unsigned char>(c)).size();
  }
  return RewritePieces(
      [](const AlignedText& in, const Piece& piece, AlignedText* out) {
        for (size_t i = piece.begin; i < piece.end; ++i) {
          out->Append(ByteLevelChar(static_cast<unsigned char>(in.text()[i])), in.origin(i));
        }
        return absl::OkStatus();
      },
      bytes, list);
}

void AppendPrefixed(const AlignedText& in, const Piece& piece, absl::string_view prefix,
                    AlignedText* out) {
  out->Append(prefix, in.origin(piece.begin));
  out->AppendRange(in, piece.begin, piece.end);
}

}  // namespace heed
