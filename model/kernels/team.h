// Hands the items of one piece of work after another to threads that wait for them.
#ifndef HEED_MODEL_KERNELS_TEAM_H_
#define HEED_MODEL_KERNELS_TEAM_H_

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"

namespace heed {

// One owner, number 0, and helpers, which may come late or never: the owner waits for no helper
// that has no item in hand. Each begins with an equal share of the items, in ascending order, and
// goes on with what others have left of theirs, the last ones first. Who waits looks for some 250
// us before it sleeps.
class Team {
 public:
  // `threads`: the owner and its helpers; at least 1.
  explicit Team(int64_t threads);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // The owner's: calls fn(i) once for each i in [0, n), n below 2^31, on this thread and the
  // helpers'. Returns when all are done. Throws what the first item to fail has thrown; items that
  // nobody has begun by then are left out.
  void Run(int64_t n, absl::FunctionRef<void(int64_t)> fn);

  // The owner's, once, at the end: lets the helpers go.
  void Dismiss();

  // Of helper `index`, in [1, threads): takes items of Run until Dismiss.
  void Help(int64_t index);

 private:
  // The items [first, last) of one thread's that nobody has taken, in one word.
  class alignas(64) Share {
   public:
    void Fill(uint32_t first, uint32_t last);
    std::optional<uint32_t> TakeFirst();
    std::optional<uint32_t> TakeLast();

   private:
    std::atomic<uint64_t> left_{0};
  };

  void TakeItems(int64_t index);
  void RunItem(int64_t i);

  // Of the work in hand; stable while any of its items is not done.
  const absl::FunctionRef<void(int64_t)>* fn_ = nullptr;
  std::exception_ptr error_;  // of the item that set failed_
  std::atomic<bool> failed_{false};
  std::atomic<bool> dismissed_{false};

  // Whoever takes an item reads what to do afterwards: a helper that comes late takes one of
  // whatever work is in hand by then.
  std::vector<Share> shares_;  // of the threads
  alignas(64) std::atomic<uint32_t> undone_{0};
  alignas(64) std::atomic<uint32_t> round_{0};  // what helpers wait for: pieces of work so far
};

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TEAM_H_
