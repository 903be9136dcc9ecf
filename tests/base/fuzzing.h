// Random damage to small files, the same in every run: for tests that whatever is read is refused
// with a reason or used without harm.
#ifndef HEED_TESTS_BASE_FUZZING_H_
#define HEED_TESTS_BASE_FUZZING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace heed {

class FuzzRandom {
 public:
  explicit FuzzRandom(uint64_t seed = 42) : state_(seed) {}

  // In [0, n).
  uint32_t operator()(size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % n);
  }

 private:
  uint64_t state_;
};

// The files of a folder below the repository's root, by name, so that every run has the same order.
std::vector<std::string> ReadSeeds(const std::string& folder);

// One of `seeds` with a few places changed: single bits and bytes, parts left out, doubled or taken
// from another seed, and one of the `words` that mean something to the parser put in.
std::string DamagedSeed(const std::vector<std::string>& seeds,
                        const std::vector<std::string>& words, FuzzRandom* random);

}  // namespace heed

#endif  // HEED_TESTS_BASE_FUZZING_H_
