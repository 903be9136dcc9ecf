// Collects everything that is wrong with a request, so that one answer names it all.
#ifndef HEED_SERVER_CONVERT_VIOLATIONS_H_
#define HEED_SERVER_CONVERT_VIOLATIONS_H_

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/base/error.h"

namespace heed {

// Not thread-safe. Keeps the first kMaxKept violations and counts the rest: a list of a million
// wrong ids must not become a million texts.
class Violations {
 public:
  static constexpr int64_t kMaxKept = 16;

  // `field` is a path in the request such as "sampling.top_p"; `description` continues a sentence
  // that begins with it: "is 3; must be in (0, 1]".
  void Add(absl::string_view field, absl::string_view description) {
    ++count_;
    if (count_ <= kMaxKept) kept_.push_back({std::string(field), std::string(description)});
  }

  // The same of list[index], where most elements of a long list may be wrong: describe() is called
  // only for what is kept.
  template <typename Describe>
  void AddElement(absl::string_view list, int64_t index, const Describe& describe) {
    if (count_ < kMaxKept) {
      Add(absl::StrCat(list, "[", index, "]"), describe());
    } else {
      ++count_;
    }
  }

  bool empty() const { return count_ == 0; }

  // OK when nothing was added; else INVALID_ARGUMENT (INVALID_FIELD) naming all that were kept.
  absl::Status ToStatus() const {
    if (empty()) return absl::OkStatus();
    std::vector<FieldViolation> listed = kept_;
    if (count_ > kMaxKept) {
      absl::StrAppend(&listed.back().description, " (and ", count_ - kMaxKept,
                      " more wrong fields)");
    }
    return InvalidFields(std::move(listed));
  }

 private:
  std::vector<FieldViolation> kept_;
  int64_t count_ = 0;
};

// Adds a violation unless low <= value <= high. NaN is outside every range.
template <typename T>
void CheckInRange(absl::string_view field, T value, T low, T high, Violations* violations) {
  if (value >= low && value <= high) return;
  violations->Add(field, absl::StrCat("is ", value, "; must be in [", low, ", ", high, "]"));
}

// Adds a violation unless low < value <= high.
template <typename T>
void CheckAboveUpTo(absl::string_view field, T value, T low, T high, Violations* violations) {
  if (value > low && value <= high) return;
  violations->Add(field, absl::StrCat("is ", value, "; must be in (", low, ", ", high, "]"));
}

// Adds a violation when a list has more than `limit` elements. True when it may be read.
inline bool CheckCount(absl::string_view field, int64_t count, int64_t limit,
                       Violations* violations) {
  if (count <= limit) return true;
  violations->Add(field, absl::StrCat("has ", count, " elements; at most ", limit));
  return false;
}

// "name[index]".
inline std::string Element(absl::string_view name, int64_t index) {
  return absl::StrCat(name, "[", index, "]");
}

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_VIOLATIONS_H_
