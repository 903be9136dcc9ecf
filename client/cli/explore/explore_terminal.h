// `heed explore` in a terminal: keys in, a redrawn screen out.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_TERMINAL_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_TERMINAL_H_

#include "absl/status/status.h"
#include "client/cli/base/session.h"
#include "client/explore_session.h"

namespace heed::cli {

// Runs until a key ends it. `explore` was opened with `request` and answered `response`. Standard
// input and output are terminals, which are left as they were.
absl::Status RunExploreTerminal(const v1::ExploreRequest& request,
                                const v1::ExploreResponse& response, ExploreSession& explore,
                                Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_TERMINAL_H_
