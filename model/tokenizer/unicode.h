// The Unicode facts that tokenizers rest on. Everything that needs utf8proc is here, and its
// version of Unicode counts: for marks and punctuation the reference has tables of Unicode 8 to 9,
// and it sees later ones as other characters.
#ifndef HEED_MODEL_TOKENIZER_UNICODE_H_
#define HEED_MODEL_TOKENIZER_UNICODE_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace heed {

bool IsWhitespace(char32_t c);      // the property White_Space
bool IsWordChar(char32_t c);        // \w of UTS #18: alphabetic, mark, decimal digit, connector
                                    // punctuation, join control
bool IsNumeric(char32_t c);         // categories Nd, Nl, No
bool IsPunctuation(char32_t c);     // categories P*, and the ASCII symbols
bool IsMark(char32_t c);            // categories Mn, Mc, Me
bool IsNonspacingMark(char32_t c);  // category Mn
bool IsOther(char32_t c);           // categories Cc, Cf, Co, Cs: control, format, private

// Bytes of the extended grapheme cluster with which `text`, valid UTF-8 and not empty, begins.
size_t GraphemeClusterBytes(absl::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// One character of a rewritten text. `change` says how it relates to the text that is being read: 0
// takes the place of the next character, -n takes the place of the next character and n more, 1
// takes the place of none.
struct RewrittenChar {
  char32_t code_point;
  int change;
};
using RewriteSink = absl::FunctionRef<void(RewrittenChar)>;

// Whether valid UTF-8 is in a normal form, by a quick look: some that is may not be recognised.
bool IsNormalized(NormalForm form, absl::string_view text);

// Bytes of the longest beginning of `text` that is in a normal form whatever stands before and
// behind it, by the same quick look.
size_t NormalizedPrefix(NormalForm form, absl::string_view text);

// Bytes of a beginning of `text`, which is not empty, that can be brought into a normal form on its
// own, for a text without a NormalizedPrefix.
size_t SeparablePrefix(NormalForm form, absl::string_view text);

// Brings valid UTF-8 into a normal form. Marks that change order take their places in the order in
// which they end up.
void Normalize(NormalForm form, absl::string_view text, RewriteSink sink);

// The lower case of one character on its own: two characters for U+0130, else one.
void Lowercase(char32_t c, RewriteSink sink);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_UNICODE_H_
