// What the integer kernels do beside multiplying: rounding activations and weights, and spreading
// groups. Alike on every machine.
#include "model/kernels/int_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "model/kernels/int_matrix.h"
#include "tests/kernels/int_kernels_testing.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

// One row in its place among those of a tile.
struct PlacedRow {
  PlacedRow(const IntKernels& kernels, const std::vector<float>& x, int64_t group)
      : n_groups(CeilDiv(static_cast<int64_t>(x.size()), group) + 64),
        q(n_groups * group * kMaxIntTileRows, int8_t{77}),
        scale(n_groups * kMaxIntTileRows, 77),
        start(n_groups * kMaxIntTileRows, 77) {
    kernels.quantize(x.data(), static_cast<int64_t>(x.size()), group, 128, q.data(), scale.data(),
                     start.data());
  }
  int64_t n_groups;  // the row's, and some behind it
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int32_t> start;
};

// Nothing but the row's own place is touched, either.
TEST(IntKernelsTest, ActivationsAreRoundedAlikeOnEveryMachine) {
  for (int64_t group : {16, 32, 48, 64, 128}) {
    for (int64_t n : {1, 15, 31, 33, 300, 768, 1025, 2047, 4200}) {
      std::vector<float> x = RandomMatrix(1, n, 3).values;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t g = i / group;
        if (g % 5 == 2) x[i] *= g % 2 == 0 ? 0 : 1e-33f;
      }
      if (n > 700) x[3 * group + 5] = NAN, x[n - 1] = INFINITY, x[group] = -INFINITY;
      const PlacedRow want(PortableIntKernels(), x, group);
      for (const NamedKernels& isa : KernelsOfThisMachine()) {
        const PlacedRow got(*isa.kernels, x, group);
        EXPECT_EQ(got.q, want.q) << isa.name << ", " << n << " in groups of " << group;
        EXPECT_TRUE(SameBits(got.scale, want.scale)) << isa.name << ", " << n << ", " << group;
        EXPECT_EQ(got.start, want.start) << isa.name << ", " << n << ", " << group;
      }
    }
  }
}

TEST(IntKernelsTest, SpreadingKeepsProductsAndIsTheSameOnEveryMachine) {
  for (int64_t n : {1, 63, 64, 65, 200, 1024}) {
    const Matrix a = RandomMatrix(1, n, 1), b = RandomMatrix(1, n, 2);
    std::vector<float> plain(n), a_spread(n), b_spread(n);
    PortableIntKernels().spread(a.values.data(), n, plain.data());
    for (const NamedKernels& isa : KernelsOfThisMachine()) {
      isa.kernels->spread(a.values.data(), n, a_spread.data());
      isa.kernels->spread(b.values.data(), n, b_spread.data());
      EXPECT_TRUE(SameBits(a_spread, plain)) << isa.name << ", " << n;
      double want = 0, got = 0, size = 0;
      for (int64_t i = 0; i < n; ++i) {
        want += double{a.values[i]} * b.values[i];
        got += double{a_spread[i]} * b_spread[i];
        size += std::fabs(double{a_spread[i]} * b_spread[i]);
      }
      EXPECT_NEAR(got, want, 1e-6 * size) << isa.name << ", " << n;
    }
    Gather(absl::MakeSpan(plain));
    for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(plain[i], a.values[i], 1e-5) << n << ", " << i;
  }
}

// One value becomes many small ones; and so do values that are all alike.
TEST(IntKernelsTest, SpreadingLeavesNoValueThatDwarfsTheOthers) {
  const std::vector<float> alike(kSpreadGroup, 1.0f);
  std::vector<float> spread(kSpreadGroup);
  for (int64_t i = 0; i < kSpreadGroup; ++i) {
    std::vector<float> spike(kSpreadGroup, 0.0f);
    spike[i] = 8;
    PortableIntKernels().spread(spike.data(), kSpreadGroup, spread.data());
    for (float value : spread) EXPECT_EQ(std::fabs(value), 1) << i;
  }
  PortableIntKernels().spread(alike.data(), kSpreadGroup, spread.data());
  for (float value : spread) EXPECT_LT(std::fabs(value), 4);
}

TEST(IntKernelsTest, WeightsAreRoundedAlikeOnEveryMachine) {
  Matrix weight = RandomMatrix(1, 77, 1);
  for (int64_t i = 0; i < 77; i += 5) weight.values[i] = static_cast<float>(i) / 64;  // ties
  weight.values[3] = 0;
  std::vector<uint8_t> want(77), got(77);
  for (float scale : {1.0f / 32, -0.5f, 1e-3f, 0.0f}) {
    const auto round = [&](const IntKernels& kernels, std::vector<uint8_t>& q, int measures = 1) {
      return kernels.round_weights({weight.values.data(), 77, scale, -8, 7, 8, q.data(), measures});
    };
    const WeightsRounded plain = round(PortableIntKernels(), want);
    EXPECT_EQ(plain.count, 75);
    for (const NamedKernels& isa : KernelsOfThisMachine()) {
      const WeightsRounded rounded = round(*isa.kernels, got);
      EXPECT_EQ(got, want) << isa.name << ", " << scale;
      EXPECT_EQ(rounded.count, plain.count) << isa.name;
      EXPECT_NEAR(rounded.error, plain.error, 1e-4) << isa.name;
      std::fill(got.begin(), got.end(), uint8_t{0});
      EXPECT_EQ(round(*isa.kernels, got, 0).error, 0) << isa.name;
      EXPECT_EQ(got, want) << isa.name << ", " << scale << ", not measured";
    }
    for (int64_t i = 0; i < 77; ++i) {
      const float q = scale == 0 ? 0 : std::nearbyint(weight.values[i] / scale);
      EXPECT_EQ(want[i], 8 + std::clamp(q, -8.0f, 7.0f)) << weight.values[i] << " / " << scale;
    }
  }
}

}  // namespace
}  // namespace heed
