// The alphabet of byte-level tokenizers: one printable character for each byte, so that any bytes
// can be spelled.
#ifndef HEED_MODEL_TOKENIZER_BYTE_ALPHABET_H_
#define HEED_MODEL_TOKENIZER_BYTE_ALPHABET_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace heed {

// The character of a byte, in UTF-8: "a" for 'a', U+0120 for a space. One of 256 different ones, at
// most U+0143.
absl::string_view ByteLevelChar(unsigned char byte);

// The bytes that a piece spells, or the piece as it is when it has a character outside the
// alphabet.
std::string SpelledBytes(absl::string_view piece);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_BYTE_ALPHABET_H_
