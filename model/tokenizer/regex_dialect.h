// tokenizer.json writes its patterns for Oniguruma; PCRE2 reads a few of the same characters
// differently.
#ifndef HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
#define HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// The pattern in PCRE2's dialect (UTF, UCP, multi-line). \s, \w and \h are spelled out as classes,
// so that they do not depend on PCRE2's version; classes inside classes and intersections become
// groups with look-ahead. INVALID_ARGUMENT for classes that are empty or have no end, UNIMPLEMENTED
// for the flag s, which Oniguruma does not have.
absl::StatusOr<std::string> ToPcre2Dialect(absl::string_view pattern);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
