#include "tests/tokenizer/sentencepiece_writer.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace heed {
namespace {

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Tag(int field, int wire_type) {
  return Varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire_type));
}

}  // namespace

std::string WireVarint(int field, uint64_t value) {
  return Tag(field, 0) + Varint(value);
}

std::string WireFloat(int field, float value) {
  char bytes[4];
  std::memcpy(bytes, &value, sizeof(value));
  return Tag(field, 5) + std::string(bytes, sizeof(bytes));
}

std::string WireBytes(int field, absl::string_view bytes) {
  return absl::StrCat(Tag(field, 2), Varint(bytes.size()), bytes);
}

std::string SentencePieceFile::Bytes() const {
  std::string file;
  for (const Piece& piece : pieces) {
    file += WireBytes(1, absl::StrCat(WireBytes(1, piece.text), WireFloat(2, piece.score),
                                      WireVarint(3, static_cast<uint64_t>(piece.kind))));
  }
  file += WireBytes(2, absl::StrCat(WireVarint(3, static_cast<uint64_t>(model_type)),
                                    WireVarint(35, byte_fallback ? 1 : 0)));
  std::string normalizer = WireBytes(1, "nmt_nfkc");
  if (!charsmap.empty()) normalizer += WireBytes(2, charsmap);
  absl::StrAppend(&normalizer, WireVarint(3, add_dummy_prefix ? 1 : 0),
                  WireVarint(4, remove_extra_whitespaces ? 1 : 0));
  return absl::StrCat(file, WireBytes(3, normalizer), more);
}

}  // namespace heed
