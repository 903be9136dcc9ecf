#include <cmath>
#include <cstdint>
#include <limits>

#include "gtest/gtest.h"
#include "model/kernels/log_impl.h"

namespace heed {
namespace {

double Log(double x) {
  return LogOf<double, uint64_t>(x);
}

// How far from the logarithm, in units of the last place of `expected`.
double UnitsOff(double x) {
  const long double expected = std::log(static_cast<long double>(x));
  const double rounded = std::abs(static_cast<double>(expected));
  const double unit = std::nextafter(rounded, 1e300) - rounded;
  return static_cast<double>(std::abs(Log(x) - expected)) / unit;
}

TEST(LogTest, IsWithinAUnitInTheLastPlace) {
  for (double x = 1e-300; x < 1e300; x *= 1.00137) ASSERT_LT(UnitsOff(x), 1) << x;
  for (double x = 0.4; x < 2.5; x += 1.3e-5) ASSERT_LT(UnitsOff(x), 1) << x;
}

TEST(LogTest, IsExactAtOne) {
  EXPECT_EQ(Log(1), 0);
  EXPECT_LT(UnitsOff(std::nextafter(1.0, 0.0)), 1);
  EXPECT_LT(UnitsOff(std::nextafter(1.0, 2.0)), 1);
}

// Of weights, the least that is not 0.
TEST(LogTest, TakesTheSmallestFloats) {
  EXPECT_LT(UnitsOff(std::numeric_limits<float>::denorm_min()), 1);
  EXPECT_LT(UnitsOff(std::numeric_limits<double>::min()), 1);
}

// So that 0 times it is 0.
TEST(LogTest, IsSomeNumberWhereThereIsNone) {
  for (double x :
       {0.0, std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_TRUE(std::isfinite(Log(x))) << x;
  }
}

}  // namespace
}  // namespace heed
