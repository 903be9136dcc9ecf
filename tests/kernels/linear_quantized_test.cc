#include "model/kernels/linear_quantized.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/aligned_buffer.h"
#include "model/base/cpu.h"
#include "model/kernels/bf16.h"
#include "model/kernels/half.h"
#include "model/kernels/int_kernels_spread.h"
#include "model/kernels/linear_bf16.h"
#include "tests/kernels/int_kernels_testing.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

std::unique_ptr<Linear> Pack(const Matrix& weight, absl::Span<const float> bias,
                             const QuantizedFormat& format, const IntKernels* kernels) {
  auto linear = PackQuantizedLinear(
      {weight.ref().rows, weight.ref().cols, RowsInMemory(weight.ref())}, bias, format, kernels);
  EXPECT_TRUE(linear.ok()) << linear.status();
  return *std::move(linear);
}

// Whether groups that are asked for so are of whole tiles.
bool UsesBf16(const IntKernels& kernels, int64_t in, int64_t group) {
  return kernels.bf16 != nullptr && SuitsBf16(IntMatrix(1, in, 8, group));
}

// Whether a layer of such groups is spread.
bool Spreads(const IntKernels& kernels, int64_t in, int bits, int64_t group) {
  return kernels.bf16 == nullptr && bits == 8 && group == kSpreadGroup && in >= kSpreadGroup;
}

// x rounded to 8 bits with one scale for each group.
std::vector<double> RoundedGroups(absl::Span<const float> x, int64_t group) {
  std::vector<double> rounded(x.size());
  for (size_t begin = 0; begin < x.size(); begin += group) {
    const size_t end = std::min(x.size(), begin + group);
    float most = 0;
    for (size_t i = begin; i < end; ++i) most = std::max(most, std::fabs(x[i]));
    const float inverse = most > 0 ? 127.0f / most : 0.0f;
    for (size_t i = begin; i < end; ++i) {
      rounded[i] = std::nearbyint(x[i] * inverse) * double{most / 127.0f};
    }
  }
  return rounded;
}

// x in bfloat16.
std::vector<double> RoundedToBf16(absl::Span<const float> x) {
  std::vector<double> rounded(x.size());
  for (size_t i = 0; i < x.size(); ++i) rounded[i] = Bf16ToFloat(FloatToBf16(x[i]));
  return rounded;
}

// x rounded to 8 bits while its groups are spread.
std::vector<double> RoundedSpread(absl::Span<const float> x) {
  std::vector<float> spread(x.size());
  PortableIntKernels().spread(x.data(), static_cast<int64_t>(x.size()), spread.data());
  const std::vector<double> rounded = RoundedGroups(spread, kSpreadGroup);
  std::copy(rounded.begin(), rounded.end(), spread.begin());
  Gather(absl::MakeSpan(spread));
  return std::vector<double>(spread.begin(), spread.end());
}

// x as the layer sees it.
std::vector<double> RoundedRow(absl::Span<const float> x, int bits, int64_t group,
                               const IntKernels& kernels) {
  const auto in = static_cast<int64_t>(x.size());
  if (UsesBf16(kernels, in, group)) return RoundedToBf16(x);
  return Spreads(kernels, in, bits, group) ? RoundedSpread(x) : RoundedGroups(x, group);
}

// Rows of fewer features than are made at once, and of more.
TEST(QuantizedLinearTest, RowsThatAreMadeOnTheWayGiveTheBitsOfRowsThatAreThere) {
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    for (const auto& [rows, in, bits] : {std::tuple{1, 2080, 8}, {17, 96, 8}, {40, 2080, 4}}) {
      const Matrix weight = RandomMatrix(70, in, 1, 0.05f), x = RandomMatrix(rows, in, 3);
      const auto layer = Pack(weight, {}, {bits, 32}, isa.kernels);
      Matrix want = RandomMatrix(rows, 70, 4), got = want;
      layer->Apply(x.ref(), want.ref(), Linear::Write::kAccumulate);
      const auto make = [&](int64_t row, int64_t begin, int64_t end, float* out) {
        std::copy_n(x.ref().Row(row).data() + begin, end - begin, out);
      };
      ASSERT_TRUE(layer->ApplyMade(make, got.ref(), Linear::Write::kAccumulate));
      EXPECT_EQ(got.values, want.values) << isa.name << ", " << rows << " x " << in;
    }
  }
}

// (rows, in, out, bits, group)
using Shape = std::tuple<int64_t, int64_t, int64_t, int, int64_t>;

class QuantizedShapeTest : public testing::TestWithParam<Shape> {};

// The layer is its rounded weights times its rounded activations, up to single precision sums.
TEST_P(QuantizedShapeTest, IsTheProductOfWhatWasRounded) {
  const auto [rows, in, out, bits, group] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.05f);
  const Matrix bias = RandomMatrix(1, out, 2);
  const Matrix x = RandomMatrix(rows, in, 3);
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    const auto layer = Pack(weight, bias.values, {bits, group}, isa.kernels);
    Matrix got = RandomMatrix(rows, out, 4);
    const Matrix before = got;
    layer->Apply(x.ref(), got.ref(), Linear::Write::kAccumulate);
    std::vector<float> w(in);
    for (int64_t c = 0; c < out; ++c) {
      layer->CopyWeightRow(c, absl::MakeSpan(w));
      for (int64_t r = 0; r < rows; ++r) {
        const std::vector<double> row = RoundedRow(x.ref().Row(r), bits, group, *isa.kernels);
        double want = double{before.ref().Row(r)[c]} + bias.values[c], size = 1;
        for (int64_t k = 0; k < in; ++k) want += row[k] * w[k], size += std::fabs(row[k] * w[k]);
        ASSERT_NEAR(got.ref().Row(r)[c], want, 2e-6 * size) << isa.name << ", " << r << ", " << c;
      }
    }
  }
}

TEST_P(QuantizedShapeTest, RoundingCostsLittle) {
  const auto [rows, in, out, bits, group] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.05f);
  const auto layer = Pack(weight, {}, {bits, group}, &PortableIntKernels());
  std::vector<float> w(in);
  double error = 0, size = 0;
  for (int64_t c = 0; c < out; ++c) {
    layer->CopyWeightRow(c, absl::MakeSpan(w));
    for (int64_t k = 0; k < in; ++k) {
      error += std::pow(w[k] - weight.ref().Row(c)[k], 2);
      size += std::pow(weight.ref().Row(c)[k], 2);
    }
  }
  EXPECT_LT(std::sqrt(error / size), bits == 8 ? 0.01 : 0.12);
}

TEST_P(QuantizedShapeTest, ARowHasTheSameBitsInAnyCompany) {
  const auto [rows, in, out, bits, group] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.05f);
  const Matrix x = RandomMatrix(70, in, 3);
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    const auto layer = Pack(weight, {}, {bits, group}, isa.kernels);
    Matrix together = RandomMatrix(70, out, 4), alone = RandomMatrix(1, out, 5);
    Matrix some = RandomMatrix(17, out, 6);
    layer->Apply(x.ref(), together.ref(), Linear::Write::kOverwrite);
    const int threads = omp_get_max_threads();
    omp_set_num_threads(threads == 1 ? 2 : 1);
    for (int64_t r : {0, 5, 6, 31, 32, 69}) {
      layer->Apply(x.ref().Rows(r, 1), alone.ref(), Linear::Write::kOverwrite);
      EXPECT_TRUE(SameBits(alone.values, together.ref().Row(r))) << isa.name << ", row " << r;
    }
    layer->Apply(x.ref().Rows(30, 17), some.ref(), Linear::Write::kOverwrite);
    for (int64_t r = 0; r < 17; ++r) {
      EXPECT_TRUE(SameBits(some.ref().Row(r), together.ref().Row(30 + r)))
          << isa.name << ", row " << 30 + r << " among 17";
    }
    omp_set_num_threads(threads);
  }
}

#if defined(__x86_64__)
class TileShapeTest : public testing::TestWithParam<Shape> {};

TEST_P(TileShapeTest, TilesAgreeWithPlainArithmeticToTheLastBit) {
  if (!DetectCpu().amx) GTEST_SKIP() << "this machine has no AMX";
  const auto [rows, in, out, bits, group] = GetParam();
  ASSERT_TRUE(UsesBf16(AmxIntKernels(), in, group));
  const Matrix weight = RandomMatrix(out, in, 1, 0.05f), bias = RandomMatrix(1, out, 2);
  for (int64_t n : {int64_t{1}, int64_t{7}, int64_t{16}, rows, int64_t{50}}) {
    const Matrix x = RandomMatrix(n, in, 3);
    Matrix plain = RandomMatrix(n, out, 4), tiles = plain;
    Pack(weight, bias.values, {bits, group}, &PortableTiles())
        ->Apply(x.ref(), plain.ref(), Linear::Write::kAccumulate);
    Pack(weight, bias.values, {bits, group}, &AmxIntKernels())
        ->Apply(x.ref(), tiles.ref(), Linear::Write::kAccumulate);
    EXPECT_TRUE(SameBits(plain.values, tiles.values)) << n << " rows";
  }
}

// Scales and weights of all sizes that one matrix may hold.
TEST(LinearQuantizedTest, TilesRoundEveryWeightAsPlainArithmetic) {
  if (!DetectCpu().amx) GTEST_SKIP() << "this machine has no AMX";
  constexpr int64_t kScales = 31744;  // the positive finite half-precision numbers
  for (int bits : {8, 4}) {
    std::vector<uint8_t> w(kTileFeatures * kPanelCols * bits / 8);
    for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<uint8_t>(i * 37 % 256);
    std::vector<uint16_t> plain(kPanelTiles * kTileNumbers);
    AlignedBuffer memory(kPanelTiles * kTileNumbers / 2);
    auto* const tiles = reinterpret_cast<uint16_t*>(memory.data());
    for (int64_t first = 0; first < kScales; first += kPanelCols) {
      std::vector<uint16_t> scale(kPanelCols);
      for (int64_t c = 0; c < kPanelCols; ++c) scale[c] = static_cast<uint16_t>(first + c);
      if (HalfToFloat(scale[0]) >= 512) break;
      for (uint16_t sign : {0, 0x8000}) {
        for (uint16_t& s : scale) s = static_cast<uint16_t>((s & 0x7fff) | sign);
        const auto widen = [&](const Bf16Kernels& kernels, uint16_t* out) {
          (bits == 8 ? kernels.widen8 : kernels.widen4)(w.data(), scale.data(), kTileFeatures, 0, 1,
                                                        out, kTileNumbers);
        };
        widen(PortableBf16Kernels(), plain.data());
        widen(AmxBf16Kernels(), tiles);
        for (size_t i = 0; i < plain.size(); ++i) {
          // Tiles take subnormal numbers for 0.
          const uint16_t seen = (tiles[i] & 0x7f80) == 0 ? 0 : tiles[i];
          ASSERT_EQ(seen, plain[i]) << bits << " bits, scales from " << scale[0] << ", " << i;
        }
      }
    }
  }
}
// Groups of one tile, of two, of three and more, of all features; panels that are not full.
INSTANTIATE_TEST_SUITE_P(Shapes, TileShapeTest,
                         testing::Values(Shape{6, 128, 64, 8, 128}, Shape{7, 300, 130, 8, 128},
                                         Shape{13, 300, 70, 4, 128}, Shape{19, 1100, 128, 8, 32},
                                         Shape{25, 2048, 64, 4, 64}, Shape{40, 96, 200, 8, 65536},
                                         Shape{33, 1100, 70, 4, 32}, Shape{20, 400, 130, 8, 96},
                                         Shape{18, 660, 64, 8, 320}));
#endif

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedShapeTest,
                         testing::Values(Shape{1, 1, 1, 8, 128}, Shape{1, 1, 1, 4, 32},
                                         Shape{2, 17, 65, 8, 16}, Shape{3, 40, 63, 4, 16},
                                         Shape{6, 128, 64, 8, 128}, Shape{7, 300, 130, 8, 128},
                                         Shape{13, 300, 70, 4, 128}, Shape{19, 1100, 128, 8, 32},
                                         Shape{25, 2048, 64, 4, 64}, Shape{40, 96, 200, 8, 65536},
                                         // Groups that are spread, with and without some features
                                         // that are left, and none.
                                         Shape{7, 64, 65, 8, 64}, Shape{9, 300, 130, 8, 64},
                                         Shape{31, 2050, 63, 8, 64}, Shape{2, 49, 5, 8, 64},
                                         // Groups of one tile, of three, of ten.
                                         Shape{33, 1100, 70, 4, 32}, Shape{20, 400, 130, 8, 96},
                                         Shape{18, 660, 64, 8, 320},
                                         // Rows of more groups than are rounded at once.
                                         Shape{7, 2100, 65, 8, 16}, Shape{3, 2090, 64, 4, 32}));

// How far a layer in groups of kRoundedGroup is from its own weights times x, relative to that.
double ErrorOfRoundingActivations(const Matrix& x, const IntKernels& kernels) {
  const Matrix weight = RandomMatrix(64, x.ref().cols, 1, 0.05f);
  const auto layer = Pack(weight, {}, {8, kRoundedGroup}, &kernels);
  Matrix got(x.ref().rows, 64);
  layer->Apply(x.ref(), got.ref());
  std::vector<float> w(x.ref().cols);
  double error = 0, size = 0;
  for (int64_t c = 0; c < 64; ++c) {
    layer->CopyWeightRow(c, absl::MakeSpan(w));
    for (int64_t r = 0; r < x.ref().rows; ++r) {
      double want = 0;
      for (int64_t k = 0; k < x.ref().cols; ++k) want += double{x.ref().Row(r)[k]} * w[k];
      error += std::pow(got.ref().Row(r)[c] - want, 2);
      size += want * want;
    }
  }
  return std::sqrt(error / size);
}

// As they come before the down projection: a few far above the others.
TEST(LinearQuantizedTest, ActivationsOfManySizesLoseLittle) {
  Matrix x = RandomMatrix(16, 512, 3);
  for (float& value : x.values) value = value * value * value;
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    EXPECT_LT(ErrorOfRoundingActivations(x, *isa.kernels), 0.0075) << isa.name;
  }
}

TEST(LinearQuantizedTest, PackedCopiesOfSpreadLayersAreNoOthers) {
  EXPECT_NE(IntPacking(PortableIntKernels()), IntPacking(PortableTiles()));
}

TEST(LinearQuantizedTest, TheLargestSumsOfAGroupAreExact) {
  for (int64_t group : {32, 256, 320, 640}) {
    Matrix weight(70, 640), x(20, 640);
    for (Matrix* m : {&weight, &x}) m->values.assign(m->values.size(), 127.0f);
    for (const NamedKernels& isa : KernelsOfThisMachine()) {
      Matrix y = RandomMatrix(20, 70, 1);
      Pack(weight, {}, {8, group}, isa.kernels)->Apply(x.ref(), y.ref(), Linear::Write::kOverwrite);
      for (float value : y.values)
        ASSERT_EQ(value, 127.0f * 127 * 640) << isa.name << ", " << group;
    }
  }
}

// What is summed in single precision must not exceed 2^24 on the way.
TEST(LinearQuantizedTest, SumsThatComeBackFromFarAreExact) {
  for (int64_t group : {256, 1024, 2048}) {
    Matrix weight(70, 2048), x(20, 2048);
    const auto is_first_half = [&](size_t i) { return i / (group / 2) % 2 == 0; };
    for (size_t i = 0; i < weight.values.size(); ++i)
      weight.values[i] = is_first_half(i) ? 127 : 126;
    for (size_t i = 0; i < x.values.size(); ++i) x.values[i] = is_first_half(i) ? 127 : -127;
    for (const NamedKernels& isa : KernelsOfThisMachine()) {
      Matrix y(20, 70);
      Pack(weight, {}, {8, group}, isa.kernels)->Apply(x.ref(), y.ref(), Linear::Write::kOverwrite);
      for (float value : y.values) ASSERT_EQ(value, 127.0f * 1024) << isa.name << ", " << group;
    }
  }
}

TEST(LinearQuantizedTest, ExtremeWeightsKeepTheirScale) {
  for (float size : {1e-30f, 1e-12f, 1.0f, 1e12f, 1e30f}) {
    const Matrix weight = RandomMatrix(3, 48, 7, size);
    for (int bits : {8, 4}) {
      const auto layer = Pack(weight, {}, {bits, 16}, &PortableIntKernels());
      std::vector<float> row(48);
      layer->CopyWeightRow(1, absl::MakeSpan(row));
      for (int64_t k = 0; k < 48; ++k) {
        EXPECT_NEAR(row[k] / size, weight.ref().Row(1)[k] / size, bits == 8 ? 0.02 : 0.3);
      }
    }
  }
}

TEST(LinearQuantizedTest, TheErrorOfRoundingIsThatOfATypicalWeight) {
  Matrix weight = RandomMatrix(64, 256, 1);
  const auto error_of = [](const Matrix& of, int bits) {
    double error = 0;
    EXPECT_TRUE(PackQuantizedLinear({64, 256, RowsInMemory(of.ref())}, {}, {bits, 64},
                                    &PortableIntKernels(), &error)
                    .ok());
    return error;
  };
  for (int bits : {8, 4}) {
    const double error = error_of(weight, bits);
    EXPECT_GT(error, bits == 8 ? 0.005 : 0.08);
    EXPECT_LT(error, bits == 8 ? 0.06 : 0.4);
    Matrix spiked = weight;
    for (int64_t i = 0; i < 64 * 256; i += 16) spiked.values[i] = 1e4;
    EXPECT_NEAR(error_of(spiked, bits), 15.0 / 16, 0.01);
  }
}

// Two rows of two blocks each, of known numbers.
std::vector<char> Blocks(int bits) {
  constexpr int64_t kBlocks = 4;
  const int64_t block_bytes = BlockRows::BlockBytes(bits);
  std::vector<char> bytes(kBlocks * block_bytes);
  for (int64_t b = 0; b < kBlocks; ++b) {
    const uint16_t scale = FloatToHalf(0.25f * static_cast<float>(b + 1));
    std::memcpy(&bytes[b * block_bytes], &scale, sizeof scale);
    for (int64_t i = 2; i < block_bytes; ++i) {
      bytes[b * block_bytes + i] = static_cast<char>(37 * i + 11 * b - 128);
    }
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<Linear>> PackBytes(int bits, const std::vector<char>& bytes) {
  const int64_t row_bytes = 2 * BlockRows::BlockBytes(bits);
  return PackBlockLinear({bits, 2, 64,
                          [&](int64_t first, absl::Span<char> out) {
                            std::copy_n(bytes.data() + first * row_bytes, out.size(), out.data());
                            return absl::OkStatus();
                          }},
                         {}, &PortableIntKernels());
}

// What ggml's formats say of a block's value i.
float BlockValue(int bits, const std::vector<char>& bytes, int64_t row, int64_t i) {
  const int64_t b = row * 2 + i / 32;
  const char* const block = bytes.data() + b * BlockRows::BlockBytes(bits);
  const float scale = 0.25f * static_cast<float>(b + 1);
  const int64_t at = i % 32;
  if (bits == 8) return scale * static_cast<float>(static_cast<int8_t>(block[2 + at]));
  const auto both = static_cast<uint8_t>(block[2 + at % 16]);
  return scale * static_cast<float>((at < 16 ? both & 15 : both >> 4) - 8);
}

TEST(LinearQuantizedTest, BlocksKeepTheirValues) {
  for (int bits : {8, 4}) {
    const std::vector<char> bytes = Blocks(bits);
    const auto layer = PackBytes(bits, bytes);
    ASSERT_TRUE(layer.ok()) << layer.status();
    std::vector<float> row(64);
    for (int64_t r = 0; r < 2; ++r) {
      (*layer)->CopyWeightRow(r, absl::MakeSpan(row));
      for (int64_t i = 0; i < 64; ++i)
        EXPECT_EQ(row[i], BlockValue(bits, bytes, r, i)) << r << ", " << i;
    }
  }
}

TEST(LinearQuantizedTest, RefusesBlocksWithoutAFiniteScale) {
  std::vector<char> bytes = Blocks(8);
  const uint16_t infinity = 0x7c00;
  std::memcpy(&bytes[3 * BlockRows::BlockBytes(8)], &infinity, sizeof infinity);
  const absl::Status status = PackBytes(8, bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("block 1 in row 1 is inf"));
}

// And those that are as good as zero, of which no scale can be made.
TEST(LinearQuantizedTest, ZeroWeightsAndZeroActivationsGiveTheBias) {
  const Matrix zeros = RandomMatrix(5, 33, 1, 0.0f), subnormal = RandomMatrix(5, 33, 1, 1e-44f);
  const Matrix least = RandomMatrix(5, 33, 1, 1e-38f);
  const Matrix some = RandomMatrix(5, 33, 2), bias = RandomMatrix(1, 5, 3);
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    for (const auto& [weight, x] : {std::pair{zeros, some},
                                    {some, zeros},
                                    {subnormal, some},
                                    {some, subnormal},
                                    {some, least}}) {
      Matrix y = RandomMatrix(5, 5, 4);
      Pack(weight, bias.values, {8, 32}, isa.kernels)
          ->Apply(x.ref(), y.ref(), Linear::Write::kOverwrite);
      for (int64_t r = 0; r < 5; ++r) EXPECT_TRUE(SameBits(y.ref().Row(r), bias.values));
    }
  }
}

std::vector<std::pair<NamedKernels, int64_t>> KernelsAndGroups() {
  std::vector<std::pair<NamedKernels, int64_t>> all;
  for (const NamedKernels& isa : KernelsOfThisMachine()) {
    for (int64_t group : {int64_t{32}, kSpreadGroup}) all.emplace_back(isa, group);
  }
  return all;
}

// What is no number must not become one on the way.
TEST(LinearQuantizedTest, ActivationsThatAreNotFiniteSpoilTheirRowAndNoOther) {
  const Matrix weight = RandomMatrix(70, 96, 1);
  for (const auto& [isa, group] : KernelsAndGroups()) {
    const auto layer = Pack(weight, {}, {8, group}, isa.kernels);
    for (float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      for (int64_t place : {0, 13, 47, 95}) {
        Matrix x = RandomMatrix(3, 96, 2), y = RandomMatrix(3, 70, 3), clean = y;
        layer->Apply(x.ref(), clean.ref(), Linear::Write::kOverwrite);
        x.values[96 + place] = bad;
        layer->Apply(x.ref(), y.ref(), Linear::Write::kOverwrite);
        for (int64_t c = 0; c < 70; ++c) {
          EXPECT_FALSE(std::isfinite(y.ref().Row(1)[c]))
              << isa.name << ", " << bad << " at " << place;
        }
        EXPECT_TRUE(SameBits(y.ref().Row(0), clean.ref().Row(0))) << isa.name;
        EXPECT_TRUE(SameBits(y.ref().Row(2), clean.ref().Row(2))) << isa.name;
      }
    }
  }
}

TEST(LinearQuantizedTest, RefusesWeightsThatAreNotFinite) {
  Matrix weight = RandomMatrix(4, 20, 1);
  weight.values[2 * 20 + 7] = std::numeric_limits<float>::infinity();
  const auto layer =
      PackQuantizedLinear({4, 20, RowsInMemory(weight.ref())}, {}, {8, 32}, &PortableIntKernels());
  EXPECT_EQ(layer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layer.status().message()), testing::HasSubstr("[2, 7] is inf"));
}

// Of a group that is spread, sums must not overflow.
TEST(LinearQuantizedTest, RefusesWeightsThatAreTooLarge) {
  Matrix weight = RandomMatrix(4, 70, 1);
  weight.values[2 * 70 + 7] = -1e38f;
  const WeightRows rows{4, 70, RowsInMemory(weight.ref())};
  EXPECT_TRUE(PackQuantizedLinear(rows, {}, {8, 32}, &PortableIntKernels()).ok());
  const auto layer = PackQuantizedLinear(rows, {}, {8, kSpreadGroup}, &PortableIntKernels());
  EXPECT_EQ(layer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layer.status().message()), testing::HasSubstr("[2, 7] is -1e+38"));
}

}  // namespace
}  // namespace heed
