#include "model/kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace heed {
namespace {

// Of few values, so that many are equal.
std::vector<float> FewValues(int64_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> logits;
  for (int64_t i = 0; i < size; ++i) logits.push_back(static_cast<float>(random() % 7));
  return logits;
}

std::vector<double> Softmax(const std::vector<float>& logits) {
  std::vector<double> probabilities;
  for (float logit : logits) probabilities.push_back(std::exp(double{logit}));
  const double sum = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  for (double& p : probabilities) p /= sum;
  return probabilities;
}

TEST(LogitsTest, DivergenceIsThatOfTheSoftmaxes) {
  for (int64_t size : {1, 5, 64, 1003}) {
    const auto a = FewValues(size, 1), b = FewValues(size, 2);
    const auto p = Softmax(a), q = Softmax(b);
    double expected = 0;
    for (int64_t i = 0; i < size; ++i) expected += p[i] * std::log(p[i] / q[i]);
    EXPECT_NEAR(Divergence(a, SumSoftmax(a), b, SumSoftmax(b)), expected, 1e-14) << size;
    EXPECT_EQ(Divergence(a, SumSoftmax(a), a, SumSoftmax(a)), 0) << size;
  }
}

// What rounding makes of rows that are nearly the same.
TEST(LogitsTest, DivergenceIsNeverNegative) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const auto a = FewValues(300, seed);
    auto b = a;
    b[seed] = std::nextafter(b[seed], 9.0f);
    EXPECT_GE(Divergence(a, SumSoftmax(a), b, SumSoftmax(b)), 0) << seed;
  }
}

TEST(LogitsTest, TheFurthestApartComeInOrderAndEqualOnesByIndex) {
  for (int64_t size : {1, 5, 64, 1003}) {
    const auto a = FewValues(size, 3), b = FewValues(size, 4);
    const SoftmaxSums sums_a = SumSoftmax(a), sums_b = SumSoftmax(b);
    const auto p = Softmax(a), q = Softmax(b);
    std::vector<int32_t> expected(size);
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(), [&](int32_t i, int32_t j) {
      return std::abs(p[i] - q[i]) > std::abs(p[j] - q[j]) + 1e-12;
    });
    for (const int64_t count : {int64_t{0}, int64_t{1}, (size + 1) / 2, size}) {
      const std::vector<int32_t> first(expected.begin(), expected.begin() + count);
      EXPECT_EQ(FurthestApart(a, sums_a, b, sums_b, count), first) << count << " of " << size;
    }
  }
}

}  // namespace
}  // namespace heed
