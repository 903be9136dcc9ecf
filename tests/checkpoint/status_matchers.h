// Matchers for the statuses that a checkpoint is refused with.
#ifndef HEED_TESTS_CHECKPOINT_STATUS_MATCHERS_H_
#define HEED_TESTS_CHECKPOINT_STATUS_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace heed {

inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr auto kNotFound = absl::StatusCode::kNotFound;
inline constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

inline const absl::Status& GetStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

// The code, and a part of the message.
MATCHER_P2(IsError, code, part, "") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code && status.message().find(part) != absl::string_view::npos;
}

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_STATUS_MATCHERS_H_
