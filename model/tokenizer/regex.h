// The regular expressions of tokenizer.json, on PCRE2. No other file knows PCRE2.
#ifndef HEED_MODEL_TOKENIZER_REGEX_H_
#define HEED_MODEL_TOKENIZER_REGEX_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

// A compiled pattern. Immutable; any number of threads may search with it at once, each with its
// own RegexSearch.
class Regex {
 public:
  // INVALID_ARGUMENT for a malformed pattern, with the place; UNIMPLEMENTED as ToPcre2Dialect.
  static absl::StatusOr<std::unique_ptr<Regex>> Compile(absl::string_view pattern);
  ~Regex();

 private:
  friend class RegexSearch;
  struct Code;
  Regex();
  std::unique_ptr<Code> code_;
};

// The working memory of one thread's searches. The regex must outlive it.
class RegexSearch {
 public:
  explicit RegexSearch(const Regex& regex);
  ~RegexSearch();

  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  // The first match in `text`, which must be valid UTF-8, at or after `from`, a character's
  // boundary. False when there is none. RESOURCE_EXHAUSTED when the search takes more steps or
  // memory than is granted to one match.
  absl::StatusOr<bool> Find(absl::string_view text, size_t from, Match* match);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_REGEX_H_
