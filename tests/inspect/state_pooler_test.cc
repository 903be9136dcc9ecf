// Pooled hidden states against the formulas, and the states themselves against the references.
#include "model/inspect/state_pooler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::IsEmpty;

// Feeds states, [n_tokens, width], in passes of `chunk` tokens, as a model does.
void Feed(const std::vector<float>& states, int64_t width, int64_t chunk, StatePooler& pooler) {
  const int64_t n_tokens = static_cast<int64_t>(states.size()) / width;
  for (int64_t begin = 0; begin < n_tokens; begin += chunk) {
    for (int64_t p : pooler.WantHiddenStates(begin, std::min(n_tokens, begin + chunk))) {
      pooler.OnHiddenState(p, absl::MakeConstSpan(states).subspan(p * width, width));
    }
  }
}

std::vector<float> PoolOf(PoolingKind kind, const std::vector<float>& states, int64_t width,
                          int64_t dimensions, bool normalize) {
  StatePooler pooler(
      {.kind = kind, .n_tokens = static_cast<int64_t>(states.size()) / width, .width = width});
  Feed(states, width, 2, pooler);
  return pooler.Pooled(dimensions, normalize);
}

TEST(StatePoolerTest, PoolsAsTheFormulasSay) {
  const std::vector<float> states = {1, 2, 4, 3, -6, 8, 5, 1, 0};  // [3, 3]
  EXPECT_THAT(PoolOf(PoolingKind::kMean, states, 3, 3, false), ElementsAre(3, -1, 4));
  EXPECT_THAT(PoolOf(PoolingKind::kFirst, states, 3, 3, false), ElementsAre(1, 2, 4));
  EXPECT_THAT(PoolOf(PoolingKind::kLast, states, 3, 3, false), ElementsAre(5, 1, 0));
}

TEST(StatePoolerTest, LengthIsThatOfTheDimensionsThatAreKept) {
  const std::vector<float> states = {3, -4, 12, 100};
  EXPECT_THAT(PoolOf(PoolingKind::kMean, states, 4, 2, false), ElementsAre(3, -4));
  EXPECT_THAT(PoolOf(PoolingKind::kMean, states, 4, 2, true),
              ElementsAre(FloatEq(0.6f), FloatEq(-0.8f)));
  EXPECT_THAT(PoolOf(PoolingKind::kMean, states, 4, 3, true),
              ElementsAre(FloatEq(3.0f / 13), FloatEq(-4.0f / 13), FloatEq(12.0f / 13)));
}

TEST(StatePoolerTest, AVectorOfZerosStaysOne) {
  EXPECT_THAT(PoolOf(PoolingKind::kMean, {1, -2, -1, 2}, 2, 2, true), ElementsAre(0, 0));
}

TEST(StatePoolerTest, LengthsAtTheEndsOfTheRangeAreRight) {
  for (float size : {1e-38f, 1e38f}) {
    EXPECT_THAT(PoolOf(PoolingKind::kLast, {3 * size / 4, size}, 2, 2, true),
                ElementsAre(FloatEq(0.6f), FloatEq(0.8f)));
  }
}

// A float sum would lose the small addends.
TEST(StatePoolerTest, AMeanLosesNothing) {
  std::vector<float> states(1 << 12, 1.0f);
  states[0] = 1 << 26;
  const float mean = PoolOf(PoolingKind::kMean, states, 1, 1, false)[0];
  EXPECT_EQ(mean, static_cast<float>(((1 << 26) + 4095.0) / 4096.0));
}

TEST(StatePoolerTest, AsksForNoMoreThanItNeeds) {
  StatePooler first({.kind = PoolingKind::kFirst, .n_tokens = 5, .width = 1});
  EXPECT_THAT(first.WantHiddenStates(0, 3), ElementsAre(0));
  EXPECT_THAT(first.WantHiddenStates(3, 5), IsEmpty());
  StatePooler last({.kind = PoolingKind::kLast, .n_tokens = 5, .width = 1});
  EXPECT_THAT(last.WantHiddenStates(0, 4), IsEmpty());
  EXPECT_THAT(last.WantHiddenStates(4, 5), ElementsAre(4));
  StatePooler mean({.kind = PoolingKind::kMean, .n_tokens = 5, .width = 1});
  EXPECT_THAT(mean.WantHiddenStates(1, 4), ElementsAre(1, 2, 3));
  EXPECT_THAT(mean.WantAttention(0, 0, 5).heads, IsEmpty());
}

TEST(StatePoolerTest, KeepsTheStatesWhenAskedWhateverIsPooled) {
  const std::vector<float> states = {1, 2, 3, 4, 5, 6};
  for (PoolingKind kind : {PoolingKind::kMean, PoolingKind::kFirst, PoolingKind::kLast}) {
    StatePooler pooler({.kind = kind, .n_tokens = 3, .width = 2, .keep_states = true});
    Feed(states, 2, 1, pooler);
    EXPECT_EQ(pooler.Pooled(2, false), PoolOf(kind, states, 2, 2, false));
    EXPECT_EQ(pooler.TakeStates(), states);
  }
}

TEST(StatePoolerTest, TellsWhereANumberIsNone) {
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    StatePooler pooler({.kind = PoolingKind::kMean, .n_tokens = 3, .width = 2});
    Feed({1, 2, 3, bad, bad, 6}, 2, 3, pooler);
    EXPECT_EQ(pooler.nonfinite_position(), 1);
  }
  StatePooler good({.kind = PoolingKind::kMean, .n_tokens = 1, .width = 1});
  Feed({1}, 1, 1, good);
  EXPECT_FALSE(good.nonfinite_position().has_value());
}

// --- The golden models ---------------------------------------------------------------------------

class GoldenStates : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  const std::string& name() const { return std::get<0>(GetParam()); }
  const Backend* backend() const {
    return std::get<1>(GetParam()) ? DefaultBackend() : ReferenceBackend();
  }
  std::vector<TokenId> InputIds() const {
    const GoldenFile golden(GoldenFolder(name()) + "/golden.safetensors");
    const std::vector<int64_t> ids = golden.Read<int64_t>("input_ids");
    return {ids.begin(), ids.end()};
  }
  // transformers' in a file of their own, the mixing formulas' beside the other values.
  std::vector<float> WantedStates() const {
    const GoldenFile golden(GoldenFolder(name()) + "/golden.safetensors");
    if (golden.Has("hidden")) return golden.Read<float>("hidden");
    return GoldenFile(GoldenFolder(name()) + "/states.safetensors")
        .Read<float>("last_hidden_state");
  }
  static StatePoolerOptions Options(int64_t n_tokens, const LanguageModel& model) {
    return {.kind = PoolingKind::kMean,
            .n_tokens = n_tokens,
            .width = model.config().width,
            .keep_states = true};
  }
};

TEST_P(GoldenStates, EqualTheReferences) {
  constexpr double kTolerance = 1e-4;
  const auto model = LoadGolden(name(), backend());
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> ids = InputIds();
  const int64_t width = model->config().width;
  StatePooler pooler(Options(static_cast<int64_t>(ids.size()), *model));
  Runner(model.get(), &pooler).Append(ids);

  const std::vector<float> want = WantedStates();
  const std::vector<float> pooled = pooler.Pooled(width, false);
  const std::vector<float> got = pooler.TakeStates();
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    worst = std::max(worst, std::abs(double{got[i]} - want[i]));
  }
  EXPECT_LT(worst, kTolerance);
  RecordProperty("worst_state_difference", std::to_string(worst));

  for (int64_t i = 0; i < width; ++i) {
    double sum = 0;
    for (size_t p = 0; p < ids.size(); ++p) sum += got[p * width + i];
    EXPECT_EQ(pooled[i], static_cast<float>(sum / static_cast<double>(ids.size())));
  }
}

TEST_P(GoldenStates, AreTheSameHoweverThePromptIsCut) {
  const auto model = LoadGolden(name(), backend());
  ASSERT_NE(model, nullptr);
  if (!model->config().causal) return;  // takes a whole text in one pass
  const std::vector<TokenId> ids = InputIds();
  StatePooler whole(Options(static_cast<int64_t>(ids.size()), *model));
  Runner(model.get(), &whole).Append(ids);
  StatePooler cut(Options(static_cast<int64_t>(ids.size()), *model));
  Runner runner(model.get(), &cut);
  runner.set_prompt_tokens(ids.size());
  for (size_t begin = 0; begin < ids.size(); begin += 7) {
    runner.Append(absl::MakeConstSpan(ids).subspan(begin, 7));
  }
  EXPECT_EQ(cut.Pooled(model->config().width, true), whole.Pooled(model->config().width, true));
  EXPECT_EQ(cut.TakeStates(), whole.TakeStates());
}

std::string TestName(const ::testing::TestParamInfo<std::tuple<std::string, bool>>& info) {
  std::string name = std::get<0>(info.param) + (std::get<1>(info.param) ? "_fast" : "_scalar");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenStates,
                         ::testing::Combine(::testing::ValuesIn(GoldenModels()), ::testing::Bool()),
                         TestName);

}  // namespace
}  // namespace heed
