// Waiting for what another thread or process does.
#ifndef HEED_TESTS_INTEGRATION_EVENTUALLY_H_
#define HEED_TESTS_INTEGRATION_EVENTUALLY_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace heed {

// Waits until `done()` holds; false after a time that no working server needs.
template <typename Condition>
bool Eventually(const Condition& done) {
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (!done()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return true;
}

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_EVENTUALLY_H_
