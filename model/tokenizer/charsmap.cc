#include "model/tokenizer/charsmap.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"
#include "model/tokenizer/unicode.h"

namespace heed {
namespace {

constexpr size_t kHeaderBytes = 4;
constexpr size_t kUnitBytes = 4;
constexpr size_t kLongestClusterBytes = 5;

uint32_t ReadLittleEndian(absl::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < kUnitBytes; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

// The fields of a unit of the double array.
bool HasLeaf(uint32_t unit) {
  return (unit >> 8 & 1) != 0;
}
uint32_t Label(uint32_t unit) {
  return unit & (uint32_t{1} << 31 | 0xFF);
}
uint32_t Offset(uint32_t unit) {
  return (unit >> 10) << ((unit & uint32_t{1} << 9) >> 6);
}
uint32_t Value(uint32_t unit) {
  return unit & ((uint32_t{1} << 31) - 1);
}

class CharsmapNormalizer : public Normalizer {
 public:
  explicit CharsmapNormalizer(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

  absl::Status Apply(PieceList* list) const override {
    return RewritePieces(
        [this](const AlignedText& in, const Piece& piece, AlignedText* out) {
          for (size_t at = piece.begin; at < piece.end;) {
            const absl::string_view rest = in.text().substr(at, piece.end - at);
            const size_t bytes = GraphemeClusterBytes(rest);
            Rewrite(in, at, at + bytes, out);
            at += bytes;
          }
          return absl::OkStatus();
        },
        list);
  }

 private:
  void Rewrite(const AlignedText& in, size_t begin, size_t end, AlignedText* out) const {
    if (end - begin <= kLongestClusterBytes && Replace(in, begin, end, out)) return;
    for (size_t at = begin; at < end;) {
      const size_t next = at + DecodeValidUtf8(in.text().substr(at)).length;
      if (!Replace(in, at, next, out)) out->AppendRange(in, at, next);
      at = next;
    }
  }

  // The new characters come from the old ones in turn, and what is more from the last.
  bool Replace(const AlignedText& in, size_t begin, size_t end, AlignedText* out) const {
    const auto replacement = charsmap_.Find(in.text().substr(begin, end - begin));
    if (!replacement.has_value()) return false;
    size_t at = begin;
    for (absl::string_view rest = *replacement; !rest.empty();) {
      const size_t bytes = static_cast<size_t>(DecodeValidUtf8(rest).length);
      out->Append(rest.substr(0, bytes), in.origin(at));
      rest.remove_prefix(bytes);
      const size_t next = at + DecodeValidUtf8(in.text().substr(at)).length;
      if (next < end) at = next;
    }
    return true;
  }

  const Charsmap charsmap_;
};

}  // namespace

absl::StatusOr<Charsmap> Charsmap::Parse(absl::string_view blob) {
  if (blob.size() < kHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", blob.size(), " bytes; expected at least ", kHeaderBytes));
  }
  const size_t array_bytes = ReadLittleEndian(blob);
  blob.remove_prefix(kHeaderBytes);
  if (array_bytes > blob.size() || array_bytes % kUnitBytes != 0 || array_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("announces a double array of ", array_bytes,
                                                   " bytes where ", blob.size(),
                                                   " follow; expected a multiple of ", kUnitBytes));
  }
  Charsmap charsmap;
  for (size_t at = 0; at < array_bytes; at += kUnitBytes) {
    charsmap.units_.push_back(ReadLittleEndian(blob.substr(at)));
  }
  charsmap.replacements_ = std::string(blob.substr(array_bytes));
  if (!IsValidUtf8(charsmap.replacements_)) {
    return absl::InvalidArgumentError("has replacements that are not UTF-8");
  }
  return charsmap;
}

std::optional<absl::string_view> Charsmap::Find(absl::string_view text) const {
  size_t node = Offset(units_[0]);
  for (const char c : text) {
    const uint32_t byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || Label(units_[node]) != byte) return std::nullopt;
    const uint32_t unit = units_[node];
    node ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    const size_t begin = node < units_.size() ? Value(units_[node]) : replacements_.size();
    if (begin >= replacements_.size()) return std::nullopt;
    // A damaged map may point into a character.
    if ((static_cast<unsigned char>(replacements_[begin]) & 0xC0) == 0x80) return std::nullopt;
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return absl::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

std::unique_ptr<Normalizer> NewCharsmapNormalizer(Charsmap charsmap) {
  return std::make_unique<CharsmapNormalizer>(std::move(charsmap));
}

}  // namespace heed
