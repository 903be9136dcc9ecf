// Logits for tests, the same on every machine.
#ifndef HEED_TESTS_GENERATE_RANDOM_LOGITS_H_
#define HEED_TESTS_GENERATE_RANDOM_LOGITS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "model/generate/philox.h"

namespace heed {

// Uniform in [0, 1).
inline double Uniform(uint64_t stream, uint64_t index) {
  return static_cast<double>(RandomBits(stream, index) >> 11) * 0x1p-53;
}

// `size` logits in [-range, range]. With `step` > 0 they are multiples of it, so that many are
// equal.
inline std::vector<float> RandomLogits(uint64_t stream, int64_t size, double range,
                                       double step = 0) {
  std::vector<float> logits(size);
  for (int64_t i = 0; i < size; ++i) {
    const double value = (2 * Uniform(stream, i) - 1) * range;
    logits[i] = static_cast<float>(step > 0 ? std::round(value / step) * step : value);
  }
  return logits;
}

}  // namespace heed

#endif  // HEED_TESTS_GENERATE_RANDOM_LOGITS_H_
