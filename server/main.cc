// heed-server: reads the command line, loads the models, serves until it is told to stop.
#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/base/cpu.h"
#include "model/kernels/backend.h"
#include "server/compute_plan.h"
#include "server/config.h"
#include "server/describe_model.h"
#include "server/engine/registry.h"
#include "server/listen_address.h"
#include "server/load_models.h"
#include "server/log.h"
#include "server/port_file.h"
#include "server/server.h"
#include "server/unknown_variables.h"
#include "server/wrap.h"
#include "server/wrong_usage.h"

namespace heed {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitWrongUsage = 2;
constexpr int kExitBySignal = 128;  // and the signal's number, as shells say it
constexpr size_t kHelpWidth = 84;

int Fail(int code, absl::string_view message) {
  std::fputs(Wrapped("heed-server: ", message, LineWidth(STDERR_FILENO)).c_str(), stderr);
  return code;
}

// Whether all of it could be written.
bool Print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return true;
  Fail(kExitFailed, absl::StrCat("cannot write the output: ", std::strerror(errno)));
  return false;
}

std::string ReadyLine(const ServerConfig& config, const Registry& registry, int port,
                      absl::Duration took, const CpuFacts& cpu) {
  const std::string host = config.listen.substr(0, config.listen.rfind(':'));
  const size_t n = registry.models().size();
  const std::string names =
      absl::StrJoin(registry.models(), ", ",
                    [](std::string* out, const auto& model) { absl::StrAppend(out, model->name); });
  return absl::StrFormat("heed-server ready on %s:%d in %.2f s: %d %s (%s), %d %s, %s", host, port,
                         absl::ToDoubleSeconds(took), n, n == 1 ? "model" : "models", names,
                         config.threads, config.threads == 1 ? "thread" : "threads",
                         cpu.Instructions());
}

// SIGTERM and SIGINT, which a thread of its own waits for: every thread started after this one
// leaves them to it. Until HasStarted is called the first one ends the process at once; then the
// first one is for Wait, and a second one ends the process. (The default action would not, when
// this is the first process of a container.)
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::thread([this] { Receive(); }).detach();
  }

  void HasStarted() { ends_at_once_ = false; }

  // Returns the first signal.
  int Wait() {
    received_.WaitForNotification();
    return first_;
  }

 private:
  int Next() const {
    int signal = 0;
    while (sigwait(&signals_, &signal) != 0) {
    }
    return signal;
  }

  void Receive() {
    first_ = Next();
    if (ends_at_once_) _exit(kExitBySignal + first_);
    received_.Notify();
    _exit(kExitBySignal + Next());
  }

  sigset_t signals_;
  std::atomic<bool> ends_at_once_ = true;
  int first_ = 0;
  absl::Notification received_;
};

int Serve(ServerConfig config) {
  const absl::Time start = absl::Now();
  SetUpLog(config);
  if (const std::string warning = UnknownVariablesWarning(ProcessVariables()); !warning.empty()) {
    LogWarning(warning);
  }
  std::signal(SIGPIPE, SIG_IGN);
  static auto& stop = *new StopSignals;
  // Loading takes long: what can be known to fail does so before.
  for (const absl::Status& status :
       {CheckPortFile(config.port_file), CheckListenAddress(config.listen)}) {
    if (!status.ok()) return Fail(kExitFailed, status.message());
  }
  const absl::StatusOr<ComputePlan> plan = PlanCompute(config, DetectCpu());
  if (!plan.ok()) return Fail(kExitWrongUsage, absl::StrCat("--isa: ", plan.status().message()));
  const absl::Status held = BackendNamed(config.isa).status();
  if (!held.ok()) return Fail(kExitFailed, held.message());
  LogInfo(plan->reason);
  if (!plan->warning.empty()) LogWarning(plan->warning);
  config.threads = plan->threads;
  omp_set_num_threads(config.threads);  // of this thread, which packs the weights
  const absl::StatusOr<LoadedModels> loaded = LoadModels(config, LogInfo);
  if (!loaded.ok()) {
    return Fail(IsWrongUsage(loaded.status()) ? kExitWrongUsage : kExitFailed,
                loaded.status().message());
  }
  for (const std::string& warning : loaded->warnings) LogWarning(warning);
  for (const std::string& note : loaded->notes) LogInfo(note);

  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(config, loaded->registry);
  if (!server.ok()) return Fail(kExitFailed, server.status().message());
  const int port = (*server)->port();
  const absl::Status written = WritePortFile(config.port_file, port);
  if (!written.ok()) return Fail(kExitFailed, written.message());
  const std::string ready =
      ReadyLine(config, loaded->registry, port, absl::Now() - start, plan->cpu);
  std::printf("%s\n", ready.c_str());
  std::fflush(stdout);
  stop.HasStarted();

  const int signal = stop.Wait();
  LogInfo(absl::StrCat(
      "stopping on signal ", signal, "; calls ",
      config.drain_timeout > absl::ZeroDuration()
          ? absl::StrCat("have ", absl::FormatDuration(config.drain_timeout), " to end")
          : "end now"));
  const int64_t ended = (*server)->Shutdown(config.drain_timeout);
  if (ended > 0) {
    LogWarning(absl::StrCat(ended, ended == 1 ? " call was" : " calls were", " ended early"));
  }
  const SchedulerStats stats = (*server)->stats();
  LogInfo(absl::StrCat("stopped; ", stats.prompt_tokens, " tokens of prompts were computed, ",
                       stats.cached_tokens, " came from the prefix cache, ", stats.generated_tokens,
                       " were generated, ", stats.accepted_tokens, " of them from ",
                       stats.draft_tokens, " drafts, in ", stats.steps, " steps"));
  return 0;
}

int Describe(const CommandLine& line) {
  const auto description = DescribeModel(line.describe, LoadOptionsOf(line.config));
  if (!description.ok()) {
    return Fail(kExitFailed, absl::StrCat(line.describe, ": ", description.status().message()));
  }
  const std::string text = line.describe_json
                               ? DescriptionJson(*description)
                               : DescriptionText(*description, LineWidth(STDOUT_FILENO));
  return Print(text) && description->servable() ? 0 : kExitFailed;
}

// A standard stream that was closed would give its number to the next file or socket, to which the
// log would go. What takes the place refuses to be read or written, as a closed one does.
void FillMissingStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int Main(absl::Span<const std::string> args) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(args, ProcessEnvironment);
  if (!line.ok()) return Fail(kExitWrongUsage, line.status().message());
  switch (line->action) {
    case CommandLine::Action::kShowHelp:
      return Print(HelpText(std::min(kHelpWidth, LineWidth(STDOUT_FILENO)))) ? 0 : kExitFailed;
    case CommandLine::Action::kShowVersion:
      return Print("heed-server " HEED_VERSION "\n") ? 0 : kExitFailed;
    case CommandLine::Action::kDescribe:
      return Describe(*line);
    case CommandLine::Action::kServe:
      return Serve(line->config);
  }
  return kExitFailed;
}

}  // namespace
}  // namespace heed

int main(int argc, char** argv) {
  heed::FillMissingStreams();
  return heed::Main(std::vector<std::string>(argv + 1, argv + argc));
}
