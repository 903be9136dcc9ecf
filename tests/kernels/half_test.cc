#include "model/kernels/half.h"

#include <cmath>
#include <cstdint>

#include "gtest/gtest.h"

namespace heed {
namespace {

TEST(HalfTest, EveryHalfSurvivesTheRoundTrip) {
  for (int bits = 0; bits < 1 << 16; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (std::isnan(HalfToFloat(half))) continue;
    ASSERT_EQ(FloatToHalf(HalfToFloat(half)), half);
  }
}

TEST(HalfTest, RoundsToNearestEven) {
  EXPECT_EQ(HalfToFloat(FloatToHalf(1.0f + 0x1p-11f)), 1.0f);
  EXPECT_EQ(HalfToFloat(FloatToHalf(1.0f + 0x1.8p-10f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(HalfToFloat(FloatToHalf(0x1p-25f)), 0.0f);
  EXPECT_EQ(HalfToFloat(FloatToHalf(0x1.8p-24f)), 0x1p-23f);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7c00);
  EXPECT_EQ(HalfToFloat(FloatToHalf(65519.0f)), 65504.0f);
}

}  // namespace
}  // namespace heed
