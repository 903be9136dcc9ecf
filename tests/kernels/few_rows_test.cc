// Few rows against whoever packed the weights, who adds in this order or that.
#include "model/kernels/few_rows.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "gtest/gtest.h"
#include "model/kernels/linear_float.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

constexpr int64_t kCols = 64;

// A layer in panels, and a library that multiplies with it: it adds the products of `chunk`
// features one after the other, then these sums.
struct Library {
  int64_t in, out, chunk;
  bool is_fused = true;
  Matrix panels = Matrix((out + kCols - 1) / kCols, in* kCols);

  FloatPanels view() {
    return {
        .weights = panels.values.data(), .in = in, .out = out, .cols = kCols, .stride = in * kCols};
  }
  float WeightAt(int64_t n, int64_t k) const {
    return panels.values[n / kCols * in * kCols + k * kCols + n % kCols];
  }
  float Dot(absl::Span<const float> x, int64_t n) const {
    float total = 0;
    for (int64_t begin = 0; begin < in; begin += chunk) {
      float sum = 0;
      for (int64_t k = begin; k < std::min(in, begin + chunk); ++k) {
        const volatile float product = x[k] * WeightAt(n, k);
        sum = is_fused ? std::fma(x[k], WeightAt(n, k), sum) : sum + product;
      }
      total += sum;
    }
    return total;
  }
  void Multiply(ConstMatrixRef x, MatrixRef y) const {
    for (int64_t r = 0; r < x.rows; ++r) {
      for (int64_t n = 0; n < out; ++n) y.Row(r)[n] = Dot(x.Row(r), n);
    }
  }
  std::optional<FewRows> Imitate(const FloatKernels* kernels) {
    return FewRows::Imitate(view(), kernels,
                            [this](ConstMatrixRef x, MatrixRef y) { Multiply(x, y); });
  }
};

std::vector<const FloatKernels*> FusingKernels() {
  std::vector<const FloatKernels*> all;
  for (int isa = 1; isa <= static_cast<int>(DetectCpu().isa); ++isa) {
    all.push_back(FloatKernelsFor(static_cast<Isa>(isa)));
  }
  return all;
}

TEST(FewRowsTest, HaveTheLibrarysBits) {
  for (const FloatKernels* kernels : FusingKernels()) {
    for (Library library : {Library{37, 100, 37}, Library{700, 70, 512}, Library{2100, 65, 1024}}) {
      const std::optional<FewRows> few = library.Imitate(kernels);
      ASSERT_TRUE(few.has_value()) << library.in;
      const Matrix weights = RandomMatrix(library.panels.rows, library.panels.cols, 1);
      std::copy(weights.values.begin(), weights.values.end(), library.panels.values.begin());
      const Matrix bias = RandomMatrix(1, library.out, 2);
      for (int64_t rows : {1, 2, 5, 6, 7, 14, 15, 16, 32}) {
        // Rows of a wider matrix, on both sides.
        const Matrix x = RandomMatrix(rows, library.in + 3, 3);
        const ConstMatrixRef some(x.values.data(), rows, library.in, library.in + 3);
        Matrix want(rows, library.out);
        library.Multiply(some, want.ref());
        for (auto write : {Linear::Write::kOverwrite, Linear::Write::kAccumulate}) {
          Matrix y = RandomMatrix(rows, library.out + 5, 4);
          const Matrix before = y;
          few->Apply(some, bias.values.data(),
                     {y.values.data(), rows, library.out, library.out + 5}, write);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t n = 0; n < library.out + 5; ++n) {
              const float old = before.ref().Row(r)[n];
              const float sum = n < library.out ? want.ref().Row(r)[n] + bias.values[n] : old;
              const bool adds = write == Linear::Write::kAccumulate && n < library.out;
              ASSERT_EQ(y.ref().Row(r)[n], adds ? old + sum : sum)
                  << library.in << " features, row " << r << " of " << rows << ", column " << n;
            }
          }
        }
      }
    }
  }
}

TEST(FewRowsTest, AnUnknownOrderIsLeftToTheLibrary) {
  for (const FloatKernels* kernels : FusingKernels()) {
    EXPECT_FALSE((Library{701, 70, 100}.Imitate(kernels).has_value()));
    EXPECT_FALSE((Library{702, 70, 512, /*is_fused=*/false}.Imitate(kernels).has_value()));
  }
}

TEST(FewRowsTest, PanelsOfOtherWidthsAreLeftToTheLibrary) {
  for (const FloatKernels* kernels : FusingKernels()) {
    Library library{38, 100, 38};
    FloatPanels panels = library.view();
    panels.cols = 48;
    const auto never = [](ConstMatrixRef, MatrixRef) { ADD_FAILURE(); };
    if (kernels->panel_cols == 32) {
      EXPECT_FALSE(FewRows::Imitate(panels, kernels, never));
    }
    panels.cols = 128;
    EXPECT_FALSE(FewRows::Imitate(panels, kernels, never));
  }
}

}  // namespace
}  // namespace heed
