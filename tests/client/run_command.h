// Runs one `heed` command in this process, as a test sees it.
#ifndef HEED_TESTS_CLIENT_RUN_COMMAND_H_
#define HEED_TESTS_CLIENT_RUN_COMMAND_H_

#include <sstream>
#include <string>
#include <vector>

#include "client/cli/app.h"

namespace heed::cli {

struct CommandOptions {
  std::string in;     // standard input
  Terminal terminal;  // of standard output
  TerminalVariables variables;
  CancelToken* cancel = nullptr;
};

struct CommandResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

inline CommandResult RunCommand(const std::string& server, const std::vector<std::string>& words,
                                const CommandOptions& options = {}) {
  std::istringstream in(options.in);
  std::ostringstream out;
  std::ostringstream err;
  Environment environment;
  environment.in = &in;
  environment.out = &out;
  environment.err = &err;
  environment.out_terminal = options.terminal;
  environment.variables = options.variables;
  environment.server = server;
  environment.cancel = options.cancel;
  const int exit_code = RunHeed(words, environment);
  return {exit_code, out.str(), err.str()};
}

}  // namespace heed::cli

#endif  // HEED_TESTS_CLIENT_RUN_COMMAND_H_
