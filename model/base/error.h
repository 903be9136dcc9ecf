// Errors that programs can act on: a canonical code, a message for people, and a stable reason with
// the values behind it. The details ride on absl::Status as a payload; server/status turns them
// into google.rpc.ErrorInfo and BadRequest.
#ifndef HEED_MODEL_BASE_ERROR_H_
#define HEED_MODEL_BASE_ERROR_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace heed {

// One wrong field of a request, by its path ("sampling.top_p", "positions[3]").
struct FieldViolation {
  std::string field;
  std::string description;
};

struct ErrorDetails {
  std::string reason;  // UPPER_SNAKE_CASE; never changes once published
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<FieldViolation> violations;
};

// A status with a reason. `message` says what was wrong, with the value, and what would be right.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       std::vector<std::pair<std::string, std::string>> metadata = {});

// INVALID_ARGUMENT (reason INVALID_FIELD) whose message lists every violation. `violations` must
// not be empty.
absl::Status InvalidFields(std::vector<FieldViolation> violations);

// `status` with `prefix` and ": " before its message; code and details stay.
absl::Status Annotate(const absl::Status& status, absl::string_view prefix);

// The details of a status made here; for any other status, a reason named after its code and
// nothing else.
ErrorDetails GetErrorDetails(const absl::Status& status);

}  // namespace heed

#endif  // HEED_MODEL_BASE_ERROR_H_
