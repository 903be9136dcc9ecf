#include <omp.h>

#include <cmath>
#include <limits>
#include <memory>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/kernels/half.h"
#include "model/kernels/linear_float.h"
#include "model/kernels/linear_onednn.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

using ::testing::HasSubstr;

// In 32 bits, or rounded to 16.
std::unique_ptr<Linear> Pack(const Backend* backend, const Matrix& weight,
                             absl::Span<const float> bias, int bits = 32) {
  const WeightRows rows{weight.rows, weight.cols, RowsInMemory(weight.ref())};
  auto linear = bits == 32 ? backend->PackLinear(rows, bias)
                           : backend->PackRounded(rows, bias, bits, nullptr);
  EXPECT_TRUE(linear.ok()) << linear.status();
  return std::move(linear).value();
}

std::vector<std::pair<const Backend*, int>> FastBackendsAndBits() {
  std::vector<std::pair<const Backend*, int>> all;
  for (const Backend* backend : FastBackends()) {
    for (int bits : {32, 16}) all.emplace_back(backend, bits);
  }
  return all;
}

// (rows, in, out, bias)
using Shape = std::tuple<int64_t, int64_t, int64_t, bool>;

class LinearShapeTest : public testing::TestWithParam<Shape> {};

TEST_P(LinearShapeTest, EqualsTheScalarTwin) {
  const auto [rows, in, out, has_bias] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.3f);
  const Matrix bias = RandomMatrix(1, has_bias ? out : 0, 2);
  const Matrix x = RandomMatrix(rows, in, 3);
  for (int bits : {32, 16}) {
    const auto twin = Pack(ReferenceBackend(), weight, bias.values, bits);
    for (const Backend* backend : FastBackends()) {
      const auto fast = Pack(backend, weight, bias.values, bits);
      for (Linear::Write write : {Linear::Write::kOverwrite, Linear::Write::kAccumulate}) {
        Matrix got = RandomMatrix(rows, out, 4), want = got;
        fast->Apply(x.ref(), got.ref(), write);
        twin->Apply(x.ref(), want.ref(), write);
        EXPECT_LT(MaxDifference(got.values, want.values), 1e-6 * std::sqrt(static_cast<double>(in)))
            << backend->name() << ", " << bits << " bits";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearShapeTest,
                         testing::Values(Shape{1, 1, 1, true}, Shape{1, 64, 48, false},
                                         Shape{2, 7, 5, true}, Shape{16, 40, 48, true},
                                         Shape{17, 33, 65, false}, Shape{130, 192, 384, true},
                                         Shape{3, 513, 1000, true}, Shape{29, 600, 77, true}));

TEST_P(LinearShapeTest, AddingHasTheBitsOfAProductThatIsAdded) {
  const auto [rows, in, out, has_bias] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.3f);
  const Matrix bias = RandomMatrix(1, has_bias ? out : 0, 2);
  const Matrix x = RandomMatrix(rows, in, 3);
  std::vector<const Backend*> backends = FastBackends();
  backends.push_back(ReferenceBackend());
  for (const Backend* backend : backends) {
    std::vector<std::unique_ptr<Linear>> layers;
    layers.push_back(Pack(backend, weight, bias.values));
    for (int bits : {8, 4}) {
      auto rounded = backend->PackRounded({out, in, RowsInMemory(weight.ref())}, bias.values, bits,
                                          /*relative_error=*/nullptr);
      ASSERT_TRUE(rounded.ok()) << rounded.status();
      layers.push_back(*std::move(rounded));
    }
    for (size_t i = 0; i < layers.size(); ++i) {
      Matrix sum = RandomMatrix(rows, out, 4), added = sum, product(rows, out);
      layers[i]->Apply(x.ref(), sum.ref(), Linear::Write::kAccumulate);
      layers[i]->Apply(x.ref(), product.ref());
      for (size_t j = 0; j < added.values.size(); ++j) added.values[j] += product.values[j];
      EXPECT_TRUE(SameBits(sum.values, added.values)) << backend->name() << ", layer " << i;
    }
  }
}

TEST(LinearTest, ZeroRowsWriteNothing) {
  for (const Backend* backend : FastBackends()) {
    for (int bits : {32, 16}) {
      const auto linear = Pack(backend, RandomMatrix(8, 8, 1), {}, bits);
      linear->Apply(ConstMatrixRef(nullptr, 0, 8), MatrixRef(nullptr, 0, 8));
    }
  }
}

TEST(LinearTest, PackedRowsReadBackExactly) {
  for (const auto& [out, in] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {64, 64}, {300, 32}, {1001, 192}}) {
    const Matrix weight = RandomMatrix(out, in, 5);
    Matrix halves = weight;
    for (float& value : halves.values) value = HalfToFloat(FloatToHalf(value));
    std::vector<const Backend*> backends = FastBackends();
    backends.push_back(ReferenceBackend());
    for (const Backend* backend : backends) {
      for (int bits : {32, 16}) {
        const auto linear = Pack(backend, weight, {}, bits);
        const Matrix& want = bits == 32 ? weight : halves;
        std::vector<float> row(in);
        for (int64_t r = 0; r < out; ++r) {
          linear->CopyWeightRow(r, absl::MakeSpan(row));
          ASSERT_TRUE(SameBits(row, want.ref().Row(r)))
              << backend->name() << ": row " << r << " of " << out << " in " << bits << " bits";
        }
      }
    }
  }
}

// All 63488 of them, the smallest included.
TEST(LinearTest, FiniteHalvesStayAsTheyAre) {
  Matrix weight(62, 1024);
  for (int64_t i = 0; i < 62 * 1024; ++i) {
    weight.values[i] = HalfToFloat(static_cast<uint16_t>(i < 31 * 1024 ? i : i + 1024));
  }
  for (const Backend* backend : FastBackends()) {
    double error = 1;
    const auto linear =
        backend->PackRounded({62, 1024, RowsInMemory(weight.ref())}, {}, 16, &error);
    ASSERT_TRUE(linear.ok()) << linear.status();
    EXPECT_EQ(error, 0) << backend->name();
    std::vector<float> row(1024);
    for (int64_t r = 0; r < 62; ++r) {
      (*linear)->CopyWeightRow(r, absl::MakeSpan(row));
      ASSERT_TRUE(SameBits(row, weight.ref().Row(r))) << backend->name() << ": row " << r;
    }
  }
}

TEST(LinearTest, WhatSixteenBitsLoseIsReported) {
  std::vector<const Backend*> backends = FastBackends();
  backends.push_back(ReferenceBackend());
  const auto error_of = [](const Backend* backend, const Matrix& weight) {
    double error = -1;
    const WeightRows rows{weight.rows, weight.cols, RowsInMemory(weight.ref())};
    EXPECT_TRUE(backend->PackRounded(rows, {}, 16, &error).ok());
    return error;
  };
  for (const Backend* backend : backends) {
    Matrix weight = RandomMatrix(40, 300, 13, 0.02f);
    EXPECT_NEAR(error_of(backend, weight), 1.8e-4, 2e-5) << backend->name();
    EXPECT_GT(error_of(backend, RandomMatrix(40, 300, 13, 2e-7f)), 0.1) << backend->name();
    weight.values[4321] = 65519;
    EXPECT_LT(error_of(backend, weight), 2e-4) << backend->name();
    weight.values[4321] = -65520;
    EXPECT_EQ(error_of(backend, weight), HUGE_VAL) << backend->name();
    weight.values[4321] = std::numeric_limits<float>::quiet_NaN();
    const WeightRows rows{weight.rows, weight.cols, RowsInMemory(weight.ref())};
    EXPECT_EQ(backend->PackRounded(rows, {}, 16, nullptr).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

// The contract behind "alone or in any batch": a row's bits do not depend on its company.
TEST(LinearTest, ARowHasTheSameBitsInAnyBatch) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{64, 64},
                                {192, 384},
                                {768, 600},
                                {1100, 130},
                                {2048, 256},
                                {3072, 96}}) {
    const Matrix weight = RandomMatrix(out, in, 6, 0.1f);
    const Matrix bias = RandomMatrix(1, out, 7);
    const Matrix x = RandomMatrix(130, in, 8);
    for (const auto& [backend, bits] : FastBackendsAndBits()) {
      const auto linear = Pack(backend, weight, bias.values, bits);
      Matrix all(130, out);
      linear->Apply(x.ref(), all.ref());
      for (int64_t rows : {1, 2, 3, 5, 6, 7, 8, 14, 16, 17, 31, 32, 33, 64, 127}) {
        for (int64_t begin : {int64_t{0}, 130 - rows}) {
          Matrix some(rows, out);
          linear->Apply(x.ref().Rows(begin, rows), some.ref());
          EXPECT_TRUE(
              SameBits(some.values, {all.ref().Row(begin).data(), static_cast<size_t>(rows * out)}))
              << rows << " rows from " << begin << " of " << in << " x " << out << ", "
              << backend->name() << ", " << bits << " bits";
        }
      }
    }
  }
}

// Products and sums are fused and come in one order however wide the vectors are.
TEST(LinearTest, VectorsOfAnyWidthGiveTheSameBits) {
  const Matrix weight = RandomMatrix(200, 700, 14), x = RandomMatrix(20, 700, 15);
  for (int bits : {32, 16}) {
    Matrix first(20, 200);
    for (int isa = 1; isa <= static_cast<int>(DetectCpu().isa); ++isa) {
      Matrix y(20, 200);
      const auto linear = PackFloatLinear({200, 700, RowsInMemory(weight.ref())}, {}, bits,
                                          FloatKernelsFor(static_cast<Isa>(isa)));
      ASSERT_TRUE(linear.ok()) << linear.status();
      (*linear)->Apply(x.ref(), y.ref());
      if (isa == 1) first = y;
      EXPECT_TRUE(SameBits(y.values, first.values)) << bits << " bits";
    }
  }
}

// Any thread of the team may take any of the few strips that a small weight is read in.
TEST(LinearTest, SmallWeightsArePackedByLargeTeams) {
  const Matrix weight = RandomMatrix(130, 8, 16);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(16);
  for (int round = 0; round < 50; ++round) {
    for (const auto& [backend, bits] : FastBackendsAndBits()) {
      std::vector<float> row(8);
      Pack(backend, weight, {}, bits)->CopyWeightRow(129, absl::MakeSpan(row));
      EXPECT_NEAR(row[7], weight.ref().Row(129)[7], 1e-3) << backend->name();
    }
  }
  omp_set_num_threads(threads);
}

TEST(LinearTest, OneDnnsPlainLoopsAreRefused) {
  for (const char* name : {"brg:avx512_core", "gemm:jit", "jit:avx2"}) {
    EXPECT_TRUE(CheckOneDnnImplementation(name).ok()) << name;
  }
  EXPECT_THAT(std::string(CheckOneDnnImplementation("ref:any").message()), HasSubstr("ref:any"));
}

TEST(LinearTest, ThreadsDoNotChangeBits) {
  const Matrix weight = RandomMatrix(1000, 192, 9);
  const Matrix x = RandomMatrix(50, 192, 10);
  for (const auto& [backend, bits] : FastBackendsAndBits()) {
    const auto linear = Pack(backend, weight, {}, bits);
    for (int64_t rows : {1, 50}) {
      Matrix many(rows, 1000), one(rows, 1000);
      const int threads = omp_get_max_threads();
      omp_set_num_threads(3);
      linear->Apply(x.ref().Rows(0, rows), many.ref());
      omp_set_num_threads(1);
      linear->Apply(x.ref().Rows(0, rows), one.ref());
      omp_set_num_threads(threads);
      EXPECT_TRUE(SameBits(many.values, one.values)) << backend->name() << ", " << bits << " bits";
    }
  }
}

TEST(LinearTest, ReadsAndWritesStridedViews) {
  const Matrix weight = RandomMatrix(24, 16, 11);
  for (const auto& [backend, bits] : FastBackendsAndBits()) {
    const auto linear = Pack(backend, weight, {}, bits);
    Matrix x = RandomMatrix(20, 40, 12), y(20, 64), dense_x(20, 16), dense_y(20, 24);
    for (int64_t r = 0; r < 20; ++r)
      std::copy_n(x.ref().Row(r).data() + 8, 16, dense_x.ref().Row(r).data());
    linear->Apply(x.ref().Columns(8, 16), y.ref().Columns(32, 24));
    linear->Apply(dense_x.ref(), dense_y.ref());
    for (int64_t r = 0; r < 20; ++r) {
      EXPECT_LT(MaxDifference(y.ref().Row(r).subspan(32, 24), dense_y.ref().Row(r)), 1e-5);
      EXPECT_EQ(y.ref().Row(r)[31], 0.0f);
      EXPECT_EQ(y.ref().Row(r)[56], 0.0f);
    }
  }
}

}  // namespace
}  // namespace heed
