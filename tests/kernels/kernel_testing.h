// Seeded matrices and the backends to compare, for the kernel tests.
#ifndef HEED_TESTS_KERNELS_KERNEL_TESTING_H_
#define HEED_TESTS_KERNELS_KERNEL_TESTING_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"

namespace heed {

// A matrix that owns its values.
struct Matrix {
  int64_t rows, cols;
  std::vector<float> values;

  Matrix(int64_t r, int64_t c) : rows(r), cols(c), values(r * c, 0.0f) {}
  MatrixRef ref() { return {values.data(), rows, cols}; }
  ConstMatrixRef ref() const { return {values.data(), rows, cols}; }
};

inline Matrix RandomMatrix(int64_t rows, int64_t cols, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Matrix m(rows, cols);
  for (float& v : m.values) v = scale * normal(generator);
  return m;
}

// The fast backend at every instruction set that this machine has.
inline std::vector<const Backend*> FastBackends() {
  std::vector<const Backend*> backends;
  for (int isa = 0; isa <= static_cast<int>(DetectCpu().isa); ++isa) {
    backends.push_back(BackendFor(static_cast<Isa>(isa)));
  }
  return backends;
}

inline double MaxDifference(absl::Span<const float> a, absl::Span<const float> b) {
  double max = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(double{a[i]} - double{b[i]});
    if (!(difference <= max)) max = difference;  // a NaN ends up in max
  }
  return max;
}

inline bool SameBits(absl::Span<const float> a, absl::Span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace heed

#endif  // HEED_TESTS_KERNELS_KERNEL_TESTING_H_
