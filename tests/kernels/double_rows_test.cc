#include "model/kernels/double_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
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

// Of rows that are wider than what counts of them.
TEST_P(DoubleRowsTest, RowsAreMixedIntoWhatIsThere) {
  for (int64_t n : Lengths()) {
    const int64_t stride = n + n % 3;
    for (int64_t n_rows : {0, 1, 2, 12}) {
      const auto values = Random<double>(n_rows * stride, static_cast<uint32_t>(n));
      const auto weights = Random<double>(n_rows, 3), before = Random<double>(n + 1, 4);
      std::vector<double> sums = before;
      rows().add_mix(values.data(), n_rows, stride, n, weights.data(), sums.data());
      for (int64_t i = 0; i < n; ++i) {
        double sum = before[i];
        for (int64_t r = 0; r < n_rows; ++r) sum += values[r * stride + i] * weights[r];
        ASSERT_EQ(sums[i], sum) << n_rows << " rows of " << n << ", " << i;
      }
      EXPECT_EQ(sums[n], before[n]) << "of " << n;
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

// Weights of which some are 0, single ones and eight together; the last `n_behind` are, too.
std::vector<float> WeightRow(int64_t n, int64_t n_behind, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> value;
  std::vector<float> weights(n);
  for (int64_t i = 0; i < n - n_behind; ++i) {
    const bool is_zero = i / 8 % 3 == 1 || random() % 4 == 0;
    weights[i] = is_zero ? 0 : value(random) / static_cast<float>(n);
  }
  return weights;
}

TEST_P(DoubleRowsTest, WeightsAreSummedInEightParts) {
  for (int64_t n : Lengths()) {
    for (const int64_t query : {int64_t{0}, n / 2, n - 1}) {
      const auto weights = WeightRow(n, n - 1 - query, static_cast<uint32_t>(n));
      std::vector<double> entropies, distances;
      double largest = 0;
      for (int64_t i = 0; i < n; ++i) {
        const double w = weights[i];
        entropies.push_back(w == 0 ? 0 : -(w * std::log(w)));
        distances.push_back(w * static_cast<double>(std::abs(query - i)));
        largest = std::max(largest, w);
      }
      const WeightSums sums = rows().weigh(weights.data(), n, query);
      const double entropy = InParts(entropies);
      EXPECT_NEAR(sums.entropy, entropy, 1e-15 * entropy) << n << ", " << query;
      EXPECT_EQ(sums.distance, InParts(distances)) << n << ", " << query;
      EXPECT_EQ(sums.largest, largest) << n << ", " << query;
      EXPECT_EQ(sums.entropy, PortableDoubleRows().weigh(weights.data(), n, query).entropy);
    }
  }
}

// Wherever in the vectors of a row it stands.
TEST_P(DoubleRowsTest, TheLargestWeightIsFoundAtEachPlace) {
  for (int64_t at = 0; at < 19; ++at) {
    std::vector<float> weights(19, 0.01f);
    weights[at] = 0.5f;
    EXPECT_EQ(rows().weigh(weights.data(), 19, 0).largest, 0.5) << at;
  }
}

TEST_P(DoubleRowsTest, PatternsAreMatchedInEightParts) {
  for (int64_t n : Lengths()) {
    const auto weights = WeightRow(n, n / 3, 6), pattern = Random<float>(n, 7);
    std::vector<double> matched, all, apart;
    for (int64_t i = 0; i < n; ++i) {
      const double w = weights[i], d = pattern[i];
      matched.push_back(w * d);
      all.push_back(w);
      apart.push_back(std::abs(w - d));
    }
    const PatternSums sums = rows().match(weights.data(), pattern.data(), n);
    EXPECT_EQ(sums.matched, InParts(matched)) << n;
    EXPECT_EQ(sums.all, InParts(all)) << n;
    EXPECT_EQ(sums.apart, InParts(apart)) << n;
  }
}

TEST_P(DoubleRowsTest, RowsDivergeByBothOfTheirParts) {
  const auto part = [](double p, double q) { return p == 0 ? 0 : p * std::log(p / ((p + q) / 2)); };
  for (int64_t n : Lengths()) {
    const auto p = WeightRow(n, n / 3, 8), q = WeightRow(n, n / 2, 9);
    double sum = 0, size = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += part(p[i], q[i]) + part(q[i], p[i]);
      size += std::abs(part(p[i], q[i])) + std::abs(part(q[i], p[i]));
    }
    const double found = rows().diverge(p.data(), q.data(), n);
    EXPECT_NEAR(found, sum, 1e-15 * size) << n;
    EXPECT_EQ(found, PortableDoubleRows().diverge(p.data(), q.data(), n)) << n;
    EXPECT_EQ(rows().diverge(p.data(), p.data(), n), 0) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, DoubleRowsTest, AllIsas(), IsaTestName);

}  // namespace
}  // namespace heed
