#include "model/generate/exp.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace heed {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ExpTest, IsWithinTwoUnitsInTheLastPlace) {
  for (double x = 0; x > -708; x -= 0.00317) {
    const double expected = std::exp(x);
    const double unit = expected - std::nextafter(expected, 0.0);
    EXPECT_NEAR(NegativeExp(x), expected, 2 * unit) << x;
  }
}

TEST(ExpTest, IsExactAtZero) {
  EXPECT_EQ(NegativeExp(0.0), 1.0);
  EXPECT_EQ(NegativeExp(-0.0), 1.0);
}

TEST(ExpTest, NeverExceedsOne) {
  for (double x = -1e-18; x > -1; x *= 1.7) EXPECT_LE(NegativeExp(x), 1.0) << x;
}

TEST(ExpTest, IsZeroFarBelow) {
  EXPECT_EQ(NegativeExp(-709), 0.0);
  EXPECT_EQ(NegativeExp(-1e300), 0.0);
  EXPECT_EQ(NegativeExp(-kInfinity), 0.0);
}

TEST(ExpTest, ExpBelowScalesTheDistanceFromTheLargest) {
  const std::vector<float> logits = {3, 1, -std::numeric_limits<float>::infinity(), -3e38f, 3};
  std::vector<double> out(logits.size());
  ExpBelow(logits, 3, 0.5, absl::MakeSpan(out));
  EXPECT_EQ(out, (std::vector<double>{1, NegativeExp(-1), 0, 0, 1}));
}

// The same values for every length, so whether a loop was vectorised cannot be seen.
TEST(ExpTest, ExpBelowEqualsNegativeExpAtEveryLength) {
  std::vector<float> logits;
  for (int size = 0; size < 40; ++size) {
    std::vector<double> out(logits.size());
    ExpBelow(logits, 0, 1, absl::MakeSpan(out));
    for (int i = 0; i < size; ++i) EXPECT_EQ(out[i], NegativeExp(double{logits[i]}));
    logits.push_back(-0.37f * static_cast<float>(size * size));
  }
}

}  // namespace
}  // namespace heed
