// Hands the items of one piece of work after another to threads that wait for them.
#ifndef HEED_MODEL_KERNELS_TEAM_H_
#define HEED_MODEL_KERNELS_TEAM_H_

#include <atomic>
#include <cstdint>
#include <exception>

#include "absl/functional/function_ref.h"

namespace heed {

// One owner and any number of helpers, which may come late or never: the owner takes items too, and
// waits for no helper that has none in hand. Waiting threads look for some 20 us before they sleep.
class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // The owner's: calls fn(i) once for each i in [0, n), n below 2^32, in ascending order of their
  // beginning, on this thread and the helpers'. Returns when all are done. Throws what the first
  // item to fail has thrown; items that nobody has begun by then are left out.
  void Run(int64_t n, absl::FunctionRef<void(int64_t)> fn);

  // The owner's, once, at the end: lets the helpers go.
  void Dismiss();

  // A helper's: takes items of Run until Dismiss.
  void Help();

 private:
  void TakeItems();
  void RunItem(int64_t i);

  // Of the work in hand; stable while any of its items is not done.
  int64_t n_ = 0;
  const absl::FunctionRef<void(int64_t)>* fn_ = nullptr;
  std::exception_ptr error_;  // of the item that set failed_
  std::atomic<bool> failed_{false};
  std::atomic<bool> dismissed_{false};

  // Items that nobody has taken. Whoever takes one reads what to do afterwards: a helper that comes
  // late takes an item of whatever work is in hand by then.
  alignas(64) std::atomic<uint32_t> untaken_{0};
  alignas(64) std::atomic<uint32_t> undone_{0};
  alignas(64) std::atomic<uint32_t> round_{0};  // what helpers wait for: pieces of work so far
};

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TEAM_H_
