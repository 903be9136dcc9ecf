// Environment variables that look like settings of heed-server and are none.
#ifndef HEED_SERVER_UNKNOWN_VARIABLES_H_
#define HEED_SERVER_UNKNOWN_VARIABLES_H_

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace heed {

// A warning that names those of `variables` (NAME=value) that begin with HEED_ and that no program
// of heed reads, each with the nearest name that one does; empty when there is none. What
// Kubernetes says of a service that is called heed, and variables without a value, are left out.
std::string UnknownVariablesWarning(absl::Span<const std::string> variables);

// The process's own variables.
std::vector<std::string> ProcessVariables();

}  // namespace heed

#endif  // HEED_SERVER_UNKNOWN_VARIABLES_H_
