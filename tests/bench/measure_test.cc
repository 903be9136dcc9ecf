#include "tests/bench/measure.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bench/engine_bench.h"

namespace heed::bench {
namespace {

TEST(MeasureTest, QuantileTakesTheLowerMiddle) {
  EXPECT_EQ(Quantile({3}, 0.5), 3);
  EXPECT_EQ(Quantile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({5, 1, 3, 2, 4}, 0.5), 3);
  EXPECT_EQ(Quantile({5, 1, 3, 2, 4}, 0), 1);
  EXPECT_EQ(Quantile({5, 1, 3, 2, 4}, 1), 5);
}

TEST(MeasureTest, QuantileOfAHundredIsTheNinetyNinth) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(Quantile(values, 0.99), 99);
}

TEST(MeasureTest, SummaryHasMedianAndSpread) {
  const Measurement m = Summarise("a", "s", {2, 9, 4});
  EXPECT_EQ(m.median, 4);
  EXPECT_EQ(m.lowest, 2);
  EXPECT_EQ(m.highest, 9);
}

TEST(MeasureTest, RepeatsAfterOneRunToWarmUp) {
  int runs = 0;
  EXPECT_EQ(TimeRepeatedly(3, [&] { ++runs; }).size(), 3u);
  EXPECT_EQ(runs, 4);
}

TEST(MeasureTest, TableAlignsItsColumns) {
  const std::string table = FormatTable({{"short", "tokens/s", 1234.5, 1000, 2000, 0},
                                         {"a longer name", "GB/s", 0.01234, 0.0123, 0.0125, 87.6}});
  EXPECT_EQ(table,
            "                   median  lowest .. highest     of the roof\n"
            "short                1234  1000 .. 2000                  tokens/s\n"
            "a longer name      0.0123  0.0123 .. 0.0125        88 %  GB/s\n");
}

TEST(MeasureTest, JsonHasTheSameFacts) {
  EXPECT_EQ(
      FormatJson({{"a", "s", 2, 1, 3, 0}, {"b", "GB/s", 20.5, 20, 21, 75}}),
      "[\n  {\"name\": \"a\", \"unit\": \"s\", \"median\": 2, \"lowest\": 1, \"highest\": 3},\n"
      "  {\"name\": \"b\", \"unit\": \"GB/s\", \"median\": 20.5, \"lowest\": 20, \"highest\": 21, "
      "\"percent_of_roof\": 75}\n]\n");
}

// GPT-2 small: 12 layers of width 768, 124 M parameters of which 0.8 M are positions.
TEST(MeasureTest, CountsTheWeightsOfAKnownModel) {
  ModelConfig config;
  config.n_layers = 12;
  config.n_heads = config.n_kv_heads = 12;
  config.head_dim = 64;
  config.width = 768;
  config.ffn_width = 3072;
  config.vocab_size = 50257;
  config.gated_mlp = false;
  EXPECT_EQ(MatrixWeights(config), 12 * (4 * 768 * 768 + 2 * 768 * 3072) + 768 * 50257);
  config.causal = true;
  const double layers = 2.0 * 12 * (4 * 768 * 768 + 2 * 768 * 3072);
  const double unembedding = 2.0 * 768 * 50257;
  // Two tokens see three keys: scores and values, a multiply-add each.
  EXPECT_EQ(PrefillOperations(config, 2), 2 * layers + unembedding + 12 * 2.0 * 2 * 768 * 3);
}

}  // namespace
}  // namespace heed::bench
