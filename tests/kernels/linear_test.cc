#include <omp.h>

#include <memory>
#include <tuple>

#include "gtest/gtest.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

std::unique_ptr<Linear> Pack(const Backend* backend, const Matrix& weight,
                             absl::Span<const float> bias) {
  auto linear = backend->PackMatrix(weight.ref(), bias);
  EXPECT_TRUE(linear.ok()) << linear.status();
  return std::move(linear).value();
}

// (rows, in, out, bias)
using Shape = std::tuple<int64_t, int64_t, int64_t, bool>;

class LinearShapeTest : public testing::TestWithParam<Shape> {};

TEST_P(LinearShapeTest, EqualsTheScalarTwin) {
  const auto [rows, in, out, has_bias] = GetParam();
  const Matrix weight = RandomMatrix(out, in, 1, 0.3f);
  const Matrix bias = RandomMatrix(1, has_bias ? out : 0, 2);
  const Matrix x = RandomMatrix(rows, in, 3);
  const auto fast = Pack(DefaultBackend(), weight, bias.values);
  const auto twin = Pack(ReferenceBackend(), weight, bias.values);
  for (Linear::Write write : {Linear::Write::kOverwrite, Linear::Write::kAccumulate}) {
    Matrix got = RandomMatrix(rows, out, 4), want = got;
    fast->Apply(x.ref(), got.ref(), write);
    twin->Apply(x.ref(), want.ref(), write);
    EXPECT_LT(MaxDifference(got.values, want.values), 2e-5 * std::sqrt(static_cast<double>(in)));
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearShapeTest,
                         testing::Values(Shape{1, 1, 1, true}, Shape{1, 64, 48, false},
                                         Shape{2, 7, 5, true}, Shape{16, 40, 48, true},
                                         Shape{17, 33, 65, false}, Shape{130, 192, 384, true},
                                         Shape{3, 513, 1000, true}));

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
  const auto linear = Pack(DefaultBackend(), RandomMatrix(8, 8, 1), {});
  linear->Apply(ConstMatrixRef(nullptr, 0, 8), MatrixRef(nullptr, 0, 8));
}

TEST(LinearTest, PackedRowsReadBackExactly) {
  for (const auto& [out, in] :
       {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {64, 64}, {300, 32}, {1001, 192}}) {
    const Matrix weight = RandomMatrix(out, in, 5);
    for (const Backend* backend : {DefaultBackend(), ReferenceBackend()}) {
      const auto linear = Pack(backend, weight, {});
      std::vector<float> row(in);
      for (int64_t r = 0; r < out; ++r) {
        linear->CopyWeightRow(r, absl::MakeSpan(row));
        ASSERT_TRUE(SameBits(row, weight.ref().Row(r)))
            << backend->name() << ": row " << r << " of " << out;
      }
    }
  }
}

// The contract behind "alone or in any batch": a row's bits do not depend on its company.
TEST(LinearTest, ARowHasTheSameBitsInAnyBatch) {
  for (const auto& [in, out] :
       {std::pair<int64_t, int64_t>{64, 64}, {192, 384}, {768, 2304}, {2048, 512}}) {
    const Matrix weight = RandomMatrix(out, in, 6, 0.1f);
    const Matrix bias = RandomMatrix(1, out, 7);
    const auto linear = Pack(DefaultBackend(), weight, bias.values);
    const Matrix x = RandomMatrix(130, in, 8);
    Matrix all(130, out);
    linear->Apply(x.ref(), all.ref());
    for (int64_t rows : {1, 2, 3, 5, 8, 16, 17, 31, 64, 127}) {
      for (int64_t begin : {int64_t{0}, 130 - rows}) {
        Matrix some(rows, out);
        linear->Apply(x.ref().Rows(begin, rows), some.ref());
        EXPECT_TRUE(
            SameBits(some.values, {all.ref().Row(begin).data(), static_cast<size_t>(rows * out)}))
            << rows << " rows from " << begin << " of " << in << " x " << out;
      }
    }
  }
}

TEST(LinearTest, ThreadsDoNotChangeBits) {
  const Matrix weight = RandomMatrix(1000, 192, 9);
  const auto linear = Pack(DefaultBackend(), weight, {});
  const Matrix x = RandomMatrix(50, 192, 10);
  Matrix many(50, 1000), one(50, 1000);
  linear->Apply(x.ref(), many.ref());
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  linear->Apply(x.ref(), one.ref());
  omp_set_num_threads(threads);
  EXPECT_TRUE(SameBits(many.values, one.values));
}

TEST(LinearTest, ReadsAndWritesStridedViews) {
  const Matrix weight = RandomMatrix(24, 16, 11);
  const auto linear = Pack(DefaultBackend(), weight, {});
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

}  // namespace
}  // namespace heed
