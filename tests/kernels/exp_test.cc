#include "model/kernels/exp.h"

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

}  // namespace
}  // namespace heed
