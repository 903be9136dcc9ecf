#include "client/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "client/cli/app.h"

namespace heed::cli {
namespace {

constexpr char kInterrupted = 'i';
constexpr char kQuit = 'q';

// A handler can do little but write to a pipe; the guard's thread reads it.
int pipe_ends[2] = {-1, -1};
std::atomic<bool> was_interrupted{false};

void Send(char message) {
  while (write(pipe_ends[1], &message, 1) < 0 && errno == EINTR) {
  }
}

void OnSignal(int) {
  const int saved_errno = errno;
  if (was_interrupted.exchange(true)) _exit(kExitInterrupted);
  Send(kInterrupted);
  errno = saved_errno;
}

void WatchPipe(CancelToken* token) {
  char message = 0;
  while (message != kQuit) {
    const ssize_t count = read(pipe_ends[0], &message, 1);
    if (count == 1 && message == kInterrupted) {
      // Asked first: a call that Cancel() ends may be gone before the next line.
      const bool has_call = token->in_use();
      token->Cancel();
      if (!has_call) _exit(kExitInterrupted);
    }
    if (count == 0 || (count < 0 && errno != EINTR)) return;
  }
}

void SetHandler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard(CancelToken* token) {
  if (pipe(pipe_ends) != 0) return;  // Ctrl-C then ends the process, as without a guard
  was_interrupted = false;
  thread_ = std::thread(WatchPipe, token);
  SetHandler(OnSignal);
}

InterruptGuard::~InterruptGuard() {
  if (!thread_.joinable()) return;
  SetHandler(SIG_DFL);
  Send(kQuit);
  thread_.join();
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace heed::cli
