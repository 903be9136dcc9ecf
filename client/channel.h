// The connection to a server. Internal to the client.
#ifndef HEED_CLIENT_CHANNEL_H_
#define HEED_CLIENT_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "grpcpp/channel.h"

namespace heed {
inline namespace client {

// A channel with heed's retry policy, message limits and keepalive; not yet connected.
// INVALID_ARGUMENT when the target is no host:port or an option out of range.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& target,
                                                           const ClientOptions& options);

// Waits until the first attempt to connect succeeds. UNAVAILABLE when it fails or takes longer than
// `timeout`.
absl::Status WaitForConnection(grpc::Channel& channel, const std::string& target,
                               absl::Duration timeout);

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_CHANNEL_H_
