// The command that shows a row of a page live.
#ifndef HEED_CLIENT_CLI_EXPLORE_EXPLORE_COMMAND_H_
#define HEED_CLIENT_CLI_EXPLORE_EXPLORE_COMMAND_H_

#include <string>

#include "client/cli/base/arguments.h"
#include "client/cli/request/run_source.h"
#include "heed/v1/inspection.pb.h"

namespace heed::cli {

// `heed explore --serve` of the row of a command that was given these arguments, to be pasted into
// a shell: the same prompt, model, server and edits.
std::string ExploreCommand(const Arguments& arguments, const RunSource& source,
                           const v1::ExplainRowResponse& row);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_EXPLORE_EXPLORE_COMMAND_H_
