// --estimate: what a call would take.
#ifndef HEED_CLIENT_CLI_REQUEST_ESTIMATE_H_
#define HEED_CLIENT_CLI_REQUEST_ESTIMATE_H_

#include "absl/status/status.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "google/protobuf/message.h"

namespace heed::cli {

// --estimate.
OptionSpec EstimateOption();

// Asks EstimateCost about `request`, any request that it takes, and prints the answer.
// UNIMPLEMENTED for others.
absl::Status PrintEstimate(const google::protobuf::Message& request, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_ESTIMATE_H_
