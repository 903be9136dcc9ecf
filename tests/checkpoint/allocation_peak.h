// How much memory a piece of code holds at its worst. A program that links this counts every `new`.
#ifndef HEED_TESTS_CHECKPOINT_ALLOCATION_PEAK_H_
#define HEED_TESTS_CHECKPOINT_ALLOCATION_PEAK_H_

#include <cstdint>

namespace heed {

// One at a time.
class AllocationPeak {
 public:
  AllocationPeak();

  // The most that was allocated at once since construction, beyond what was allocated then.
  int64_t bytes() const;

 private:
  const int64_t before_;
};

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_ALLOCATION_PEAK_H_
