// tokenizer.json writes its patterns for Oniguruma; PCRE2 reads a few of the same characters
// differently.
#ifndef HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
#define HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// Whether PCRE2 takes sc:name for a script.
using IsScriptName = absl::FunctionRef<bool(absl::string_view name)>;

// The pattern in PCRE2's dialect (UTF, UCP, multi-line). \s, \w, \h and names of scripts are
// spelled so that they do not depend on PCRE2's version; classes inside classes and intersections
// become groups with look-ahead. INVALID_ARGUMENT for classes that are empty or have no end and for
// ranges that begin or end with a set such as \s; UNIMPLEMENTED for ranges that end with a class
// and for the flag s, which Oniguruma does not have.
absl::StatusOr<std::string> ToPcre2Dialect(absl::string_view pattern, IsScriptName is_script);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_REGEX_DIALECT_H_
