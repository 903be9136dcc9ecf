// tokenizer.json writes its patterns for Oniguruma; PCRE2 reads a few of the same characters
// differently.
#ifndef HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
#define HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// The pattern in PCRE2's dialect (UTF, UCP, multi-line): \s, \S, \w and \W are spelled out as
// Unicode classes, so that they do not depend on PCRE2's version. UNIMPLEMENTED for what has no
// simple equivalent: set operations inside a class, \h, the flag m, and negated shorthands inside a
// class.
absl::StatusOr<std::string> ToPcre2Dialect(absl::string_view pattern);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
