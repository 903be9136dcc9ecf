// The rules of which file may include what: dependencies between folders point one way, and a
// third-party header appears in the fewest files that can hold it.
#ifndef HEED_TESTS_LAYERING_INCLUDE_RULES_H_
#define HEED_TESTS_LAYERING_INCLUDE_RULES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed {

// What `source`, the text of the file at `path` (from the repository's root), includes against the
// rules; one sentence for each.
std::vector<std::string> FindViolations(const std::string& path, absl::string_view source);

// The path between the quotes or brackets of an #include line; empty for any other line.
absl::string_view IncludedPath(absl::string_view line);

}  // namespace heed

#endif  // HEED_TESTS_LAYERING_INCLUDE_RULES_H_
