#include "model/transformer/rope.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace heed {
namespace {

TEST(RopeTest, FrequenciesFallGeometrically) {
  const std::vector<float> f = RopeFrequencies(8, 10000, {});
  ASSERT_EQ(f.size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(f[i], std::pow(10000.0, -i / 4.0), 1e-7);
}

TEST(RopeTest, LinearScalingDivides) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLinear;
  scaling.factor = 4;
  const std::vector<float> plain = RopeFrequencies(8, 10000, {}),
                           scaled = RopeFrequencies(8, 10000, scaling);
  for (int i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
}

TEST(RopeTest, Llama3ScalingKeepsShortWavesAndStretchesLongOnes) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = 8;
  scaling.low_freq_factor = 1;
  scaling.high_freq_factor = 4;
  scaling.original_context = 8192;
  const std::vector<float> plain = RopeFrequencies(128, 500000, {}),
                           scaled = RopeFrequencies(128, 500000, scaling);
  int blended = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wavelength = 2 * M_PI / plain[i];
    if (wavelength < 8192.0 / 4) {
      EXPECT_EQ(scaled[i], plain[i]);
    } else if (wavelength > 8192.0) {
      EXPECT_FLOAT_EQ(scaled[i], plain[i] / 8);
    } else {
      EXPECT_LT(scaled[i], plain[i]);
      EXPECT_GT(scaled[i], plain[i] / 8);
      ++blended;
    }
  }
  EXPECT_GT(blended, 0);
}

TEST(RopeTest, AnglesAreThePositionTimesTheFrequency) {
  const std::vector<float> f = RopeFrequencies(4, 100, {});  // 1, 0.1
  std::vector<float> cos(2), sin(2);
  RopeAngles(f, 7, 1, absl::MakeSpan(cos), absl::MakeSpan(sin));
  EXPECT_NEAR(cos[0], std::cos(7.0), 1e-6);
  EXPECT_NEAR(sin[1], std::sin(0.7), 1e-6);
  RopeAngles(f, 0, 1, absl::MakeSpan(cos), absl::MakeSpan(sin));
  EXPECT_EQ(cos[0], 1.0f);
  EXPECT_EQ(sin[0], 0.0f);
  RopeAngles(f, 7, 0.5f, absl::MakeSpan(cos), absl::MakeSpan(sin));
  EXPECT_NEAR(cos[0], std::cos(7.0) / 2, 1e-6);
  EXPECT_NEAR(sin[1], std::sin(0.7) / 2, 1e-6);
}

TEST(RopeTest, DynamicScalingRaisesTheBaseWithTheLength) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kDynamic;
  scaling.factor = 4;
  scaling.original_context = 100;
  EXPECT_TRUE(FollowsLength(scaling));
  const std::vector<float> plain = RopeFrequencies(8, 10000, {});
  EXPECT_EQ(RopeFrequencies(8, 10000, scaling, 0), plain);
  EXPECT_EQ(RopeFrequencies(8, 10000, scaling, 100), plain);
  // 4 * 150 / 100 - 3 = 3, to the power of 8 / 6.
  const std::vector<float> longer = RopeFrequencies(8, 10000, scaling, 150);
  const double theta = 10000 * std::pow(3.0, 8.0 / 6.0);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(longer[i], std::pow(theta, -i / 4.0), 1e-7) << i;
}

TEST(RopeTest, LongRopeHasFactorsForEitherLength) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLongRope;
  scaling.original_context = 100;
  scaling.short_factors = {1, 1.5, 2};
  scaling.long_factors = {2, 4, 8};
  EXPECT_TRUE(FollowsLength(scaling));
  EXPECT_FALSE(FollowsLength({}));
  const std::vector<float> plain = RopeFrequencies(6, 50, {}),
                           within = RopeFrequencies(6, 50, scaling, 100),
                           beyond = RopeFrequencies(6, 50, scaling, 101);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(within[i], plain[i] / scaling.short_factors[i]);
    EXPECT_FLOAT_EQ(beyond[i], plain[i] / scaling.long_factors[i]);
  }
}

TEST(RopeTest, YarnKeepsFastPairsAndStretchesSlowOnes) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.factor = 4;
  scaling.original_context = 4096;
  const std::vector<float> plain = RopeFrequencies(128, 10000, {}),
                           scaled = RopeFrequencies(128, 10000, scaling);
  int blended = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double turns = 4096 * plain[i] / (2 * M_PI);
    // The ramp is between whole pairs of dimensions.
    if (turns > 32 * 1.2) {
      EXPECT_EQ(scaled[i], plain[i]);
    } else if (turns < 1 / 1.2) {
      EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
    } else {
      EXPECT_LE(scaled[i], plain[i]);
      EXPECT_GE(scaled[i], plain[i] / 4 * (1 - 1e-6));
      ++blended;
    }
  }
  EXPECT_GT(blended, 0);
}

}  // namespace
}  // namespace heed
