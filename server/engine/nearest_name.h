// "Did you mean ...?"
#ifndef HEED_SERVER_ENGINE_NEAREST_NAME_H_
#define HEED_SERVER_ENGINE_NEAREST_NAME_H_

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// Insertions, deletions and replacements of a byte that turn `a` into `b` (Levenshtein 1966).
inline size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() +
                          1);  // distances of the current prefix of `a` to every prefix of `b`
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// The candidate that `name` is most likely a misspelling of; empty when none is near.
inline std::string NearestName(absl::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongestName = 64;
  if (name.size() > kLongestName) return "";
  const std::string* best = nullptr;
  size_t best_distance = name.size() / 3 + 2;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance >= best_distance) continue;
    best = &candidate;
    best_distance = distance;
  }
  return best == nullptr ? "" : *best;
}

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_NEAREST_NAME_H_
