// Layers, heads and positions as callers name them, resolved and checked.
#ifndef HEED_MODEL_INSPECT_SELECTION_H_
#define HEED_MODEL_INSPECT_SELECTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/error.h"
#include "model/inspect/intervention.h"

namespace heed {

// Collects what is wrong with a selection, so that one answer names it all.
class SelectionErrors {
 public:
  // `description` continues a sentence that begins with the field's path.
  void Violation(absl::string_view field, absl::string_view description);
  // For what is not INVALID_ARGUMENT; the first is kept.
  void Error(const absl::Status& status) {
    ++errors_;
    if (error_.ok()) error_ = status;
  }

  int64_t count() const { return violations_ + errors_; }
  // INVALID_ARGUMENT with every violation, or else the error, or OK.
  absl::Status ToStatus() const;

 private:
  static constexpr int64_t kMaxKept = 16;

  std::vector<FieldViolation> kept_;
  int64_t violations_ = 0;
  int64_t errors_ = 0;
  absl::Status error_;
};

// In [-count, count), negative values from the end; ascending without repeats. Empty: all.
std::vector<int> ResolveIndices(const std::string& field, absl::Span<const int> values, int count,
                                SelectionErrors* errors);

// The positions of spans of `count`, ascending without repeats. Nothing in it where there is none.
// Takes no more memory than the spans and `count` positions, however much the spans overlap.
std::vector<int64_t> ResolveSpans(const std::string& field, absl::Span<const PositionSpan> spans,
                                  int64_t count, SelectionErrors* errors);

// Positions [begin, end) of a prompt.
struct ResolvedSpan {
  int64_t begin, end;
};

// The positions of one span; none, with an error, unless it lies within `count` positions and is
// not empty.
ResolvedSpan ResolveSpan(const std::string& field, const PositionSpan& span, int64_t count,
                         SelectionErrors* errors);

// "1 token", "2 tokens".
std::string CountTokens(int64_t n);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_SELECTION_H_
