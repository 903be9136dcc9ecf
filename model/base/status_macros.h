// Early returns for absl::Status and absl::StatusOr, the only error channel between heed's folders.
#ifndef HEED_MODEL_BASE_STATUS_MACROS_H_
#define HEED_MODEL_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns the status of `expr` from the enclosing function unless it is OK.
#define HEED_RETURN_IF_ERROR(expr)               \
  do {                                           \
    absl::Status heed_status_ = (expr);          \
    if (!heed_status_.ok()) return heed_status_; \
  } while (false)

#define HEED_CONCAT_INNER_(a, b) a##b
#define HEED_CONCAT_(a, b) HEED_CONCAT_INNER_(a, b)

// Evaluates `expr`, a StatusOr<T>; on error returns its status, otherwise moves the value into
// `lhs`, which may be a declaration.
#define HEED_ASSIGN_OR_RETURN(lhs, expr) \
  HEED_ASSIGN_OR_RETURN_IMPL_(HEED_CONCAT_(heed_statusor_, __LINE__), lhs, expr)

#define HEED_ASSIGN_OR_RETURN_IMPL_(result, lhs, expr) \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = std::move(result).value()

#endif  // HEED_MODEL_BASE_STATUS_MACROS_H_
