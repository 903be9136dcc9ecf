// Puts the ladder's questions to a server.
#ifndef HEED_CLIENT_CLI_LADDER_LADDER_CALLS_H_
#define HEED_CLIENT_CLI_LADDER_LADDER_CALLS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/cli/ladder/ladder.h"
#include "client/client.h"

namespace heed::cli {

struct LadderQuestion {
  std::vector<std::string> prompts;  // one or two, each with at most one mask
  int32_t top_k = 4;
  Truncation truncation = Truncation::kRefuse;
};

// Asks every rung every prompt at the same time, and returns when all have answered. What goes
// wrong with one of them is in its answer's status.
std::vector<RungReport> AskRungs(Client& client, const std::vector<Rung>& rungs,
                                 const LadderQuestion& question, const CallOptions& options);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_LADDER_LADDER_CALLS_H_
