// gRPC's statuses as Abseil's. Internal to the client.
#ifndef HEED_CLIENT_STATUS_H_
#define HEED_CLIENT_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace heed {
inline namespace client {

// The same code and message, each error detail as a payload under its type URL.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_STATUS_H_
