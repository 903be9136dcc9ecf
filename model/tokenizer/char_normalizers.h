// Normalisation steps that look at one character at a time.
#ifndef HEED_MODEL_TOKENIZER_CHAR_NORMALIZERS_H_
#define HEED_MODEL_TOKENIZER_CHAR_NORMALIZERS_H_

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "model/tokenizer/aligned_text.h"
#include "model/tokenizer/normalizer.h"

namespace heed {

// A character of `in` at the bytes [begin, end).
struct CharPlace {
  const AlignedText& in;
  size_t begin;
  size_t end;
};

// Appends to `out` what becomes of the character `c` at `place`: nothing drops it. Printable ASCII
// stays as it is and is not asked about.
using CharRewrite = void (*)(char32_t c, const CharPlace& place, AlignedText* out);

std::unique_ptr<Normalizer> NewCharNormalizer(CharRewrite rewrite);

// Drops all marks.
void StripAccent(char32_t c, const CharPlace& place, AlignedText* out);
// Drops nonspacing marks.
void StripNonspacingMark(char32_t c, const CharPlace& place, AlignedText* out);
// BERT's cleaning: drops control, format, private and U+FFFD characters, and makes every
// whitespace a space.
void CleanBertText(char32_t c, const CharPlace& place, AlignedText* out);
// Puts spaces around ideographs.
void SpaceIdeograph(char32_t c, const CharPlace& place, AlignedText* out);
// The Nmt step: drops some control characters, and makes some others spaces.
void RewriteNmt(char32_t c, const CharPlace& place, AlignedText* out);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_CHAR_NORMALIZERS_H_
