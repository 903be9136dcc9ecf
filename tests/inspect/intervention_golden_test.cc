// The logits of edited runs against float64 computations from the formulas: tests/conformance/
// edit_goldens.py says each of these cases once more.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "model/inspect/intervention_set.h"
#include "tests/inspect/edit_testing.h"
#include "tests/inspect/trace_testing.h"
#include "tests/transformer/golden_file.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

constexpr double kBound = 1e-4;

template <typename Fn>
std::vector<float> Wave(int64_t width, const Fn& fn) {
  std::vector<float> wave;
  for (int64_t i = 0; i < width; ++i)
    wave.push_back(static_cast<float>(fn(static_cast<double>(i))));
  return wave;
}

std::map<std::string, Intervention> Cases(const ModelConfig& config,
                                          std::shared_ptr<const Trace> clean) {
  const auto patch = [&](Site site, int layer, std::vector<PositionSpan> positions) {
    return Edit(PatchSite{site, clean}, {layer}, {}, std::move(positions));
  };
  const auto sin = Wave(config.width, [](double x) { return std::sin(x); });
  const auto cos = Wave(config.width, [](double x) { return std::cos(x); });
  const SetWeights given{{0, 0, 0, 0, 0, 0, 0.05, 0.35, 0.45, 0.10, 0.05}};
  const ReplaceMask other{!config.causal};
  return {
      {"none", Edit(ScaleScores{1}, {})},
      {"dial", Edit(ScaleScores{2.5}, {0}, {-1})},
      {"dial_flat", Edit(ScaleScores{0}, {}, {}, {{6}})},
      {"bias", Edit(AddToScores{1.5}, {-1}, {}, {}, {{2, 4}})},
      {"knock_out", Edit(KnockOut{}, {0}, {0}, {{5}}, {{0, 1}, {5, 7}})},
      {"cut_row", Edit(KnockOut{}, {-1}, {0}, {{6, 7}})},
      {"weights", Edit(given, {1}, {0}, {{-1}})},
      {"uniform", Edit(WeightPreset::kUniform, {0}, {0})},
      {"identity", Edit(WeightPreset::kIdentity, {0}, {0})},
      {"last_word", Edit(WeightPreset::kLastWord, {0}, {0})},
      {"first_word", Edit(WeightPreset::kFirstWord, {0}, {0})},
      {"scale", Edit(ScaleSite{Site::kMixed, 0.25}, {0}, {0})},
      {"zero", Edit(ScaleSite{Site::kMlpOut, 0}, {0}, {}, {{4, 7}})},
      {"mean", Edit(MeanSite{}, {0}, {-1}, {{3, 9}})},
      {"patch_residual", patch(Site::kResidual, 1, {{4, 7}})},
      {"patch_query", patch(Site::kQuery, -1, {})},
      {"patch_key", patch(Site::kKey, 0, {{3, 6}})},
      {"patch_value", patch(Site::kValue, -1, {{0, 9}})},
      {"patch_attention", patch(Site::kAttentionOut, 0, {})},
      {"patch_mlp", patch(Site::kMlpOut, -1, {{6, 7}})},
      {"patch_head", Edit(PatchSite{Site::kMixed, clean}, {-1}, {0})},
      {"patch_shifted", Edit(PatchSite{Site::kResidual, clean, {{2, 4}}}, {1}, {}, {{8, 10}})},
      {"add", Edit(AddVector{Site::kResidual, sin, 0.7}, {1}, {}, {{2}})},
      {"add_last", Edit(AddVector{Site::kResidual, sin, -0.3}, {-1})},
      {"project_out", Edit(ProjectOut{Site::kAttentionOut, cos}, {1}, {}, {{2}})},
      {"mask", Edit(other, {0})},
      {"masks", Edit(other, {})},
  };
}

class InterventionGoldenTest : public testing::TestWithParam<std::tuple<std::string, bool>> {};

TEST_P(InterventionGoldenTest, EditedRunsEqualTheFormulas) {
  const auto& [name, is_fast] = GetParam();
  const auto model = LoadGolden(name, is_fast ? DefaultBackend() : ReferenceBackend());
  ASSERT_NE(model, nullptr);
  const ModelConfig& config = model->config();
  const GoldenFile golden(std::string(HEED_SOURCE_DIR) + "/tests/conformance/goldens/" + name +
                          "-edits.safetensors");
  const auto ids_of = [&](const char* tensor) {
    const std::vector<int64_t> ids = golden.Read<int64_t>(tensor);
    return std::vector<TokenId>(ids.begin(), ids.end());
  };
  const std::vector<TokenId> ids = ids_of("input_ids"), other_ids = ids_of("other_ids");
  const std::vector<int64_t> positions = golden.Read<int64_t>("positions");
  const EditedRun run{static_cast<int64_t>(ids.size())};
  SiteSet sites;
  for (Site site : kAllSites) sites.Add(site);
  const auto cases = Cases(config, TraceOf(*model, other_ids, sites));
  EXPECT_EQ(cases.size(), 27u);
  for (const auto& [title, edit] : cases) {
    const auto set = InterventionSet::Create({edit}, config, run);
    ASSERT_TRUE(set.ok()) << title << ": " << set.status();
    const std::vector<float> logits = Runner(model.get(), nullptr, set->get()).Append(ids);
    const std::vector<float> want = golden.Read<float>(title);
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      const int64_t row = positions[i / config.vocab_size];
      const float got = logits[row * config.vocab_size + i % config.vocab_size];
      const double difference = std::abs(double{got} - want[i]);
      if (!(difference <= worst)) worst = difference;  // a NaN ends up there
    }
    EXPECT_LT(worst, kBound) << title;
  }
}

std::string TestName(const testing::TestParamInfo<std::tuple<std::string, bool>>& info) {
  std::string name = std::get<0>(info.param) + (std::get<1>(info.param) ? "_fast" : "_scalar");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, InterventionGoldenTest,
                         testing::Combine(testing::Values("gpt2-f32", "llama-gqa-f32", "neox-f16",
                                                          "gemma2-f32", "bert-f32"),
                                          testing::Bool()),
                         TestName);

}  // namespace
}  // namespace heed
