#include "client/cli/explore/explore_terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/base/terminal.h"
#include "client/cli/explore/explore_view.h"

namespace heed::cli {
namespace {

constexpr int kEscapeMilliseconds = 30;  // how long the rest of an escape sequence may take

// Keys one by one and unseen, on a screen of its own, while it lives.
class RawScreen {
 public:
  explicit RawScreen(std::ostream& out) : out_(out) {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    out_ << "\x1b[?1049h\x1b[?25l" << std::flush;
  }
  ~RawScreen() {
    out_ << "\x1b[?25h\x1b[?1049l" << std::flush;
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawScreen(const RawScreen&) = delete;
  RawScreen& operator=(const RawScreen&) = delete;

  // From the top, without a blank moment in between.
  void Draw(const std::vector<std::string>& lines) {
    std::string text = "\x1b[H";
    for (size_t i = 0; i < lines.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : "\r\n", lines[i], "\x1b[K");
    }
    out_ << text << "\x1b[J" << std::flush;
  }

 private:
  std::ostream& out_;
  termios before_ = {};
};

int resize_pipe[2] = {-1, -1};

void OnResize(int) {
  const int saved_errno = errno;
  (void)!write(resize_pipe[1], "w", 1);
  errno = saved_errno;
}

// Says through a pipe that the window has another size, whichever thread the signal comes to and
// whenever, while it lives. One at a time.
class WindowWatch {
 public:
  WindowWatch() {
    if (pipe2(resize_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;  // the next key draws it anew
    struct sigaction action = {};
    action.sa_handler = OnResize;
    action.sa_flags = SA_RESTART;
    sigaction(SIGWINCH, &action, &before_);
  }
  ~WindowWatch() {
    if (fd() < 0) return;
    sigaction(SIGWINCH, &before_, nullptr);
    for (int& end : resize_pipe) close(std::exchange(end, -1));
  }
  WindowWatch(const WindowWatch&) = delete;
  WindowWatch& operator=(const WindowWatch&) = delete;

  int fd() const { return resize_pipe[0]; }

  // Forgets what it said.
  void Clear() {
    char bytes[64];
    while (read(fd(), bytes, sizeof(bytes)) > 0) {
    }
  }

 private:
  struct sigaction before_ = {};
};

int TerminalHeight() {
  winsize size = {};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : 24;
}

// Reads the session on a thread of its own, and says through a pipe that there is something.
class ResponseReader {
 public:
  explicit ResponseReader(ExploreSession& explore) : explore_(explore) {
    if (pipe2(pipe_, O_CLOEXEC) != 0) pipe_[0] = pipe_[1] = -1;
    thread_ = std::thread([this] { ReadAll(); });
  }
  ~ResponseReader() {
    explore_.Cancel();
    thread_.join();
    close(pipe_[0]);
    close(pipe_[1]);
  }
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  int fd() const { return pipe_[0]; }

  // The next response that has come; nullopt when there is none, an error at the end.
  absl::StatusOr<std::optional<v1::ExploreResponse>> Take() {
    char byte = 0;
    (void)!read(pipe_[0], &byte, 1);
    absl::MutexLock lock(&mutex_);
    if (ready_.empty()) {
      if (!end_.ok()) return end_;
      return std::optional<v1::ExploreResponse>();
    }
    std::optional<v1::ExploreResponse> response = std::move(ready_.front());
    ready_.pop_front();
    return response;
  }

 private:
  void ReadAll() {
    for (bool goes_on = true; goes_on;) {
      auto response = explore_.Read();
      {
        absl::MutexLock lock(&mutex_);
        goes_on = response.ok() && response->has_value();
        if (goes_on) {
          ready_.push_back(**std::move(response));
        } else {
          end_ = response.ok() ? absl::UnavailableError("the session is over") : response.status();
        }
      }
      (void)!write(pipe_[1], "r", 1);
    }
  }

  ExploreSession& explore_;
  int pipe_[2] = {-1, -1};
  absl::Mutex mutex_;
  std::deque<v1::ExploreResponse> ready_ ABSL_GUARDED_BY(mutex_);
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

bool HasInput(int milliseconds) {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, milliseconds) > 0;
}

// The next key; empty at the end of the input.
std::string ReadKey() {
  char byte = 0;
  if (read(STDIN_FILENO, &byte, 1) != 1) return "";
  std::string key(1, byte);
  if (byte != '\x1b') return key;
  while (key.size() < 8 && HasInput(kEscapeMilliseconds) && read(STDIN_FILENO, &byte, 1) == 1) {
    key += byte;
    const bool begins = key.size() == 2 && (byte == '[' || byte == 'O');
    if (!begins) break;
  }
  // Arrows of the keypad's application mode.
  if (key.size() == 3 && key[1] == 'O') key[1] = '[';
  return key;
}

}  // namespace

absl::Status RunExploreTerminal(const v1::ExploreRequest& request,
                                const v1::ExploreResponse& response, ExploreSession& explore,
                                Session& session) {
  ExploreView view(request, response);
  std::map<int64_t, absl::Time> sent;  // by sequence, those without an answer
  absl::Status status;
  ResponseReader reader(explore);
  WindowWatch window;
  RawScreen screen(session.out());
  while (status.ok()) {
    Terminal terminal = session.terminal();
    terminal.width = TerminalWidth(STDOUT_FILENO);
    screen.Draw(view.Render(terminal, TerminalHeight()));
    pollfd waits[] = {
        {STDIN_FILENO, POLLIN, 0}, {reader.fd(), POLLIN, 0}, {window.fd(), POLLIN, 0}};
    if (poll(waits, 3, -1) < 0) continue;  // a signal came
    if (waits[2].revents != 0) window.Clear();
    if (waits[1].revents != 0) {
      const auto news = reader.Take();
      status = news.status();
      if (status.ok() && news->has_value()) {
        const auto newest = sent.find((*news)->sequence());
        const double milliseconds =
            newest == sent.end() ? 0 : absl::ToDoubleMilliseconds(absl::Now() - newest->second);
        view.OnResponse(**news, milliseconds);
        sent.erase(sent.begin(), sent.upper_bound((*news)->sequence()));
      }
    }
    if (waits[0].revents == 0) continue;
    const std::string key = ReadKey();
    if (key.empty() || ExploreView::IsQuit(key)) break;
    v1::ExploreRequest asked = view.OnKey(key);
    if (!asked.has_edits() && !asked.has_hover()) continue;
    const auto sequence = explore.Send(std::move(asked));
    if (sequence.ok()) sent.emplace(*sequence, absl::Now());
  }
  return status;
}

}  // namespace heed::cli
