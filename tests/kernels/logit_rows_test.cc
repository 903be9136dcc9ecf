#include "model/kernels/logit_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/kernels/exp.h"
#include "model/kernels/sum_parts.h"
#include "tests/kernels/isa_testing.h"

namespace heed {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// In [-range, range]; with a step multiples of it, so that many are equal.
std::vector<float> RandomLogits(uint32_t seed, int64_t size, double range, double step) {
  std::mt19937 random(seed);
  std::vector<float> logits;
  for (int64_t i = 0; i < size; ++i) {
    const double value = (random() / 2147483648.0 - 1) * range;
    logits.push_back(static_cast<float>(step > 0 ? std::round(value / step) * step : value));
  }
  return logits;
}

// Each instruction set that this machine has, against what the header says in so many words.
class LogitRowsTest : public IsaTest {
 protected:
  const LogitRows& rows() const { return LogitRowsFor(GetParam()); }

  // Of all lengths that a vector or a block of them may leave a rest of, and of a vocabulary's.
  static std::vector<std::vector<float>> Rows(double step) {
    std::vector<std::vector<float>> all;
    for (int64_t size = 1; size <= 70; ++size)
      all.push_back(RandomLogits(static_cast<uint32_t>(size), size, 9, step));
    for (int64_t size : {127, 128, 129, 255, 256, 257, 300, 511, 5003}) {
      all.push_back(RandomLogits(static_cast<uint32_t>(size), size, 9, step));
    }
    return all;
  }
  static int64_t Size(const std::vector<float>& row) { return static_cast<int64_t>(row.size()); }
  static float LargestOf(const std::vector<float>& row) {
    return *std::max_element(row.begin(), row.end());
  }
};

TEST_P(LogitRowsTest, SumsOfExponentialsAreMadeInEightParts) {
  std::vector<std::vector<float>> all = Rows(0);
  all.push_back({-3e38f, -3.1e38f, -3e38f});
  for (const std::vector<float>& row : all) {
    const double largest = LargestOf(row);
    double weights[kSumParts] = {}, weighted_offsets[kSumParts] = {};
    for (size_t i = 0; i < row.size(); ++i) {
      const double weight = NegativeExp(row[i] - largest);
      weights[i % kSumParts] += weight;
      weighted_offsets[i % kSumParts] += weight * (row[i] - largest);
    }
    for (int64_t part = 1; part < kSumParts; ++part) {
      weights[0] += weights[part];
      weighted_offsets[0] += weighted_offsets[part];
    }
    const ExpSums sums = rows().sum_exp(row.data(), Size(row), largest);
    EXPECT_EQ(sums.weights, weights[0]) << row.size();
    EXPECT_EQ(sums.weighted_offsets, weighted_offsets[0]) << row.size();
  }
}

// Of two rows of all lengths and of one whose differences are as large as they can be.
TEST_P(LogitRowsTest, DivergencesAreMadeInEightParts) {
  std::vector<std::pair<std::vector<float>, std::vector<float>>> pairs = {
      {{3e38f, -3e38f, 3e38f}, {-3e38f, 3e38f, 3e38f}}};
  for (const std::vector<float>& row : Rows(0)) {
    pairs.emplace_back(row, RandomLogits(77, Size(row), 9, 0));
  }
  for (const auto& [a, b] : pairs) {
    const double sum_a = LargestOf(a) + 0.3, sum_b = LargestOf(b) + 0.1;
    double parts[kSumParts] = {};
    std::vector<double> apart;
    for (size_t i = 0; i < a.size(); ++i) {
      const double x = a[i] - sum_a, y = b[i] - sum_b;
      parts[i % kSumParts] += NegativeExp(x) * (x - y);
      apart.push_back(std::abs(NegativeExp(x) - NegativeExp(y)));
    }
    for (int64_t part = 1; part < kSumParts; ++part) parts[0] += parts[part];
    EXPECT_EQ(rows().diverge(a.data(), sum_a, b.data(), sum_b, Size(a)), parts[0]) << a.size();
    std::vector<double> out(a.size() + 1, 7);
    rows().apart(a.data(), sum_a, b.data(), sum_b, Size(a), out.data());
    EXPECT_EQ(out.back(), 7);
    out.pop_back();
    EXPECT_EQ(out, apart);
  }
}

TEST_P(LogitRowsTest, WeightsAreRoundedExponentials) {
  std::vector<std::vector<float>> all = Rows(0);
  all.push_back({3, 1, -kInfinity, -3e38f, 3, 2.999999f, -30, -33, -kInfinity});
  all.push_back({-7, -7.5f, -700});
  for (const std::vector<float>& row : all) {
    for (const double scale : {0.0, 0.4, 1.0, 50.0}) {
      if (scale == 0 && LargestOf(row) == 3 && row.size() == 9) continue;  // 0 * infinity
      for (const double unit : {0x1p52, 0x1p45, 10.0}) {
        std::vector<uint64_t> weights(row.size() + 1, 77);
        const double largest = LargestOf(row);
        rows().weigh(row.data(), Size(row), largest, scale, unit, weights.data());
        for (size_t i = 0; i < row.size(); ++i) {
          const double weight = NegativeExp((row[i] - largest) * scale) * unit + 0.5;
          ASSERT_EQ(weights[i], static_cast<uint64_t>(weight)) << row.size() << ", " << i;
        }
        EXPECT_EQ(weights.back(), 77u);
      }
    }
  }
}

TEST_P(LogitRowsTest, MassAndSumAreThoseOfTheWeights) {
  for (const std::vector<float>& row : Rows(1)) {
    std::vector<uint64_t> weights;
    uint64_t sum = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      weights.push_back((uint64_t{1} << 40) + i * i);
      sum += weights.back();
    }
    EXPECT_EQ(rows().sum(weights.data(), Size(row)), sum);
    for (const float bound : {-kInfinity, -3.0f, 0.0f, 8.5f, kInfinity}) {
      Mass expected = {};
      std::vector<uint64_t> kept;
      for (size_t i = 0; i < row.size(); ++i) {
        const bool is_above = row[i] > bound;
        if (is_above) expected = {expected.count + 1, expected.weight + weights[i]};
        kept.push_back(is_above ? weights[i] : 0);
      }
      const Mass mass = rows().mass_above(row.data(), weights.data(), Size(row), bound);
      EXPECT_EQ(mass.count, expected.count);
      EXPECT_EQ(mass.weight, expected.weight);
      std::vector<uint64_t> left = weights;
      rows().drop_others(row.data(), left.data(), Size(row), bound);
      EXPECT_EQ(left, kept);
    }
  }
}

TEST_P(LogitRowsTest, CountsWhatIsNotFinite) {
  for (std::vector<float> row : Rows(0)) {
    row[0] = std::numeric_limits<float>::max();
    EXPECT_EQ(rows().count_nonfinite(row.data(), Size(row)), 0);
    size_t place = row.size();
    for (const float value : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(),
                              -std::numeric_limits<float>::quiet_NaN()}) {
      place = (place + row.size() - 1 - row.size() / 5) % row.size();
      row[place] = value;
      EXPECT_EQ(rows().count_nonfinite(row.data(), Size(row)),
                std::count_if(row.begin(), row.end(), [](float v) { return !std::isfinite(v); }))
          << row.size();
    }
  }
}

TEST_P(LogitRowsTest, FindsWhatIsBetweenBounds) {
  for (const std::vector<float>& row : Rows(0.5)) {
    for (const float low : {-kInfinity, -9.5f, -2.0f, 7.5f}) {
      for (const float high : {-9.0f, 1.5f, 9.0f, kInfinity}) {
        std::vector<int32_t> expected;
        for (size_t i = 0; i < row.size(); ++i) {
          if (row[i] > low && row[i] <= high) expected.push_back(static_cast<int32_t>(i));
        }
        std::vector<int32_t> found(row.size());
        found.resize(rows().find_between(row.data(), Size(row), low, high, found.data()));
        EXPECT_EQ(found, expected) << row.size() << ", above " << low << " up to " << high;
      }
    }
  }
}

TEST_P(LogitRowsTest, FindsTheFirstAboveABound) {
  for (const std::vector<float>& row : Rows(0.5)) {
    for (int64_t begin = 0; begin <= Size(row); begin += 1 + Size(row) / 7) {
      for (const float bound : {-10.0f, 0.0f, 8.0f, 8.5f, 10.0f}) {
        int64_t expected = begin;
        while (expected < Size(row) && !(row[expected] > bound)) ++expected;
        EXPECT_EQ(rows().first_above(row.data(), begin, Size(row), bound), expected);
      }
    }
  }
}

TEST_P(LogitRowsTest, CountsAndFindsTheLargest) {
  for (const double step : {0.0, 1.0, 20.0}) {
    for (std::vector<float> row : Rows(step)) {
      row[row.size() / 2] = -0.0f;
      if (row.size() > 40) row[30] = row[35] = -kInfinity;
      const auto largest = std::max_element(row.begin(), row.end());
      EXPECT_EQ(rows().index_of_largest(row.data(), Size(row)), largest - row.begin());
      for (const float bound : {*largest, row[0], 0.0f, -0.0f, -kInfinity}) {
        EXPECT_EQ(rows().count_above(row.data(), Size(row), bound),
                  std::count_if(row.begin(), row.end(), [=](float v) { return v > bound; }));
        EXPECT_EQ(rows().count_equal(row.data(), Size(row), bound),
                  std::count(row.begin(), row.end(), bound));
      }
    }
  }
  const std::vector<float> none(40, -kInfinity);
  EXPECT_EQ(rows().index_of_largest(none.data(), 40), 0);
  EXPECT_EQ(rows().count_above(none.data(), 0, 0), 0);
  EXPECT_EQ(rows().sum(nullptr, 0), 0u);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, LogitRowsTest, AllIsas(), IsaTestName);

}  // namespace
}  // namespace heed
