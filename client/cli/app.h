// The `heed` command, from its arguments to its exit code.
#ifndef HEED_CLIENT_CLI_APP_H_
#define HEED_CLIENT_CLI_APP_H_

#include <string>
#include <vector>

#include "client/cli/base/session.h"

namespace heed::cli {

enum ExitCode {
  kExitDone = 0,
  kExitServerError = 1,  // also: a file here could not be written, or the health is not SERVING
  kExitUsage = 2,
  kExitUnreachable = 3,
  kExitInterrupted = 130,
};

// Runs one command; `words` are the arguments after the program's name.
int RunHeed(const std::vector<std::string>& words, const Environment& environment);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_APP_H_
