#include "model/tokenizer/normalizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/tokenizer/byte_alphabet.h"
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

  void Add(RewrittenChar c) {
    const Origin origin = c.change > 0 ? OriginBefore() : in_.origin(at_);
    for (int consumed = c.change; consumed <= 0 && at_ < end_; ++consumed) {
      at_ += DecodeUtf8(in_.text().substr(at_)).length;
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

 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    if (IsUnchanged(TextOf(in, piece))) return out->AppendRange(in, piece.begin, piece.end);
    RewriteCursor cursor(in, piece, out);
    Normalize(form_, TextOf(in, piece), [&cursor](RewrittenChar c) { cursor.Add(c); });
  }

 private:
  // ASCII is in every form.
  static bool IsUnchanged(absl::string_view text) {
    for (const char c : text) {
      if (static_cast<unsigned char>(c) >= 0x80) return false;
    }
    return true;
  }

  const NormalForm form_;
};

class LowercaseNormalizer : public PieceNormalizer {
 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    RewriteCursor cursor(in, piece, out);
    for (absl::string_view rest = TextOf(in, piece); !rest.empty();) {
      const Utf8Char c = DecodeUtf8(rest);
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
      const Utf8Char c = DecodeUtf8(in.text().substr(at));
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

class ByteLevelNormalizer : public PieceNormalizer {
 protected:
  void Rewrite(const AlignedText& in, const Piece& piece, AlignedText* out) const override {
    AppendByteLevel(in, piece, out);
  }
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

absl::Status ParseOne(const JsonNode& json, Normalizers* normalizers);

absl::Status ParseSequence(const JsonNode& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const JsonNode steps, json.Get("normalizers"));
  return steps.ForEachElement(
      [&](int64_t, const JsonNode& step) { return ParseOne(step, normalizers); });
}

absl::Status ParseStrip(const JsonNode& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const bool left, json.BoolAt("strip_left"));
  HEED_ASSIGN_OR_RETURN(const bool right, json.BoolAt("strip_right"));
  normalizers->push_back(std::make_unique<StripNormalizer>(left, right));
  return absl::OkStatus();
}

absl::Status ParsePrepend(const JsonNode& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view prefix, json.StringAt("prepend"));
  normalizers->push_back(std::make_unique<PrependNormalizer>(prefix));
  return absl::OkStatus();
}

absl::Status ParseReplace(const JsonNode& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const JsonNode pattern_json, json.Get("pattern"));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Pattern> pattern, ParsePattern(pattern_json));
  HEED_ASSIGN_OR_RETURN(const absl::string_view content, json.StringAt("content"));
  normalizers->push_back(std::make_unique<ReplaceNormalizer>(std::move(pattern), content));
  return absl::OkStatus();
}

template <NormalForm form>
absl::Status ParseForm(const JsonNode&, Normalizers* normalizers) {
  normalizers->push_back(std::make_unique<UnicodeNormalizer>(form));
  return absl::OkStatus();
}

template <typename T>
absl::Status ParsePlain(const JsonNode&, Normalizers* normalizers) {
  normalizers->push_back(std::make_unique<T>());
  return absl::OkStatus();
}

struct Row {
  absl::string_view type;
  absl::Status (*parse)(const JsonNode& json, Normalizers* normalizers);
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
    {"ByteLevel", ParsePlain<ByteLevelNormalizer>},
};

absl::Status ParseOne(const JsonNode& json, Normalizers* normalizers) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view type, json.StringAt("type"));
  for (const Row& row : kRows) {
    if (row.type == type) return row.parse(json, normalizers);
  }
  return json.Unsupported(absl::StrCat("heed has no normalizer \"", type, "\""));
}

}  // namespace

absl::StatusOr<Normalizers> ParseNormalizers(const JsonNode& json) {
  Normalizers normalizers;
  if (!json.is_null()) HEED_RETURN_IF_ERROR(ParseOne(json, &normalizers));
  return normalizers;
}

absl::Status ApplyAll(const Normalizers& normalizers, PieceList* list) {
  for (const auto& normalizer : normalizers) HEED_RETURN_IF_ERROR(normalizer->Apply(list));
  return absl::OkStatus();
}

void AppendByteLevel(const AlignedText& in, const Piece& piece, AlignedText* out) {
  for (size_t i = piece.begin; i < piece.end; ++i) {
    out->Append(ByteLevelChar(static_cast<unsigned char>(in.text()[i])), in.origin(i));
  }
}

void AppendPrefixed(const AlignedText& in, const Piece& piece, absl::string_view prefix,
                    AlignedText* out) {
  out->Append(prefix, in.origin(piece.begin));
  out->AppendRange(in, piece.begin, piece.end);
}

}  // namespace heed
