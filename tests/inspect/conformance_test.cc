// Every read against float64 computations from the formulas (tests/conformance): 1e-5 for weights,
// 1e-4 elsewhere.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/attribution.h"
#include "model/inspect/decompose.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/logit_lens.h"
#include "model/inspect/pca.h"
#include "model/inspect/rollout.h"
#include "tests/inspect/trace_testing.h"
#include "tests/transformer/golden_file.h"

namespace heed {
namespace {

constexpr double kWeightBound = 1e-5;
constexpr double kBound = 1e-4;
constexpr int64_t kPosition = 9;  // as inspect_goldens.py
constexpr TokenId kToken = 30;

class ConformanceTest : public testing::TestWithParam<const char*> {
 protected:
  ConformanceTest()
      : golden_(std::string(HEED_SOURCE_DIR) + "/tests/conformance/goldens/" + GetParam() +
                ".safetensors"),
        model_(LoadGolden(GetParam(), DefaultBackend())) {}

  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    const std::vector<int64_t> ids = golden_.Read<int64_t>("input_ids");
    trace_ = TraceOf(*model_, {ids.begin(), ids.end()}, {Site::kResidual, Site::kMlpOut});
    ASSERT_NE(trace_, nullptr);
    choice_ = {FirstOf<int>(config().n_layers), FirstOf<int>(config().n_heads),
               FirstOf(trace_->size())};
  }

  const ModelConfig& config() const { return model_->config(); }
  int64_t size() const { return trace_->size(); }

  // All of `got` against a golden tensor; -inf is -inf.
  template <typename Values>
  void ExpectGolden(const std::string& name, const Values& got, double bound) {
    const std::vector<float> want = golden_.Read<float>(name);
    ASSERT_EQ(got.size(), want.size()) << name;
    for (size_t i = 0; i < want.size(); ++i) {
      if (std::isinf(want[i])) {
        ASSERT_EQ(got[i], want[i]) << name << " " << i;
      } else {
        ASSERT_NEAR(got[i], want[i], bound * std::max(1.0f, std::abs(want[i]))) << name << " " << i;
      }
    }
  }

  const GoldenFile golden_;
  const std::unique_ptr<const LanguageModel> model_;
  std::shared_ptr<const Trace> trace_;
  HeadChoice choice_;
};

TEST_P(ConformanceTest, AttentionAtEveryStage) {
  const std::pair<const char*, AttentionStage> stages[] = {
      {"raw", AttentionStage::kRaw},
      {"scaled", AttentionStage::kScaled},
      {"capped", AttentionStage::kCapped},
      {"masked", AttentionStage::kMasked},
      {"weights", AttentionStage::kWeights},
      {"value_weighted", AttentionStage::kValueWeighted},
      {"contribution", AttentionStage::kContribution}};
  for (const auto& [name, stage] : stages) {
    std::vector<float> all(config().n_layers * config().n_heads * size() * size());
    for (int layer : choice_.layers) {
      LayerAttention(*model_, *trace_, layer)
          .Read(stage, choice_.heads, choice_.queries,
                [&](int head, int64_t query, absl::Span<const float> row) {
                  std::copy(
                      row.begin(), row.end(),
                      all.begin() + ((layer * config().n_heads + head) * size() + query) * size());
                });
    }
    ExpectGolden(name, all, stage == AttentionStage::kWeights ? kWeightBound : kBound);
  }
}

TEST_P(ConformanceTest, Sites) {
  for (Site site : {Site::kResidual, Site::kQuery, Site::kMixed, Site::kAttentionOut,
                    Site::kResidualMid, Site::kMlpOut}) {
    std::vector<float> all;
    for (int layer = 0; layer < SiteLayers(config(), site); ++layer) {
      const auto values = ReadSite(*model_, *trace_, site, layer);
      ASSERT_TRUE(values.ok()) << values.status();
      const float* data = values->view().data;
      all.insert(all.end(), data, data + size() * values->view().cols);
    }
    ExpectGolden(std::string(SiteName(site)), all, kBound);
  }
}

TEST_P(ConformanceTest, LengthsAnglesAndComponents) {
  const ConstMatrixRef x = trace_->SiteRows(Site::kResidual, 1);
  ExpectGolden("norms", Norms(x, x.cols), kBound);
  ExpectGolden("cosines", Cosines(x, x), kBound);
  const PrincipalComponents pca = *Pca(x, 3);
  ExpectGolden("pca", pca.coordinates, kBound);
  ExpectGolden("pca_explained", pca.explained, kBound);
}

TEST_P(ConformanceTest, HeadStats) {
  std::vector<double> all;
  for (const RowStats& row : HeadRowStats(*model_, *trace_, choice_)) {
    all.insert(all.end(), {row.entropy, row.effective_tokens, row.max_weight, row.first_token,
                           row.self, row.previous_token, row.mean_distance});
  }
  ExpectGolden("stats", all, kBound);
}

TEST_P(ConformanceTest, DetectHeads) {
  const auto expect = [&](const std::string& name, const DetectionOptions& options) {
    const auto scores = DetectHeads(*model_, *trace_, choice_, options);
    ASSERT_TRUE(scores.ok()) << scores.status();
    ExpectGolden(name, *scores, kBound);
  };
  const std::pair<const char*, HeadPattern> patterns[] = {
      {"previous", HeadPattern::kPreviousToken},
      {"duplicate", HeadPattern::kDuplicateToken},
      {"induction", HeadPattern::kInduction}};
  for (const auto& [name, pattern] : patterns) {
    for (const bool is_mul : {true, false}) {
      DetectionOptions options{.pattern = pattern, .custom = {}};
      options.score = is_mul ? DetectionScore::kTlMul : DetectionScore::kTlAbs;
      const std::string full = std::string(is_mul ? "tl_mul_" : "tl_abs_") + name;
      expect(full, options);
      options.exclude_first_token = options.exclude_current_token = true;
      expect(full + "_excluded", options);
    }
  }
  for (int i : {0, 2}) {
    DetectionOptions options{.pattern = patterns[i].second, .custom = {}};
    options.score = DetectionScore::kHeadVis;
    expect(std::string("headvis_") + patterns[i].first, options);
  }
}

TEST_P(ConformanceTest, LogitLens) {
  const auto cells =
      LogitLens(*model_, *trace_,
                {FirstOf<int>(config().n_layers + 1), choice_.queries, /*top_k=*/3, {kToken}});
  ASSERT_TRUE(cells.ok()) << cells.status();
  std::vector<double> top, followed, entropy, divergence;
  std::vector<int64_t> ids, ranks;
  for (const LensCell& cell : *cells) {
    for (const LensToken& token : cell.top) {
      ids.push_back(token.id);
      top.push_back(token.log_probability);
    }
    ASSERT_EQ(cell.followed.size(), 1u);
    followed.push_back(cell.followed[0].log_probability);
    ranks.push_back(cell.followed[0].rank);
    entropy.push_back(cell.entropy);
    divergence.push_back(cell.kl_to_final);
  }
  EXPECT_EQ(ids, golden_.Read<int64_t>("lens_top"));
  EXPECT_EQ(ranks, golden_.Read<int64_t>("lens_rank"));
  ExpectGolden("lens_top_log_probability", top, kBound);
  ExpectGolden("lens_log_probability", followed, kBound);
  ExpectGolden("lens_entropy", entropy, kBound);
  ExpectGolden("lens_kl", divergence, kBound);
}

TEST_P(ConformanceTest, AttributeLogit) {
  const auto result = AttributeLogit(
      *model_, *trace_, {kPosition, kToken, std::nullopt, AttributionUnit::kHeadAndSource});
  if (!golden_.Has("dla_logit")) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
    return;
  }
  ASSERT_TRUE(result.ok()) << result.status();
  std::map<LogitPart::Kind, std::vector<double>> values;
  std::vector<float> by_source;
  for (const LogitPart& part : result->parts) {
    values[part.kind].push_back(part.value);
    by_source.insert(by_source.end(), part.by_source.begin(), part.by_source.end());
  }
  using Kind = LogitPart::Kind;
  ExpectGolden("dla_embedding", values[Kind::kEmbedding], kBound);
  ExpectGolden("dla_mlp", values[Kind::kMlp], kBound);
  ExpectGolden("dla_attention_bias", values[Kind::kAttentionBias], kBound);
  ExpectGolden("dla_final_bias", values[Kind::kFinalBias], kBound);
  ExpectGolden("dla_by_source", by_source, kBound);
  ExpectGolden("dla_logit", std::vector<double>{result->logit}, kBound);
  EXPECT_NEAR(result->residual_error, 0, kBound);

  const auto components = AttributeLogit(*model_, *trace_, {kPosition, kToken, {}, {}});
  ASSERT_TRUE(components.ok()) << components.status();
  std::vector<double> attention;
  for (const LogitPart& part : components->parts) {
    if (part.kind == Kind::kAttention) attention.push_back(part.value);
  }
  ExpectGolden("dla_attention", attention, kBound);
}

// Nothing of its own but the projection: the rest is the stages, and the shares are the
// attribution's.
TEST_P(ConformanceTest, ExplainRow) {
  const bool is_linear = golden_.Has("dla_logit");
  const std::vector<float> by_source =
      is_linear ? golden_.Read<float>("dla_by_source") : std::vector<float>();
  const std::vector<float> mixed = golden_.Read<float>("mixed");
  const int layer = config().n_layers - 1, head = 1;
  const auto row = ExplainRow(*model_, *trace_, layer, head, kPosition,
                              is_linear ? std::vector<TokenId>{kToken} : std::vector<TokenId>());
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->key_count, config().causal ? kPosition + 1 : size());
  const int64_t dim = config().head_dim;
  const float* context = mixed.data() + (layer * size() + kPosition) * config().query_width();
  for (int64_t d = 0; d < dim; ++d) {
    EXPECT_NEAR(row->context[d], context[head * dim + d], kBound);
  }
  const double length = Norms({row->projection.data(), 1, config().width}, config().width)[0];
  std::vector<float> sum(config().width);
  const std::vector<float> projection =
      LayerAttention(*model_, *trace_, layer).HeadProjection(head);
  for (int64_t d = 0; d < config().width; ++d) {
    for (int64_t k = 0; k < dim; ++k) sum[d] += row->context[k] * projection[d * dim + k];
  }
  EXPECT_NEAR(length, Norms({sum.data(), 1, config().width}, config().width)[0], kBound);
  for (int64_t key = 0; is_linear && key < row->key_count; ++key) {
    EXPECT_NEAR(row->shares[0].by_key[key],
                by_source[(layer * config().n_heads + head) * size() + key], kBound);
  }
}

TEST_P(ConformanceTest, RolloutAndFlow) {
  RolloutOptions options{.layer_begin = 0, .layer_end = config().n_layers, .queries = {}};
  options.queries = choice_.queries;
  ExpectGolden("rollout", *Rollout(*model_, *trace_, options), kWeightBound);
  options.fusion = LayerAttention::Fusion::kMax;
  options.residual_weight = 0.25;
  ExpectGolden("rollout_max", *Rollout(*model_, *trace_, options), kWeightBound);
  const auto flow = Flow(
      *model_, *trace_, {.layer_begin = 0, .layer_end = config().n_layers, .queries = {kPosition}});
  ASSERT_TRUE(flow.ok()) << flow.status();
  ExpectGolden("flow", *flow, kWeightBound);
}

TEST_P(ConformanceTest, DecomposeAttention) {
  const std::pair<const char*, Decomposition> methods[] = {
      {"attention_norm", Decomposition::kAttentionNorm},
      {"residual_norm", Decomposition::kResidualNorm},
      {"residual_norm_norm", Decomposition::kResidualNormNorm},
      {"alti", Decomposition::kAlti}};
  for (const auto& [name, method] : methods) {
    std::vector<float> shares, mixing;
    for (int layer : choice_.layers) {
      const auto result = DecomposeAttention(*model_, *trace_, layer, method, FirstOf(size()));
      const bool lacks_norm = method == Decomposition::kResidualNormNorm &&
                              config().norm_placement == NormPlacement::kPre;
      if (lacks_norm) {
        EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
        continue;
      }
      ASSERT_TRUE(result.ok()) << result.status();
      shares.insert(shares.end(), result->shares.begin(), result->shares.end());
      mixing.insert(mixing.end(), result->mixing_ratios.begin(), result->mixing_ratios.end());
    }
    if (shares.empty()) continue;
    ExpectGolden(name, shares, kBound);
    if (method != Decomposition::kAlti) {
      ExpectGolden(std::string(name) + "_mixing", mixing, kBound);
    }
  }
}

std::string TestName(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, ConformanceTest,
                         testing::Values("gpt2-f32", "llama-gqa-f32", "neox-f16", "gemma2-f32",
                                         "bert-f32"),
                         TestName);

}  // namespace
}  // namespace heed
