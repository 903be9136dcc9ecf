// Errors that are a wrong command line's, which the exit code tells from others.
#ifndef HEED_SERVER_WRONG_USAGE_H_
#define HEED_SERVER_WRONG_USAGE_H_

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace heed {

inline constexpr char kWrongUsagePayload[] = "heed/wrong-usage";

// INVALID_ARGUMENT.
inline absl::Status WrongUsage(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kWrongUsagePayload, absl::Cord());
  return status;
}

inline bool IsWrongUsage(const absl::Status& status) {
  return status.GetPayload(kWrongUsagePayload).has_value();
}

}  // namespace heed

#endif  // HEED_SERVER_WRONG_USAGE_H_
