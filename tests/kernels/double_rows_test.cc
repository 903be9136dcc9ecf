#include "model/kernels/double_rows.h"

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "model/kernels/sum_parts.h"
#include "tests/kernels/isa_testing.h"

namespace heed {
namespace {

// Of all lengths that a vector or several of them may leave a rest of, and of a model's width.
std::vector<int64_t> Lengths() {
  std::vector<int64_t> lengths;
  for (int64_t n = 1; n <= 70; ++n) lengths.push_back(n);
  for (int64_t n : {127, 128, 129, 192, 768, 771}) lengths.push_back(n);
  return lengths;
}

template <typename T>
std::vector<T> Random(int64_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> values;
  for (int64_t i = 0; i < size; ++i) values.push_back(static_cast<T>(normal(random)));
  return values;
}

double InParts(const std::vector<double>& terms) {
  double parts[kSumParts] = {};
  for (size_t i = 0; i < terms.size(); ++i) parts[i % kSumParts] += terms[i];
  double sum = parts[0];
  for (int64_t part = 1; part < kSumParts; ++part) sum += parts[part];
  return sum;
}

// Each instruction set that this machine has, against what the header says in so many words.
class DoubleRowsTest : public IsaTest {
 protected:
  const DoubleRows& rows() const { return DoubleRowsFor(GetParam()); }
};

TEST_P(DoubleRowsTest, RowsAreMixedInOrder) {
  for (int64_t n : Lengths()) {
    for (int64_t n_rows : {0, 1, 2, 12}) {
      const auto values = Random<float>(n_rows * n, static_cast<uint32_t>(n));
      const auto weights = Random<double>(n_rows, 3);
      std::vector<double> out(n + 1, 7);
      rows().mix(values.data(), n_rows, n, weights.data(), out.data());
      for (int64_t i = 0; i < n; ++i) {
        double sum = 0;
        for (int64_t r = 0; r < n_rows; ++r) sum += values[r * n + i] * weights[r];
        ASSERT_EQ(out[i], sum) << n_rows << " rows of " << n << ", " << i;
      }
      EXPECT_EQ(out[n], 7) << "of " << n;
    }
  }
}

TEST_P(DoubleRowsTest, WhatIsAddedIsAddedOnce) {
  for (int64_t n : Lengths()) {
    const auto x = Random<double>(n, 1), before = Random<double>(n + 1, 2);
    std::vector<double> sums = before;
    rows().add(x.data(), n, sums.data());
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(sums[i], before[i] + x[i]) << n << ", " << i;
    EXPECT_EQ(sums[n], before[n]);
  }
}

TEST_P(DoubleRowsTest, SumsAreMadeInEightParts) {
  for (int64_t n : Lengths()) {
    const auto x = Random<double>(n, 4);
    const auto y = Random<float>(n, 5);
    std::vector<double> squares, distances;
    for (int64_t i = 0; i < n; ++i) {
      squares.push_back(x[i] * x[i]);
      distances.push_back(std::abs(y[i] - x[i]));
    }
    EXPECT_EQ(rows().sum_squares(x.data(), n), InParts(squares)) << n;
    EXPECT_EQ(rows().distance(y.data(), x.data(), n), InParts(distances)) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, DoubleRowsTest, AllIsas(), IsaTestName);

}  // namespace
}  // namespace heed
