// What each mixing pattern promises exactly, and mixing models that must be refused.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Rows = std::map<std::tuple<int, int, int64_t>, std::vector<float>>;

// --- What a pattern promises ---------------------------------------------------------------------

class MixingModelTest : public testing::TestWithParam<bool> {
 protected:
  const Backend* backend() const { return GetParam() ? DefaultBackend() : ReferenceBackend(); }

  std::unique_ptr<const LanguageModel> Load(const std::string& pattern) const {
    return LoadGolden("mixing-" + pattern, backend());
  }
  // The logits at the last of the tokens.
  static std::vector<float> Last(const LanguageModel& model, const std::vector<TokenId>& ids) {
    const std::vector<float> logits = Runner(&model).Append(ids);
    return {logits.end() - model.config().vocab_size, logits.end()};
  }
  static Rows WeightsOf(const LanguageModel& model, const std::vector<TokenId>& ids) {
    AttentionRecorder recorder(model.config());
    Runner(&model, &recorder).Append(ids);
    return recorder.rows;
  }
  static double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - b[i]));
    return worst;
  }

  const std::vector<TokenId> ids_ = {7, 3, 60, 0, 12, 3, 3, 41, 25, 18, 9, 33, 50, 2, 2, 8, 19};
};

TEST_P(MixingModelTest, TheLastWordIsAllThatCounts) {
  const auto model = Load("last-word");
  ASSERT_NE(model, nullptr);
  for (const auto& [at, row] : WeightsOf(*model, ids_)) {
    std::vector<float> want(std::get<2>(at) + 1, 0.0f);
    want.back() = 1.0f;
    EXPECT_EQ(row, want);
  }
  const std::vector<float> alone = Last(*model, {19});
  EXPECT_EQ(Last(*model, ids_), alone);
  EXPECT_EQ(Last(*model, {1, 19}), alone);
  EXPECT_NE(Last(*model, {19, 1}), alone);
}

TEST_P(MixingModelTest, TheAverageIsExactlyEqualAndKnowsNoOrder) {
  const auto model = Load("average");
  ASSERT_NE(model, nullptr);
  for (const auto& [at, row] : WeightsOf(*model, ids_)) {
    const int64_t n = std::get<2>(at) + 1;
    EXPECT_EQ(row, std::vector<float>(n, 1.0f / static_cast<float>(n)));
  }
  const std::vector<float> forwards = Last(*model, ids_);
  const std::vector<TokenId> reversed(ids_.rbegin(), ids_.rend());
  EXPECT_EQ(Last(*model, reversed), forwards);
  EXPECT_GT(MaxDifference(Last(*model, {7, 19}), forwards), 0.1);
}

TEST_P(MixingModelTest, AWordHasTheSameScoreWhereverItStands) {
  const auto model = Load("weighted");
  ASSERT_NE(model, nullptr);
  const std::vector<float> row = WeightsOf(*model, ids_).at({0, 0, 16});
  EXPECT_EQ(row[1], row[5]);  // the same word
  EXPECT_EQ(row[1], row[6]);
  EXPECT_NE(row[1], row[2]);
  const std::vector<float> earlier = WeightsOf(*model, ids_).at({0, 0, 4});
  EXPECT_NEAR(row[0] / row[1], earlier[0] / earlier[1], 1e-4);
  std::vector<TokenId> swapped = ids_;
  std::swap(swapped[0], swapped[7]);
  EXPECT_EQ(Last(*model, swapped), Last(*model, ids_));
}

TEST_P(MixingModelTest, OnlyPositionsTellOrdersApart) {
  std::vector<TokenId> swapped = ids_;
  std::swap(swapped[0], swapped[7]);
  for (const char* without : {"average", "weighted", "attention"}) {
    const auto model = Load(without);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(Last(*model, swapped), Last(*model, ids_)) << without;
  }
  for (const char* with : {"weighted-pos", "attention-pos"}) {
    const auto model = Load(with);
    ASSERT_NE(model, nullptr);
    EXPECT_GT(MaxDifference(Last(*model, swapped), Last(*model, ids_)), 1e-3) << with;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MixingModelTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "fast" : "scalar"; });

TEST(LoadMixingModelTest, CountsItsParameters) {
  const int64_t vocab = 61, width = 20, context = 64;
  const int64_t bare = vocab * width + width * width;
  EXPECT_EQ(LoadGolden("mixing-average", DefaultBackend())->parameter_count(), bare);
  EXPECT_EQ(LoadGolden("mixing-weighted", DefaultBackend())->parameter_count(), bare + vocab);
  const auto model = LoadGolden("mixing-attention-pos", DefaultBackend());
  EXPECT_EQ(model->parameter_count(), bare + 2 * width * width + context * width);
  EXPECT_GE(model->weight_bytes(), model->parameter_count() * 4);
}

TEST(LoadLanguageModelTest, ServesNoMoreOfTheContextWindowThanItIsTold) {
  for (const char* name : {"mixing-attention-pos", "gpt2-f32"}) {
    const auto checkpoint = OpenHuggingFaceFolder(GoldenFolder(name));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto whole = LoadLanguageModel(**checkpoint, DefaultBackend());
    const auto part = LoadLanguageModel(**checkpoint, DefaultBackend(), {.max_context = 32});
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ((*whole)->config().context_window, 64);
    EXPECT_EQ((*part)->config().context_window, 32);
    const std::vector<TokenId> ids = {3, 1, 4};
    EXPECT_EQ(Runner(part->get()).Append(ids), Runner(whole->get()).Append(ids));
  }
}

// --- What is refused -----------------------------------------------------------------------------

// Loads the tiny mixing model with one tensor replaced or, without a replacement, taken out.
absl::Status LoadWith(const char* mixing, const std::string& name,
                      const std::vector<TestTensor>& replacement) {
  const TestFolder folder;
  folder.Write("config.json",
               absl::StrCat(R"({"model_type": "heed_mixing", "position_encoding": "learned",
                 "hidden_size": 8, "vocab_size": 11, "max_position_embeddings": 16, "mixing": ")",
                            mixing, "\"}"));
  std::vector<TestTensor> tensors = replacement;
  for (TestTensor& tensor : TinyTensors("heed_mixing")) {
    if (tensor.name != name) tensors.push_back(std::move(tensor));
  }
  WriteWeights(folder, tensors);
  const auto checkpoint = OpenHuggingFaceFolder(folder.path());
  if (!checkpoint.ok()) return checkpoint.status();
  return LoadLanguageModel(**checkpoint, DefaultBackend()).status();
}

TEST(LoadMixingModelTest, LoadsWhatTheRefusedOnesAreMadeOf) {
  for (const char* mixing : {"last_word", "average", "weighted", "attention"}) {
    EXPECT_TRUE(LoadWith(mixing, "", {}).ok()) << mixing;
  }
}

TEST(LoadMixingModelTest, AMissingTensorIsNamed) {
  const std::vector<std::pair<const char*, const char*>> needs = {
      {"average", "embed_tokens.weight"},       {"average", "v_proj.weight"},
      {"average", "position_embedding.weight"}, {"weighted", "word_scores.weight"},
      {"attention", "q_proj.weight"},           {"attention", "k_proj.weight"}};
  for (const auto& [mixing, name] : needs) {
    const absl::Status status = LoadWith(mixing, name, {});
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << mixing << " " << name;
    EXPECT_THAT(status.message(), AllOf(HasSubstr("model.safetensors"), HasSubstr(name)));
  }
}

TEST(LoadMixingModelTest, ATensorOfAnotherPatternIsNotNeeded) {
  EXPECT_TRUE(LoadWith("average", "word_scores.weight", {}).ok());
  EXPECT_TRUE(LoadWith("weighted", "q_proj.weight", {}).ok());
  EXPECT_TRUE(LoadWith("attention", "word_scores.weight", {}).ok());
}

TEST(LoadMixingModelTest, AWrongShapeIsNamedWithTheRightOne) {
  const auto wrong = [](const char* mixing, const char* name, std::vector<int64_t> shape) {
    return LoadWith(mixing, name, {RandomTensor(name, "F32", std::move(shape), 1)});
  };
  EXPECT_THAT(
      wrong("average", "embed_tokens.weight", {12, 8}).message(),
      AllOf(HasSubstr("model.safetensors: tensor \"embed_tokens.weight\" has shape [12, 8]"),
            HasSubstr("expected [11, 8]")));
  EXPECT_THAT(wrong("average", "position_embedding.weight", {15, 8}).message(),
              HasSubstr("expected [16, 8]"));
  EXPECT_THAT(
      wrong("weighted", "word_scores.weight", {11, 1}).message(),
      AllOf(HasSubstr("\"word_scores.weight\" has shape [11, 1]"), HasSubstr("expected [11]")));
  EXPECT_THAT(wrong("attention", "k_proj.weight", {4, 8}).message(),
              AllOf(HasSubstr("\"k_proj.weight\""), HasSubstr("expected [8, 8]")));
  EXPECT_EQ(wrong("average", "v_proj.weight", {8, 9}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(LoadMixingModelTest, AValueThatIsNoNumberIsNamed) {
  std::vector<float> values(11, 1.0f);
  values[4] = std::nanf("");
  const absl::Status status = LoadWith("weighted", "word_scores.weight",
                                       {MakeTensor("word_scores.weight", "F32", {11}, values)});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("\"word_scores.weight\" is nan at [4]"));
}

}  // namespace
}  // namespace heed
