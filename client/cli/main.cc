// The `heed` command.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/cli/app.h"
#include "client/cli/interrupt.h"

namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// What follows HEED_ in the names of the variables that begin so.
std::vector<std::string> HeedVariables() {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    absl::string_view text = *variable;
    if (absl::ConsumePrefix(&text, "HEED_")) names.emplace_back(text.substr(0, text.find('=')));
  }
  return names;
}

heed::cli::Terminal TerminalOf(int fd) {
  return {.is_terminal = heed::cli::IsTerminal(fd), .width = heed::cli::TerminalWidth(fd)};
}

// A standard stream that was closed would give its number to the next file or socket, to which the
// output would go. What takes the place refuses to be read or written, as a closed one does.
void FillMissingStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  FillMissingStreams();
  // gRPC's own log lines would stand between people and heed's messages.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // A reader that goes away (head, less) ends the command quietly through a failed write.
  signal(SIGPIPE, SIG_DFL);

  heed::CancelToken cancel;
  heed::cli::InterruptGuard interrupt(&cancel);
  heed::cli::Environment environment;
  environment.in = &std::cin;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  environment.out_terminal = TerminalOf(STDOUT_FILENO);
  environment.err_terminal = TerminalOf(STDERR_FILENO);
  environment.variables = {Variable("TERM"), Variable("COLORTERM"), Variable("NO_COLOR"),
                           Variable("COLORFGBG")};
  environment.server = Variable("HEED_SERVER");
  environment.heed_variables = HeedVariables();
  environment.cancel = &cancel;
  return heed::cli::RunHeed(std::vector<std::string>(argv + 1, argv + argc), environment);
}
