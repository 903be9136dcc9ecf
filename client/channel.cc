#include "client/channel.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace heed {
inline namespace client {
namespace {

constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

// UNAVAILABLE only: any other code means that the server has seen the call. The throttle stops
// retries while most calls fail, so that clients do not keep a struggling server down.
std::string ServiceConfig(int max_attempts) {
  if (max_attempts < 2) return "{}";
  return absl::Substitute(
      R"({"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": $0, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]}}],
          "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}})",
      max_attempts);
}

bool IsLoopback(const std::string& target) {
  for (const char* prefix : {"localhost:", "127.", "[::1]:", "ipv4:127.", "ipv6:[::1]", "unix:"}) {
    if (absl::StartsWith(target, prefix)) return true;
  }
  return false;
}

grpc::ChannelArguments MakeArguments(const std::string& target, const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  const int max_bytes = static_cast<int>(options.max_message_bytes);
  arguments.SetMaxReceiveMessageSize(max_bytes);
  arguments.SetMaxSendMessageSize(max_bytes);
  arguments.SetServiceConfigJSON(ServiceConfig(options.max_attempts));
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, options.max_attempts > 1 ? 1 : 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // A proxy cannot reach this machine's own loopback, whatever the environment says.
  if (IsLoopback(target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (!options.user_agent.empty()) arguments.SetUserAgentPrefix(options.user_agent);
  return arguments;
}

absl::Status Validate(const std::string& target, const ClientOptions& options) {
  if (target.empty()) {
    return absl::InvalidArgumentError(
        "the server's address is empty; expected host:port, for example localhost:50051");
  }
  if (target.find(':') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the server's address \"", target,
                     "\" has no port; expected host:port, for example ", target, ":50051"));
  }
  for (const char* scheme : {"http://", "https://"}) {
    if (!absl::StartsWith(target, scheme)) continue;
    return absl::InvalidArgumentError(absl::StrCat("the server's address is \"", target,
                                                   "\"; expected host:port without ", scheme));
  }
  if (options.max_attempts < 1 || options.max_attempts > 5) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_attempts is ", options.max_attempts, "; expected 1 to 5"));
  }
  if (options.max_message_bytes < 1 ||
      options.max_message_bytes > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_message_bytes is ", options.max_message_bytes, "; expected 1 to 2147483647"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& target,
                                                           const ClientOptions& options) {
  if (absl::Status status = Validate(target, options); !status.ok()) return status;
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(),
                                   MakeArguments(target, options));
}

absl::Status WaitForConnection(grpc::Channel& channel, const std::string& target,
                               absl::Duration timeout) {
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  while (true) {
    const grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
      return absl::UnavailableError(absl::StrCat("no heed server answers at ", target));
    }
    if (!channel.WaitForStateChange(state, deadline)) {
      return absl::UnavailableError(absl::StrCat("no heed server answered at ", target, " within ",
                                                 absl::FormatDuration(timeout)));
    }
  }
}

}  // namespace client
}  // namespace heed
