#include "model/tokenizer/char_normalizers.h"

#include "model/base/utf8.h"
#include "model/tokenizer/unicode.h"

namespace heed {
namespace {

size_t PrintableAsciiPrefix(absl::string_view text) {
  size_t size = 0;
  while (size < text.size() && text[size] >= ' ' && text[size] <= '~') ++size;
  return size;
}

class CharNormalizer : public Normalizer {
 public:
  explicit CharNormalizer(CharRewrite rewrite) : rewrite_(rewrite) {}

  absl::Status Apply(PieceList* list) const override {
    return RewritePieces(
        [this](const AlignedText& in, const Piece& piece, AlignedText* out) {
          for (size_t at = piece.begin; at < piece.end;) {
            const size_t kept = PrintableAsciiPrefix(in.text().substr(at, piece.end - at));
            out->AppendRange(in, at, at + kept);
            at += kept;
            if (at == piece.end) break;
            const Utf8Char c = DecodeValidUtf8(in.text().substr(at));
            rewrite_(c.code_point, {in, at, at + c.length}, out);
            at += c.length;
          }
          return absl::OkStatus();
        },
        list);
  }

 private:
  const CharRewrite rewrite_;
};

void Keep(const CharPlace& place, AlignedText* out) {
  out->AppendRange(place.in, place.begin, place.end);
}

void AppendSpace(const CharPlace& place, AlignedText* out) {
  out->Append(" ", place.in.origin(place.begin));
}

bool IsIn(char32_t c, char32_t first, char32_t last) {
  return c >= first && c <= last;
}

// As the reference has it: U+2B820 to U+2B91F are left out.
bool IsIdeograph(char32_t c) {
  if (c < 0x3400) return false;
  return IsIn(c, 0x4E00, 0x9FFF) || IsIn(c, 0x3400, 0x4DBF) || IsIn(c, 0x20000, 0x2A6DF) ||
         IsIn(c, 0x2A700, 0x2B81F) || IsIn(c, 0x2B920, 0x2CEAF) || IsIn(c, 0xF900, 0xFAFF) ||
         IsIn(c, 0x2F800, 0x2FA1F);
}

bool IsDroppedByNmt(char32_t c) {
  return IsIn(c, 0x1, 0x8) || c == 0xB || IsIn(c, 0xE, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

bool IsSpaceToNmt(char32_t c) {
  return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
         IsIn(c, 0x200B, 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == 0xFFFD;
}

}  // namespace

std::unique_ptr<Normalizer> NewCharNormalizer(CharRewrite rewrite) {
  return std::make_unique<CharNormalizer>(rewrite);
}

void StripAccent(char32_t c, const CharPlace& place, AlignedText* out) {
  if (c < 0x300 || !IsMark(c)) Keep(place, out);
}

void StripNonspacingMark(char32_t c, const CharPlace& place, AlignedText* out) {
  if (c < 0x300 || !IsNonspacingMark(c)) Keep(place, out);
}

void CleanBertText(char32_t c, const CharPlace& place, AlignedText* out) {
  if (c > ' ' && c < 0x7F) return Keep(place, out);
  if (c == '\t' || c == '\n' || c == '\r') return AppendSpace(place, out);
  if (c == 0xFFFD || IsOther(c)) return;
  if (IsWhitespace(c)) return AppendSpace(place, out);
  Keep(place, out);
}

void SpaceIdeograph(char32_t c, const CharPlace& place, AlignedText* out) {
  if (!IsIdeograph(c)) return Keep(place, out);
  AppendSpace(place, out);
  Keep(place, out);
  AppendSpace(place, out);
}

void RewriteNmt(char32_t c, const CharPlace& place, AlignedText* out) {
  if (IsDroppedByNmt(c)) return;
  if (IsSpaceToNmt(c)) return AppendSpace(place, out);
  Keep(place, out);
}

}  // namespace heed
