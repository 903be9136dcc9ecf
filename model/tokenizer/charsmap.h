// SentencePiece's precompiled normalisation: a map from short strings to their replacements.
#ifndef HEED_MODEL_TOKENIZER_CHARSMAP_H_
#define HEED_MODEL_TOKENIZER_CHARSMAP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/normalizer.h"

namespace heed {

// The map: a double array of 32-bit units, and the replacements, each up to a NUL.
class Charsmap {
 public:
  // `blob` is the number of bytes of the double array (32 bits, little-endian), that array, and the
  // replacements. INVALID_ARGUMENT when it is cut short, or its replacements are not UTF-8.
  static absl::StatusOr<Charsmap> Parse(absl::string_view blob);

  // What replaces `text`, not empty: the entry of the shortest of its prefixes that has one, as in
  // the reference; absent when none has.
  std::optional<absl::string_view> Find(absl::string_view text) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

// Replaces grapheme clusters of less than 6 bytes as a whole and others character by character.
std::unique_ptr<Normalizer> NewCharsmapNormalizer(Charsmap charsmap);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_CHARSMAP_H_
