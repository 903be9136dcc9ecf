// What cuts a text: a regular expression, a literal string, or a kind of character.
#ifndef HEED_MODEL_TOKENIZER_PATTERN_H_
#define HEED_MODEL_TOKENIZER_PATTERN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"

namespace heed {

// Bytes [begin, end) of a text.
struct Segment {
  uint32_t begin = 0;
  uint32_t end = 0;
  bool is_match = false;
};

// The working memory of one thread's use of a pattern.
class SegmentFinder {
 public:
  virtual ~SegmentFinder() = default;

  // Replaces `segments` by all of `text` (not empty, valid UTF-8), in order: matches, and what lies
  // between them. Matches may be empty, what lies between is not.
  virtual absl::Status Find(absl::string_view text, std::vector<Segment>* segments) = 0;
};

// Immutable.
class Pattern {
 public:
  virtual ~Pattern() = default;
  virtual std::unique_ptr<SegmentFinder> NewFinder() const = 0;
};

// Errors as Regex::Compile.
absl::StatusOr<std::unique_ptr<Pattern>> NewRegexPattern(absl::string_view regex);
// A string that is not empty.
std::unique_ptr<Pattern> NewLiteralPattern(absl::string_view literal);
// Each character of a kind on its own.
std::unique_ptr<Pattern> NewCharPattern(bool (*is_match)(char32_t));

// Every `n_chars` characters, and the rest at the end.
std::unique_ptr<Pattern> NewFixedLengthPattern(int64_t n_chars);

// {"Regex": "..."} or {"String": "..."}.
absl::StatusOr<std::unique_ptr<Pattern>> ParsePattern(const JsonValue& json);

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_PATTERN_H_
