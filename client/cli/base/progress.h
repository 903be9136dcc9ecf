// A line on standard error while something takes longer than a second.
#ifndef HEED_CLIENT_CLI_BASE_PROGRESS_H_
#define HEED_CLIENT_CLI_BASE_PROGRESS_H_

#include <ostream>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cli/base/session.h"

namespace heed::cli {

// The text of such a line, cut to `columns`: what is going on, how long already, and how far with
// the time left when `done_fraction` is in (0, 1].
std::string ProgressLine(const std::string& what, absl::Duration elapsed, double done_fraction,
                         int columns);

// Shows itself from one second after construction until Stop or destruction, which wipe the line;
// only when standard error is a terminal. Nothing else may write to the terminal meanwhile.
// Thread-safe.
class Progress {
 public:
  Progress(const Session& session, std::string what);
  ~Progress() { Stop(); }

  // How much is done, in [0, 1].
  void Update(double done_fraction);
  void Stop();

 private:
  void Run();

  std::ostream& err_;
  const Terminal& terminal_;
  const std::string what_;
  const absl::Time start_ = absl::Now();
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  double done_fraction_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_PROGRESS_H_
