// Cutting a text where its script changes.
#ifndef HEED_MODEL_TOKENIZER_UNICODE_SCRIPTS_H_
#define HEED_MODEL_TOKENIZER_UNICODE_SCRIPTS_H_

#include <string>

namespace heed {

// A pattern whose matches are the runs of one script, as the step UnicodeScripts cuts them: Han,
// Hiragana and Katakana count as one, and spaces and characters without a script belong to the run
// before them. Scripts follow PCRE2's version of Unicode; those that Unicode 10 did not have are
// runs of their own characters.
std::string UnicodeScriptsPattern();

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_UNICODE_SCRIPTS_H_
