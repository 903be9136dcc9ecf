#include "server/convert/indices.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "server/convert/attention.h"
#include "server/convert/request_limits.h"

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
  if (!CheckCount(field, values.size(), kMaxListed, violations)) return;
  for (int i = 0; i < values.size(); ++i) {
    if (values[i] >= -count && values[i] < count) continue;
    violations->AddElement(field, i, [&] {
      return absl::StrCat("is ", values[i], "; must be in [", -count, ", ", count - 1, "]");
    });
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
  Violations violations;
  if (!CheckCount(field, values.size(), std::max(kMaxListed, prompt_length), &violations)) {
    return violations.ToStatus();
  }
  std::vector<int64_t> resolved;
  resolved.reserve(values.size());
  for (int i = 0; i < values.size(); ++i) {
    const absl::StatusOr<int64_t> position = ResolvePosition(field, values[i], prompt_length);
    // Only an error needs the element's path.
    if (!position.ok()) {
      return ResolvePosition(Element(field, i), values[i], prompt_length).status();
    }
    resolved.push_back(*position);
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
