// Layers, heads and positions from the wire, which may count from the end.
#ifndef HEED_SERVER_CONVERT_INDICES_H_
#define HEED_SERVER_CONVERT_INDICES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/repeated_field.h"
#include "server/convert/violations.h"

namespace heed {

using WireIndices = google::protobuf::RepeatedField<int32_t>;
using WirePositions = google::protobuf::RepeatedField<int64_t>;

// Adds a violation for each index outside [-count, count), or one for a list of more than
// kMaxListed.
void CheckIndices(absl::string_view field, const WireIndices& values, int count,
                  Violations* violations);

// Ascending, without repeats; empty: all of [0, count).
std::vector<int> ResolveIndices(const WireIndices& values, int count);

// A single index that passed its check.
inline int ResolveIndex(int value, int count) {
  return value < 0 ? value + count : value;
}

// Ascending, without repeats; what empty means is `fallback`. OUT_OF_RANGE (POSITION_OUT_OF_RANGE);
// INVALID_ARGUMENT for a list of more than kMaxListed, unless the prompt is longer and the list is
// not.
absl::StatusOr<std::vector<int64_t>> ResolvePositions(absl::string_view field,
                                                      const WirePositions& values,
                                                      int64_t prompt_length,
                                                      std::vector<int64_t> fallback);

// 0, 1, .. n - 1.
std::vector<int64_t> AllPositions(int64_t n);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_INDICES_H_
