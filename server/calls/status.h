// The one place where an absl::Status becomes what a gRPC client sees.
#ifndef HEED_SERVER_CALLS_STATUS_H_
#define HEED_SERVER_CALLS_STATUS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"

namespace heed {

// ErrorInfo.domain of every error.
inline constexpr absl::string_view kErrorDomain = "heed";

// Longest message, in bytes; longer ones are cut at a character and end in "...".
inline constexpr size_t kMaxErrorMessageBytes = 1024;

// Bound of the serialised google.rpc.Status in the trailer: clients refuse more than 8 KiB of
// metadata, and base64 and percent-encoding make it grow.
inline constexpr size_t kMaxErrorDetailsBytes = 3072;

// Code and message, and in the trailer a google.rpc.Status whose details are ErrorInfo (always),
// BadRequest (when fields were wrong) and RetryInfo (for RESOURCE_EXHAUSTED with reason QUEUE_FULL,
// which goes away by waiting). A metadata entry "field" of the error is reported as a BadRequest
// violation too. Details beyond the bound are left out, last ones first.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace heed

#endif  // HEED_SERVER_CALLS_STATUS_H_
