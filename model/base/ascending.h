// Looking things up in ascending lists.
#ifndef HEED_MODEL_BASE_ASCENDING_H_
#define HEED_MODEL_BASE_ASCENDING_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"

namespace heed {

// The place of `value` in a list of integers that ascends without repeats, or -1. Quick where few
// are missing between its first and `value`, as in lists of all heads or of consecutive positions.
template <typename T>
int64_t FindAscending(absl::Span<const T> list, T value) {
  if (list.empty() || value < list.front()) return -1;
  const int64_t farthest = std::min<int64_t>(value - list.front(), list.size() - 1);
  if (list[farthest] == value) return farthest;
  const auto found = std::lower_bound(list.begin(), list.begin() + farthest, value);
  return *found == value ? found - list.begin() : -1;
}

}  // namespace heed

#endif  // HEED_MODEL_BASE_ASCENDING_H_
