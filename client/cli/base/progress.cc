#include "client/cli/base/progress.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace heed::cli {

std::string ProgressLine(const std::string& what, absl::Duration elapsed, double done_fraction,
                         int columns) {
  const double seconds = absl::ToDoubleSeconds(elapsed);
  std::string line = absl::StrFormat("%s … %.0f s (Ctrl-C cancels)", what, seconds);
  if (done_fraction > 0) {
    const double left = seconds * (1 - done_fraction) / done_fraction;
    line = absl::StrFormat("%s … %.0f %%, %.0f s, about %.0f s left (Ctrl-C cancels)", what,
                           100 * done_fraction, seconds, left);
  }
  return Fit(line, columns);
}

Progress::Progress(const Session& session, std::string what)
    : err_(session.err()), terminal_(session.err_terminal()), what_(std::move(what)) {
  if (terminal_.is_terminal) thread_ = std::thread([this] { Run(); });
}

void Progress::Update(double done_fraction) {
  absl::MutexLock lock(&mutex_);
  done_fraction_ = done_fraction;
}

void Progress::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Progress::Run() {
  absl::MutexLock lock(&mutex_);
  absl::Duration wait = absl::Seconds(1);
  bool shown = false;
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopped_), wait)) {
    // A line that wraps could not be wiped.
    err_ << "\r\033[K"
         << ProgressLine(what_, absl::Now() - start_, done_fraction_, terminal_.width - 1)
         << std::flush;
    shown = true;
    wait = absl::Milliseconds(200);
  }
  if (shown) err_ << "\r\033[K" << std::flush;
}

}  // namespace heed::cli
