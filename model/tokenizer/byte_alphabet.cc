#include "model/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "model/base/utf8.h"

namespace heed {
namespace {

constexpr char32_t kAlphabetEnd = 0x144;

// Printable bytes stand for themselves; the others get characters from U+0100 on, in order.
bool StandsForItself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

struct Alphabet {
  std::array<std::string, 256> chars;
  std::array<int16_t, kAlphabetEnd> bytes;  // -1: not in the alphabet

  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = StandsForItself(byte) ? byte : next++;
      AppendUtf8(c, &chars[byte]);
      bytes[c] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& GetAlphabet() {
  static const Alphabet* const alphabet = new Alphabet();
  return *alphabet;
}

}  // namespace

absl::string_view ByteLevelChar(unsigned char byte) {
  return GetAlphabet().chars[byte];
}

std::string SpelledBytes(absl::string_view piece) {
  std::string bytes;
  for (absl::string_view rest = piece; !rest.empty();) {
    const Utf8Char c = DecodeUtf8(rest);
    const int byte = c.code_point < kAlphabetEnd ? GetAlphabet().bytes[c.code_point] : -1;
    if (byte < 0) return std::string(piece);
    bytes.push_back(static_cast<char>(byte));
    rest.remove_prefix(c.length);
  }
  return bytes;
}

}  // namespace heed
