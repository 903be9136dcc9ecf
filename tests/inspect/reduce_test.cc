// Rows and maps made smaller: by a threshold, by spans, by blocks, by principal components.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_reduce.h"
#include "model/inspect/pca.h"

namespace heed {
namespace {

using testing::ElementsAre;

TEST(ReduceTest, AThresholdDropsWhatItSays) {
  const std::vector<float> row = {0.5f, 0.125f, 0.0f, 0.25f, 0.125f};
  const SparseRow kept = KeepFrom(row, 0.25f);
  EXPECT_THAT(kept.keys, ElementsAre(0, 3));
  EXPECT_THAT(kept.weights, ElementsAre(0.5f, 0.25f));
  EXPECT_EQ(kept.dropped_mass, 0.25f);
  EXPECT_EQ(KeepFrom(row, 0).keys.size(), 5u);
}

TEST(ReduceTest, SpansSumTheirKeys) {
  const std::vector<float> row = {0.5f, 0.125f, 0.0f, 0.25f, 0.125f};
  const KeySpan spans[] = {{3, 5}, {0, 2}, {2, 2}};
  std::vector<float> sums(3, -1);
  SumSpans(row, spans, absl::MakeSpan(sums));
  EXPECT_THAT(sums, ElementsAre(0.375f, 0.625f, 0.0f));
}

TEST(ReduceTest, PooledBlocksCoverAllAndOnce) {
  PooledMap max(5, 3, 2, 2, PooledMap::Reduction::kMax);
  PooledMap mean(5, 3, 2, 2, PooledMap::Reduction::kMean);
  PooledMap whole(2, 3, 9, 9, PooledMap::Reduction::kMean);
  for (int64_t q : {4, 0, 3, 1, 2}) {
    const std::vector<float> row = {static_cast<float>(q), 1, 2 + static_cast<float>(q)};
    max.AddRow(q, row);
    mean.AddRow(q, row);
    if (q < 2) whole.AddRow(q, row);
  }
  EXPECT_THAT(max.Grid(), ElementsAre(1, 3, 4, 6));
  EXPECT_THAT(mean.Grid(), ElementsAre(0.5f, 1.75f, 3, 3));
  EXPECT_EQ(max.FirstQuery(1), 2);
  EXPECT_THAT(whole.Grid(), ElementsAre(0, 1, 2, 1, 1, 3));
}

TEST(ShapesTest, ComponentsOfALineAndOfAPoint) {
  const std::vector<float> line = {1, 2, 0, 2, 4, 0, 3, 6, 0};
  const PrincipalComponents pca = *Pca({line.data(), 3, 3}, 2);
  EXPECT_NEAR(pca.explained[0], 1, 1e-12);
  EXPECT_NEAR(pca.explained[1], 0, 1e-12);
  EXPECT_NEAR(pca.coordinates[0], -std::sqrt(5.0), 1e-5);
  EXPECT_NEAR(pca.coordinates[4], std::sqrt(5.0), 1e-5);
  const PrincipalComponents point = *Pca({line.data(), 1, 3}, 2);
  EXPECT_THAT(point.explained, ElementsAre(0, 0));
  EXPECT_THAT(point.coordinates, ElementsAre(0, 0));
  StopSignal stop;
  stop.Cancel();
  EXPECT_EQ(Pca({line.data(), 3, 3}, 2, &stop).status().code(), absl::StatusCode::kCancelled);
  const std::vector<float> zero = {0, 0, 0};
  EXPECT_THAT(Cosines({zero.data(), 1, 3}, {line.data(), 1, 3}), ElementsAre(0));
}

TEST(ShapesTest, LengthsAreThoseOfEachRun) {
  const std::vector<float> rows = {3, 4, 0, 2, 5, 12, -1, 0};
  EXPECT_THAT(Norms({rows.data(), 2, 4}, 2), ElementsAre(5, 2, 13, 1));
}

// Of more rows than are multiplied together.
TEST(ShapesTest, CosinesOfManyRowsAreThoseOfEachPair) {
  constexpr int64_t kWidth = 21;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(150 * kWidth);
  for (float& number : numbers) number = normal(random);
  const ConstMatrixRef a(numbers.data(), 20, kWidth);
  const ConstMatrixRef b(numbers.data() + 20 * kWidth, 130, kWidth);
  const auto product = [](absl::Span<const float> x, absl::Span<const float> y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  const std::vector<float> cosines = Cosines(a, b), own = Cosines(b, b);
  ASSERT_EQ(cosines.size(), 20u * 130);
  for (int64_t j = 0; j < 130; ++j) {
    EXPECT_NEAR(own[j * 130 + j], 1, 1e-6);
    for (int64_t i = 0; i < 20; ++i) {
      const double squares = product(a.Row(i), a.Row(i)) * product(b.Row(j), b.Row(j));
      EXPECT_NEAR(cosines[i * 130 + j], product(a.Row(i), b.Row(j)) / std::sqrt(squares), 1e-6)
          << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace heed
