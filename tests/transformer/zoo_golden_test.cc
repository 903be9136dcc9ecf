// The shipped decoder and encoder against transformers, which opened the same folders
// (tests/golden/zoo_goldens.py).
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

constexpr double kLogitsTolerance = 1e-4;
constexpr double kWeightsTolerance = 1e-5;
constexpr int kPrompts = 3;
constexpr int kLayers[] = {0, 3};

class ZooGoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = LoadFolder(HEED_SOURCE_DIR "/model/zoo/" + GetParam(), DefaultBackend());
    ASSERT_NE(model_, nullptr);
  }

  std::vector<TokenId> Ids(const std::string& name) const {
    const std::vector<int64_t> ids = golden_.Read<int64_t>(name);
    return {ids.begin(), ids.end()};
  }

  GoldenFile golden_{HEED_SOURCE_DIR "/tests/golden/zoo/" + GetParam() + ".safetensors"};
  std::unique_ptr<const LanguageModel> model_;
};

// The largest difference of a layer's weights from `map`, [heads, n, n].
double WorstWeight(const AttentionRecorder& recorder, int layer, int n_heads, int64_t n,
                   const std::vector<float>& map) {
  double worst = 0;
  for (int head = 0; head < n_heads; ++head) {
    for (int64_t q = 0; q < n; ++q) {
      const std::vector<float>& row = recorder.rows.at({layer, head, q});
      for (size_t k = 0; k < row.size(); ++k)
        worst = std::max(worst, std::abs(double{row[k]} - map[(head * n + q) * n + k]));
    }
  }
  return worst;
}

TEST_P(ZooGoldenTest, LogitsAndAttentionEqualTransformers) {
  const int64_t vocab_size = model_->config().vocab_size;
  for (int i = 0; i < kPrompts; ++i) {
    SCOPED_TRACE(i);
    const std::string prefix = std::to_string(i) + ".";
    const std::vector<TokenId> ids = Ids(prefix + "input_ids");
    AttentionRecorder recorder(model_->config());
    const std::vector<float> logits = Runner(model_.get(), &recorder).Append(ids);
    const std::vector<float> want = golden_.Read<float>(prefix + "logits");
    const std::vector<TokenId> positions = Ids(prefix + "positions");
    ASSERT_EQ(want.size(), positions.size() * vocab_size);
    double worst = 0;
    for (size_t j = 0; j < want.size(); ++j) {
      const int64_t position = positions[j / vocab_size];
      const double got = logits.at(position * vocab_size + j % vocab_size);
      worst = std::max(worst, std::abs(got - want[j]));
    }
    EXPECT_LT(worst, kLogitsTolerance);
    for (int layer : kLayers) {
      const auto map = golden_.Read<float>(prefix + "attentions." + std::to_string(layer));
      const int64_t n = static_cast<int64_t>(ids.size());
      EXPECT_LT(WorstWeight(recorder, layer, model_->config().n_heads, n, map), kWeightsTolerance)
          << "layer " << layer;
    }
  }
}

TEST_P(ZooGoldenTest, GreedyContinuationEqualsTransformers) {
  if (!model_->config().causal) return;  // an encoder continues nothing
  for (int i = 0; i < kPrompts; ++i) {
    const std::string prefix = std::to_string(i) + ".";
    const std::vector<TokenId> want = Ids(prefix + "greedy_ids");
    std::vector<TokenId> next = Ids(prefix + "input_ids"), got;
    Runner runner(model_.get());
    while (got.size() < want.size()) {
      const std::vector<float> logits = runner.Append(next);
      const auto last = logits.end() - model_->config().vocab_size;
      next = {static_cast<TokenId>(std::max_element(last, logits.end()) - last)};
      got.push_back(next[0]);
    }
    EXPECT_EQ(got, want) << "prompt " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, ZooGoldenTest, testing::Values("decoder", "encoder"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace heed
