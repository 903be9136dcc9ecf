#include "server/convert_indices.h"

#include <algorithm>
#include <numeric>

#include "model/base/status_macros.h"
#include "server/convert_attention.h"

namespace heed {
namespace {

template <typename T>
void SortUnique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

}  // namespace

void CheckIndices(absl::string_view field, const WireIndices& values, int count,
                  Violations* violations) {
  for (int i = 0; i < values.size(); ++i) {
    CheckInRange<int64_t>(Element(field, i), values[i], -count, count - 1, violations);
  }
}

std::vector<int> ResolveIndices(const WireIndices& values, int count) {
  std::vector<int> resolved;
  if (values.empty()) {
    resolved.resize(count);
    std::iota(resolved.begin(), resolved.end(), 0);
    return resolved;
  }
  for (int32_t value : values) resolved.push_back(ResolveIndex(value, count));
  SortUnique(resolved);
  return resolved;
}

absl::StatusOr<std::vector<int64_t>> ResolvePositions(absl::string_view field,
                                                      const WirePositions& values,
                                                      int64_t prompt_length,
                                                      std::vector<int64_t> fallback) {
  if (values.empty()) return fallback;
  std::vector<int64_t> resolved;
  for (int i = 0; i < values.size(); ++i) {
    HEED_ASSIGN_OR_RETURN(const int64_t position,
                          ResolvePosition(Element(field, i), values[i], prompt_length));
    resolved.push_back(position);
  }
  SortUnique(resolved);
  return resolved;
}

std::vector<int64_t> AllPositions(int64_t n) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

}  // namespace heed
