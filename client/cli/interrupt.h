// Ctrl-C as a cancel token.
#ifndef HEED_CLIENT_CLI_INTERRUPT_H_
#define HEED_CLIENT_CLI_INTERRUPT_H_

#include <thread>

#include "client/cancel_token.h"

namespace heed::cli {

// While it lives, the first SIGINT or SIGTERM cancels `token`, and a second one, or the first with
// no call to cancel, ends the process with exit code 130. One at a time.
class InterruptGuard {
 public:
  explicit InterruptGuard(CancelToken* token);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  std::thread thread_;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_INTERRUPT_H_
