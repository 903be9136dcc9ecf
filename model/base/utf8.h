// UTF-8 as the tokenizer and the wire need it.
#ifndef HEED_MODEL_BASE_UTF8_H_
#define HEED_MODEL_BASE_UTF8_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace heed {

// One character at the front of a text, or one maximal ill-formed part, which reads as U+FFFD.
struct Utf8Char {
  char32_t code_point = 0;
  int length = 0;  // bytes, at least 1
  bool valid = true;
};

// DecodeUtf8 for what does not begin with ASCII.
Utf8Char DecodeMultibyteUtf8(absl::string_view text);

// The first character of `text`, which must not be empty.
inline Utf8Char DecodeUtf8(absl::string_view text) {
  const unsigned char first = static_cast<unsigned char>(text[0]);
  return first < 0x80 ? Utf8Char{first, 1, true} : DecodeMultibyteUtf8(text);
}

// The same for `text` that is known to be well-formed UTF-8.
inline Utf8Char DecodeValidUtf8(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1, true};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3Fu), 2, true};
  const char32_t middle = (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  if (first < 0xF0) return {(first & 0xF) << 12 | middle, 3, true};
  return {(first & 7) << 18 | middle << 6 | (byte(3) & 0x3Fu), 4, true};
}

// Appends a code point (at most U+10FFFF, no surrogate).
void AppendUtf8(char32_t code_point, std::string* out);

// True when `text` is well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
bool IsValidUtf8(absl::string_view text);

// `text` with each maximal ill-formed part replaced by U+FFFD (Unicode 15, section 3.9,
// "substitution of maximal subparts": what Python's errors='replace' does).
std::string ReplaceInvalidUtf8(absl::string_view text);

// Length of the longest prefix of `text` that does not end inside a character that more bytes could
// still complete. Bytes that no continuation could repair count as complete, so this is at least
// size - 3.
size_t CompleteUtf8Prefix(absl::string_view text);

}  // namespace heed

#endif  // HEED_MODEL_BASE_UTF8_H_
