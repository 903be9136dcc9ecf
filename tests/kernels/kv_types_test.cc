// Keys and values that are rounded as they are stored.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/kernels/kv_rounding.h"
#include "tests/kernels/attention_testing.h"

namespace heed {
namespace {

// Numbers as they come, and at the edges of what fewer bits hold.
Matrix EdgyMatrix(int64_t rows, int64_t cols, uint32_t seed) {
  constexpr float kEdges[] = {0.0f,      -0.0f,   1e-45f,   -1e-39f,  6e-8f,    2.98e-8f, 2.99e-8f,
                              6.097e-5f, 2048.5f, -4097.0f, 65504.0f, 65519.0f, 1e-31f,   0.5f};
  Matrix m = RandomMatrix(rows, cols, seed);
  for (size_t i = 0; i < m.values.size(); i += 3) m.values[i] = kEdges[i / 3 % std::size(kEdges)];
  for (int64_t i = 0; i < cols; ++i) {
    m.values[i] *= 1e-30f;  // heads of next to nothing
    if (rows > 2) m.values[2 * cols + i] = i % 2 == 0 ? 127.0f : 126.5f * static_cast<float>(i);
  }
  return m;
}

TEST(KvTypesTest, WhatIsStoredEqualsTheScalarTwinToTheBit) {
  for (KvType type : kKvTypes) {
    for (int head_dim : {1, 5, 16, 20, 64, 80}) {
      const AttentionShape shape{2, 2, head_dim, 1.0f, true};
      Sequence twin(shape, 37, 1, type);
      for (const Backend* backend : FastBackends()) {
        Sequence fast(shape, 37, 1, type);
        for (Sequence* s : {&twin, &fast}) {
          s->key = EdgyMatrix(37, 2 * head_dim, 2);
          s->value = EdgyMatrix(37, 2 * head_dim, 3);
        }
        for (const auto& [begin, end] : {std::pair{0, 3}, {3, 20}, {20, 37}}) {
          fast.Slice(backend, begin, end);
          twin.Slice(ReferenceBackend(), begin, end);
        }
        EXPECT_EQ(std::memcmp(fast.memory.data(), twin.memory.data(), 4 * fast.memory.size()), 0)
            << backend->name() << ", type " << static_cast<int>(type) << ", dim " << head_dim;
      }
    }
  }
}

TEST(KvTypesTest, RoundingIsNearAndRoundingTwiceIsRoundingOnce) {
  for (const auto& [type, most] : {std::pair{KvType::kF32, 0.0}, {KvType::kF16, 0x1p-11}}) {
    Matrix once = RandomMatrix(40, 60, 1);
    const Matrix exact = once;
    RoundAsStored(type, 20, once.ref());
    for (size_t i = 0; i < once.values.size(); ++i) {
      const double size = std::max(std::abs(double{exact.values[i]}), 0x1p-14);  // subnormals below
      EXPECT_LE(std::abs(double{once.values[i]} - exact.values[i]), most * size);
    }
  }
  Matrix once = EdgyMatrix(40, 60, 1);
  const Matrix exact = once;
  RoundAsStored(KvType::kInt8, 20, once.ref());
  for (size_t i = 0; i < once.values.size(); i += 20) {
    const auto head = absl::MakeConstSpan(exact.values).subspan(i, 20);
    float largest = 0;
    for (float v : head) largest = std::max(largest, std::abs(v));
    EXPECT_LT(MaxDifference(absl::MakeConstSpan(once.values).subspan(i, 20), head),
              largest * (0.5001 / 127) + 1e-29);
  }
  for (KvType type : {KvType::kF16, KvType::kInt8}) {
    Matrix first = EdgyMatrix(40, 60, 1);
    RoundAsStored(type, 20, first.ref());
    Matrix second = first;
    RoundAsStored(type, 20, second.ref());
    EXPECT_EQ(first.values, second.values);  // but for the signs of zeros
  }
}

// Whoever stores what was rounded before gets what the rounding said: outputs over exact pages of
// rounded numbers are those over rounded pages of exact ones, but for the scales' place.
TEST(KvTypesTest, RoundedPagesAreExactPagesOfRoundedNumbers) {
  for (const Backend* backend : FastBackends()) {
    for (KvType type : {KvType::kF16, KvType::kInt8}) {
      for (int head_dim : {8, 20, 64}) {
        const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
        const AttentionShape shape{4, 2, head_dim, scale, true};
        Sequence rounded(shape, 90, 1, type), exact(shape, 90, 1), plain(shape, 90, 1);
        RoundAsStored(type, head_dim, exact.key.ref());
        RoundAsStored(type, head_dim, exact.value.ref());
        for (Sequence* s : {&rounded, &exact, &plain}) s->Run(backend, 0, 90);
        EXPECT_LT(MaxDifference(rounded.output.values, exact.output.values), 2e-6);
        EXPECT_GT(MaxDifference(rounded.output.values, plain.output.values), 1e-5);
      }
    }
  }
}

TEST(KvTypesTest, OutputsAndWeightsEqualTheScalarTwin) {
  constexpr float kSlopes[] = {0.5f, 0.0625f, 0.0f, 1.5f};
  for (const Backend* backend : FastBackends()) {
    for (KvType type : {KvType::kF16, KvType::kInt8}) {
      for (const AttentionShape& shape :
           {AttentionShape{4, 2, 20, 0.3f, true}, AttentionShape{4, 4, 64, 0.2f, false},
            AttentionShape{4, 2, 33, 0.4f, true, 17, 0.7f, kSlopes}}) {
        for (int64_t length : {1, 9, 70}) {
          Sequence fast(shape, length, 1, type), twin(shape, length, 1, type);
          RecordingSink fast_rows, twin_rows;
          const std::vector<int> heads = AllHeads(4);
          const std::vector<int64_t> queries = AllQueries(length);
          fast.Run(backend, 0, length, {heads, queries}, &fast_rows);
          twin.Run(ReferenceBackend(), 0, length, {heads, queries}, &twin_rows);
          EXPECT_LT(MaxDifference(fast.output.values, twin.output.values), 4e-6) << backend->name();
          ASSERT_EQ(fast_rows.rows.size(), static_cast<size_t>(4 * length));
          for (const auto& [at, row] : fast_rows.rows) {
            EXPECT_LT(MaxDifference(row, twin_rows.rows[at]), 2e-6) << backend->name();
          }
        }
      }
    }
  }
}

TEST(KvTypesTest, WhatIsNotFiniteIsNotLost) {
  for (const Backend* backend : FastBackends()) {
    for (KvType type : kKvTypes) {
      for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        for (bool in_keys : {true, false}) {
          Sequence sequence({1, 1, 20, 1.0f, true}, 30, 1, type);
          (in_keys ? sequence.key : sequence.value).ref().Row(20)[7] = bad;
          sequence.Run(backend, 0, 30);
          for (int64_t row = 0; row < 30; ++row) {
            bool is_finite = true;
            for (float v : sequence.output.ref().Row(row)) is_finite &= std::isfinite(v);
            if (row < 18) {  // later ones are computed together with row 20
              ASSERT_TRUE(is_finite) << row;
            } else if (row >= 20 && !(in_keys && bad > 0)) {  // a score of -inf is a weight of 0
              ASSERT_FALSE(is_finite) << row;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace heed
