#include <cmath>

#include "gtest/gtest.h"
#include "tests/kernels/kernel_testing.h"

namespace heed {
namespace {

constexpr Activation kActivations[] = {Activation::kGeluTanh, Activation::kGeluErf,
                                       Activation::kSilu, Activation::kRelu};

TEST(RowwiseTest, NormsEqualTheScalarTwin) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t cols : {1, 2, 15, 16, 17, 40, 192, 769}) {
      const Matrix x = RandomMatrix(3, cols, 1, 2.0f);
      const Matrix weight = RandomMatrix(1, cols, 2), bias = RandomMatrix(1, cols, 3);
      for (NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm}) {
        NormParameters norm{weight.values, {}, 1e-5};
        if (kind == NormKind::kLayerNorm) norm.bias = bias.values;
        Matrix got(3, cols), want(3, cols);
        backend->Normalize(kind, norm, x.ref(), got.ref());
        ReferenceBackend()->Normalize(kind, norm, x.ref(), want.ref());
        EXPECT_LT(MaxDifference(got.values, want.values), 1e-5)
            << backend->name() << ", " << cols << " columns";
      }
    }
  }
}

TEST(RowwiseTest, ActivationsEqualTheScalarTwinOverTheWholeRange) {
  Matrix x(1, 40001);
  for (int64_t i = 0; i < x.cols; ++i)
    x.values[i] = static_cast<float>(i - 20000) * 5e-3f;  // -100..100
  for (const Backend* backend : FastBackends()) {
    for (Activation activation : kActivations) {
      Matrix got = x, want = x;
      backend->Activate(activation, got.ref());
      ReferenceBackend()->Activate(activation, want.ref());
      for (int64_t i = 0; i < x.cols; ++i) {
        ASSERT_NEAR(got.values[i], want.values[i], 4e-7 * std::max(1.0f, std::abs(x.values[i])))
            << backend->name() << ", activation " << static_cast<int>(activation) << " at "
            << x.values[i];
      }
    }
  }
}

TEST(RowwiseTest, NoActivationHidesWhatIsNoNumber) {
  for (const Backend* backend : FastBackends()) {
    for (Activation activation : kActivations) {
      Matrix x(1, 20);
      x.values[3] = x.values[18] = std::nanf("");
      backend->Activate(activation, x.ref());
      EXPECT_TRUE(std::isnan(x.values[3]) && std::isnan(x.values[18]))
          << backend->name() << ", activation " << static_cast<int>(activation);
    }
  }
}

// Mixing up the two GELUs moves them apart by up to 5e-4: the bound above tells them apart.
TEST(RowwiseTest, TheTwoGelusDiffer) {
  Matrix tanh(1, 1), erf(1, 1);
  tanh.values[0] = erf.values[0] = -2.0f;
  DefaultBackend()->Activate(Activation::kGeluTanh, tanh.ref());
  DefaultBackend()->Activate(Activation::kGeluErf, erf.ref());
  EXPECT_GT(MaxDifference(tanh.values, erf.values), 5e-5);
}

TEST(RowwiseTest, GatedActivationMultipliesByUp) {
  for (const Backend* backend : FastBackends()) {
    for (int64_t cols : {1, 16, 37}) {
      const Matrix gate_up = RandomMatrix(5, 2 * cols, 4, 3.0f);
      for (Activation activation : kActivations) {
        Matrix got(5, cols), want(5, cols);
        backend->ActivateGated(activation, gate_up.ref(), got.ref());
        ReferenceBackend()->ActivateGated(activation, gate_up.ref(), want.ref());
        EXPECT_LT(MaxDifference(got.values, want.values), 1e-5) << backend->name();
      }
    }
  }
}

// Whether a layer makes its rows itself or not.
TEST(RowwiseTest, ALayerOfActivationsHasTheBitsOfActivatingFirst) {
  std::vector<const Backend*> backends = FastBackends();
  backends.push_back(ReferenceBackend());
  for (const Backend* backend : backends) {
    for (int bits : {32, 8}) {
      const Matrix weight = RandomMatrix(48, 1100, 1), bias = RandomMatrix(1, 48, 2);
      const auto linear = bits == 32 ? *backend->PackMatrix(weight.ref(), bias.values)
                                     : *backend->PackRounded({48, 1100, RowsInMemory(weight.ref())},
                                                             bias.values, bits, nullptr);
      for (int64_t rows : {1, 20}) {
        for (Activation activation : kActivations) {
          for (bool gated : {false, true}) {
            Matrix x = RandomMatrix(rows, gated ? 2200 : 1100, 4, 3.0f), room(rows, 1100);
            Matrix activated = gated ? Matrix(rows, 1100) : x;
            if (gated) {
              backend->ActivateGated(activation, x.ref(), activated.ref());
            } else {
              backend->Activate(activation, activated.ref());
            }
            Matrix want = RandomMatrix(rows, 48, 5), got = want;
            linear->Apply(activated.ref(), want.ref(), Linear::Write::kAccumulate);
            backend->ApplyActivated(activation, *linear, x.ref(), room.ref(), got.ref(),
                                    Linear::Write::kAccumulate);
            EXPECT_EQ(got.values, want.values) << backend->name() << ", " << bits << " bits";
          }
        }
      }
    }
  }
}

TEST(RowwiseTest, RotationEqualsTheScalarTwinAndKeepsLengths) {
  for (const Backend* backend : FastBackends()) {
    for (int head_dim : {2, 12, 32, 64, 80}) {
      const Matrix x = RandomMatrix(4, 3 * head_dim, 5);
      Matrix cos(4, head_dim / 2), sin(4, head_dim / 2);
      for (size_t i = 0; i < cos.values.size(); ++i) {
        cos.values[i] = std::cos(0.1f * static_cast<float>(i));
        sin.values[i] = std::sin(0.1f * static_cast<float>(i));
      }
      Matrix got = x, want = x;
      backend->Rotate(got.ref(), head_dim, cos.ref(), sin.ref());
      ReferenceBackend()->Rotate(want.ref(), head_dim, cos.ref(), sin.ref());
      EXPECT_LT(MaxDifference(got.values, want.values), 1e-6) << backend->name();
      double before = 0, after = 0;
      for (float v : x.values) before += double{v} * v;
      for (float v : got.values) after += double{v} * v;
      EXPECT_NEAR(before, after, 1e-4 * before);
    }
  }
}

TEST(RowwiseTest, ARotationOfFewerPairsLeavesTheRestOfAHead) {
  for (const Backend* backend : FastBackends()) {
    const Matrix x = RandomMatrix(5, 3 * 24, 8);
    const Matrix cos = RandomMatrix(5, 4, 9), sin = RandomMatrix(5, 4, 10);
    Matrix got = x, want = x;
    backend->Rotate(got.ref(), 24, cos.ref(), sin.ref());
    ReferenceBackend()->Rotate(want.ref(), 24, cos.ref(), sin.ref());
    EXPECT_LT(MaxDifference(got.values, want.values), 1e-6) << backend->name();
    for (int64_t i = 0; i < x.cols; ++i) {
      EXPECT_EQ(got.ref().Row(2)[i] == x.ref().Row(2)[i], i % 24 >= 8) << i;
    }
  }
}

TEST(RowwiseTest, NormsOfHeadsAreNormsOfEachAlone) {
  for (const Backend* backend : FastBackends()) {
    for (NormKind kind : {NormKind::kLayerNorm, NormKind::kRmsNorm}) {
      const Matrix x = RandomMatrix(4, 3 * 20, 11), weight = RandomMatrix(1, 20, 12);
      const NormParameters norm{weight.values, {}, 1e-5};
      Matrix got = x, want = x, twin = x;
      backend->NormalizeHeads(kind, norm, got.ref(), 20);
      ReferenceBackend()->NormalizeHeads(kind, norm, twin.ref(), 20);
      for (int head = 0; head < 3; ++head) {
        const MatrixRef columns = want.ref().Columns(20 * head, 20);
        backend->Normalize(kind, norm, columns, columns);
      }
      EXPECT_TRUE(SameBits(got.values, want.values)) << backend->name();
      EXPECT_LT(MaxDifference(got.values, twin.values), 1e-5) << backend->name();
    }
  }
}

TEST(RowwiseTest, SoftCapsEqualTheScalarTwinOverTheWholeRange) {
  Matrix x(1, 40001);
  for (int64_t i = 0; i < x.cols; ++i)
    x.values[i] = static_cast<float>(i - 20000) * 1e-2f;  // -200..200
  for (const Backend* backend : FastBackends()) {
    for (float cap : {0.5f, 30.0f, 50.0f}) {
      Matrix got = x, want = x;
      backend->SoftCap(cap, got.ref());
      ReferenceBackend()->SoftCap(cap, want.ref());
      for (int64_t i = 0; i < x.cols; ++i) {
        ASSERT_NEAR(got.values[i], want.values[i], 4e-7 * std::abs(want.values[i]) + 1e-30)
            << backend->name() << ", cap " << cap << " at " << x.values[i];
      }
    }
  }
}

TEST(RowwiseTest, AddAdds) {
  for (const Backend* backend : FastBackends()) {
    const Matrix x = RandomMatrix(3, 37, 13), y = RandomMatrix(3, 37, 14);
    Matrix got = y;
    backend->Add(x.ref(), got.ref());
    for (size_t i = 0; i < x.values.size(); ++i) {
      ASSERT_EQ(got.values[i], y.values[i] + x.values[i]);
    }
  }
}

}  // namespace
}  // namespace heed
