// What holds of everything that is computed from a trace: parts of logits, lenses, rollouts, flows,
// scores of heads.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/attribution.h"
#include "model/inspect/decompose.h"
#include "model/inspect/flow_network.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/intervention_set.h"
#include "model/inspect/logit_lens.h"
#include "model/inspect/rollout.h"
#include "tests/inspect/edit_testing.h"
#include "tests/inspect/trace_testing.h"

namespace heed {
namespace {

TEST(AnalysisTest, PartsSumToTheLogit) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, SitesForAttribution(model.config()));
    for (AttributionUnit unit :
         {AttributionUnit::kComponent, AttributionUnit::kHead, AttributionUnit::kHeadAndSource}) {
      const auto one = AttributeLogit(model, *trace, {20, 3, std::nullopt, unit});
      if (!model.parts().head.is_linear()) {
        EXPECT_EQ(GetErrorDetails(one.status()).reason, "HEAD_NOT_LINEAR");
        continue;
      }
      ASSERT_TRUE(one.ok()) << one.status();
      const int64_t last[] = {20};
      const auto logits = TraceLogits(model, *trace, last);
      ASSERT_TRUE(logits.ok());
      if (!one->before_cap) {
        EXPECT_EQ(one->logit, (*logits)[3]);
      }
      double sum = one->residual_error;
      for (const LogitPart& part : one->parts) {
        sum += part.value;
        if (part.by_source.empty()) continue;
        EXPECT_NEAR(std::accumulate(part.by_source.begin(), part.by_source.end(), 0.0), part.value,
                    1e-4);
      }
      EXPECT_NEAR(sum, one->logit, 1e-9);
      EXPECT_NEAR(one->residual_error, 0, 1e-4);
      const auto other = AttributeLogit(model, *trace, {20, 5, std::nullopt, unit});
      const auto difference = AttributeLogit(model, *trace, {20, 3, 5, unit});
      ASSERT_TRUE(other.ok() && difference.ok());
      for (size_t i = 0; i < one->parts.size(); ++i) {
        EXPECT_NEAR(difference->parts[i].value, one->parts[i].value - other->parts[i].value, 1e-5);
      }
    }
  });
}

// Edits of the stream are parts of their own, and no part depends on what else the trace keeps.
TEST(AnalysisTest, PartsOfAnEditedRunAreWhatEachWrote) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const ModelConfig& config = model.config();
    if (!model.parts().head.is_linear()) return;
    const bool has_halves = config.ffn_width > 0;
    const std::vector<float> push(config.width, 0.7f);
    std::vector<Intervention> edits = {Edit(MeanSite{Site::kResidual}, {1}),
                                       Edit(AddVector{Site::kResidual, push}, {config.n_layers}),
                                       Edit(ScaleSite{Site::kAttentionOut, 0.5}, {0})};
    if (has_halves) {
      edits.push_back(Edit(ScaleSite{Site::kMlpOut, 0.5}, {0}));
      if (!config.parallel_residual) edits.push_back(Edit(ScaleSite{Site::kResidualMid, 1.5}));
    }
    auto made = InterventionSet::Create(edits, config, {21});
    ASSERT_TRUE(made.ok()) << made.status();
    const std::shared_ptr<InterventionSet> set = *std::move(made);
    const auto trace =
        TraceOf(model, ids, SitesUnderEdits(config, SitesForAttribution(config), set.get()), set);
    const auto full = TraceOf(model, ids, kEverySite, set);
    for (AttributionUnit unit : {AttributionUnit::kComponent, AttributionUnit::kHead}) {
      const auto parts = AttributeLogit(model, *trace, {20, 3, std::nullopt, unit});
      const auto again = AttributeLogit(model, *full, {20, 3, std::nullopt, unit});
      ASSERT_TRUE(parts.ok() && again.ok()) << parts.status() << again.status();
      EXPECT_NEAR(parts->residual_error, 0, 1e-4);
      ASSERT_EQ(parts->parts.size(), again->parts.size());
      int n_edits = 0;
      for (size_t i = 0; i < parts->parts.size(); ++i) {
        EXPECT_NEAR(parts->parts[i].value, again->parts[i].value, 1e-4);
        EXPECT_EQ(parts->parts[i].kind, again->parts[i].kind);
        n_edits += parts->parts[i].kind == LogitPart::Kind::kEdit ? 1 : 0;
      }
      EXPECT_GT(n_edits, 0);
      EXPECT_LE(n_edits, config.n_layers);
    }
    if (!has_halves) return;
    const auto mlp = ReadSite(model, *trace, Site::kMlpOut, 0);
    ASSERT_TRUE(mlp.ok()) << mlp.status();
    const float* want = full->SiteRows(Site::kMlpOut, 0).data;
    EXPECT_TRUE(std::equal(want, want + trace->size() * config.width, mlp->view().data));
  });
}

TEST(AnalysisTest, RowsAreFollowedToALogitThroughTheNormsBehindThem) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.parts().head.is_linear()) return;
    const auto trace = TraceOf(model, ids, SitesForRowTokens(model.config()));
    const auto row = ExplainRow(model, *trace, 0, 0, 20, {3});
    ASSERT_TRUE(row.ok()) << row.status();
    const auto full = TraceOf(model, ids, kEverySite);
    const auto parts = AttributeLogit(model, *full, {20, 3, std::nullopt, AttributionUnit::kHead});
    ASSERT_TRUE(parts.ok()) << parts.status();
    for (const LogitPart& part : parts->parts) {
      if (part.kind != LogitPart::Kind::kHead || part.layer != 0 || part.head != 0) continue;
      EXPECT_NEAR(row->shares[0].share, part.value, 1e-5);
    }
  });
}

TEST(AnalysisTest, TheLensAtTheLastLayerIsTheModel) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {Site::kResidual});
    const std::vector<float> want = Runner(&model).Append(ids);
    const auto logits = TraceLogits(model, *trace, FirstOf(trace->size()));
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_EQ(*logits, want);
    const auto cells = LogitLens(model, *trace, {{0, model.config().n_layers}, {4, 20}, 2, {7}});
    ASSERT_TRUE(cells.ok()) << cells.status();
    ASSERT_EQ(cells->size(), 4u);
    const LensCell& last = (*cells)[3];
    EXPECT_EQ(last.position, 20);
    EXPECT_EQ(last.kl_to_final, 0);
    const float* row = want.data() + 20 * model.config().vocab_size;
    EXPECT_EQ(last.top[0].id, std::max_element(row, row + model.config().vocab_size) - row);
    EXPECT_EQ(last.top[0].rank, 1);
    EXPECT_EQ(last.followed[0].logit, row[7]);
    const auto bare = TraceOf(model, ids, {});
    EXPECT_TRUE(LogitLens(model, *bare, {{model.config().n_layers}, {4}, 2, {}}).ok());
    EXPECT_EQ(GetErrorDetails(LogitLens(model, *bare, {{0}, {4}, 2, {}}).status()).reason,
              "SITE_NOT_KEPT");
  });
}

// It reads 32 rows at a time.
TEST(AnalysisTest, TheLensSaysOfManyPositionsWhatItSaysOfEach) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 45), {Site::kResidual});
  const auto all = LogitLens(*model, *trace, {{0, 1}, FirstOf(45), 2, {7}});
  ASSERT_TRUE(all.ok()) << all.status();
  for (int layer : {0, 1}) {
    for (int64_t position = 0; position < 45; ++position) {
      const auto one = LogitLens(*model, *trace, {{layer}, {position}, 2, {7}});
      ASSERT_TRUE(one.ok()) << one.status();
      const LensCell& cell = (*all)[layer * 45 + position];
      EXPECT_EQ(cell.position, position);
      EXPECT_EQ(cell.top[0].logit, (*one)[0].top[0].logit);
      EXPECT_EQ(cell.followed[0].logit, (*one)[0].followed[0].logit);
      EXPECT_EQ(cell.entropy, (*one)[0].entropy);
      EXPECT_EQ(cell.kl_to_final, (*one)[0].kl_to_final);
    }
  }
}

TEST(AnalysisTest, TheLensRefusesALayerWhoseLogitsAreNoNumbers) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const std::vector<TokenId> ids = SomeTokens(model->config(), 9);
  const std::vector<float> huge(model->config().width, 3e38f);
  const Intervention edit{{1}, {}, {{5, 6}}, {}, AddVector{Site::kMlpOut, huge, 1000}};
  auto set = InterventionSet::Create({edit}, model->config(), {9});
  ASSERT_TRUE(set.ok()) << set.status();
  const auto trace = TraceOf(*model, ids, {Site::kResidual}, *std::move(set));
  EXPECT_TRUE(LogitLens(*model, *trace, {{0, 1, 2}, {4}, 1, {}}).ok());
  const absl::Status refused = LogitLens(*model, *trace, {{0}, {4, 5}, 1, {}}).status();
  EXPECT_EQ(GetErrorDetails(refused).reason, "NONFINITE_LOGITS");
  EXPECT_EQ(refused.message(), "layer 2's logits at position 5 hold a NaN or an infinity");
}

TEST(AnalysisTest, AModelWithoutAHeadHasNoLogits) {
  const auto model = LoadGolden("bert-model-f16", DefaultBackend());
  const auto trace =
      TraceOf(*model, SomeTokens(model->config(), 9), {Site::kResidual, Site::kMlpOut});
  EXPECT_EQ(GetErrorDetails(LogitLens(*model, *trace, {{0}, {0}, 1, {}}).status()).reason,
            "NO_HEAD");
  EXPECT_EQ(GetErrorDetails(AttributeLogit(*model, *trace, {0, 0, {}, {}}).status()).reason,
            "NO_HEAD");
  EXPECT_EQ(GetErrorDetails(
                TraceRecorder::Create(LoadGolden("mixing-average", DefaultBackend())->config(),
                                      {Site::kMlpOut}, 4)
                    .status())
                .reason,
            "SITE_NOT_IN_MODEL");
}

TEST(AnalysisTest, RolloutRowsSumToOneAndTheIdentityRollsOutToItself) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    RolloutOptions options{.layer_begin = 0, .layer_end = model.config().n_layers, .queries = {}};
    options.queries = {0, 11, 20};
    const auto flow = Flow(model, *trace, options);
    ASSERT_TRUE(flow.ok());
    for (const auto& rows : {*Rollout(model, *trace, options), *flow}) {
      for (int row = 0; row < 3; ++row) {
        EXPECT_NEAR(std::accumulate(rows.begin() + row * 21, rows.begin() + (row + 1) * 21, 0.0), 1,
                    1e-5);
        if (!model.config().causal) continue;
        for (int64_t key = options.queries[row] + 1; key < 21; ++key) {
          EXPECT_EQ(rows[row * 21 + key], 0);
        }
      }
    }
    options.residual_weight = 1;
    for (const auto& rows : {*Rollout(model, *trace, options), *Flow(model, *trace, options)}) {
      for (int row = 0; row < 3; ++row) {
        for (int64_t key = 0; key < 21; ++key) {
          EXPECT_EQ(rows[row * 21 + key], key == options.queries[row] ? 1 : 0);
        }
      }
    }
  });
}

// Of more rows than are multiplied together, against the product itself.
TEST(AnalysisTest, RolloutOfALongPromptIsTheProductOfItsLayers) {
  const auto model =
      LoadFolder(std::string(HEED_SOURCE_DIR) + "/model/zoo/decoder", DefaultBackend());
  constexpr int64_t kSize = 75;
  const auto trace = TraceOf(*model, SomeTokens(model->config(), kSize), {});
  const std::vector<int64_t> all = FirstOf(kSize);
  std::vector<double> product(kSize * kSize);
  for (int64_t i = 0; i < kSize; ++i) product[i * kSize + i] = 1;
  for (int layer = 0; layer < model->config().n_layers; ++layer) {
    std::vector<double> next(kSize * kSize);
    LayerAttention(*model, *trace, layer)
        .ReadFused(AttentionStage::kWeights, LayerAttention::Fusion::kMean,
                   FirstOf<int>(model->config().n_heads), all,
                   [&](int64_t i, absl::Span<const float> row) {
                     for (int64_t j = 0; j < kSize; ++j) {
                       const double weight = 0.5 * row[j] + (i == j ? 0.5 : 0);
                       for (int64_t key = 0; key < kSize; ++key) {
                         next[i * kSize + key] += weight * product[j * kSize + key];
                       }
                     }
                   });
    product = std::move(next);
  }
  const std::vector<std::vector<int64_t>> choices = {all, {kSize - 1}, {3, 40, 64}};
  for (const std::vector<int64_t>& queries : choices) {
    const auto rows =
        Rollout(*model, *trace, {.layer_end = model->config().n_layers, .queries = queries});
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (size_t r = 0; r < queries.size(); ++r) {
      for (int64_t key = 0; key < kSize; ++key) {
        EXPECT_NEAR((*rows)[r * kSize + key], product[queries[r] * kSize + key], 1e-6);
      }
    }
  }
}

TEST(AnalysisTest, FlowThroughALongPromptStopsWhenNobodyWaits) {
  const auto model =
      LoadFolder(std::string(HEED_SOURCE_DIR) + "/model/zoo/decoder", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 200), {});
  const RolloutOptions options{.layer_end = model->config().n_layers, .queries = {150}};
  const auto flow = Flow(*model, *trace, options);
  ASSERT_TRUE(flow.ok()) << flow.status();
  EXPECT_NEAR(std::accumulate(flow->begin(), flow->end(), 0.0), 1, 1e-5);
  EXPECT_EQ(std::count(flow->begin(), flow->end(), 0.0f), 49);
  StopSignal stop;
  stop.Cancel();
  EXPECT_EQ(Flow(*model, *trace, options, &stop).status().code(), absl::StatusCode::kCancelled);
}

TEST(AnalysisTest, RolloutAndDecompositionsStopWhenNobodyWaits) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 9), {Site::kResidual});
  const RolloutOptions options{.layer_end = model->config().n_layers, .queries = {8}};
  StopSignal stop;
  EXPECT_TRUE(Rollout(*model, *trace, options, &stop).ok());
  stop.Cancel();
  EXPECT_EQ(Rollout(*model, *trace, options, &stop).status().code(), absl::StatusCode::kCancelled);
  for (Decomposition method :
       {Decomposition::kAttentionNorm, Decomposition::kResidualNorm, Decomposition::kAlti}) {
    const auto parts = DecomposeAttention(*model, *trace, 0, method, {2, 8}, &stop);
    EXPECT_EQ(parts.status().code(), absl::StatusCode::kCancelled);
  }
}

// Paths of any length, whichever comes first (Ford and Fulkerson 1956), on a matrix of capacities.
double SlowMaxFlow(std::vector<std::vector<double>> left, size_t source, size_t sink) {
  double flow = 0;
  std::vector<bool> seen;
  const std::function<double(size_t, double)> push = [&](size_t node, double amount) {
    if (node == sink) return amount;
    seen[node] = true;
    for (size_t to = 0; to < left.size(); ++to) {
      if (seen[to] || left[node][to] <= 1e-12) continue;
      const double moved = push(to, std::min(amount, left[node][to]));
      if (moved == 0) continue;
      left[node][to] -= moved;
      left[to][node] += moved;
      return moved;
    }
    return 0.0;
  };
  while (true) {
    seen.assign(left.size(), false);
    const double moved = push(source, 2);
    if (moved == 0) return flow;
    flow += moved;
  }
}

TEST(FlowNetworkTest, EqualsTheSlowWayOnRandomNetworks) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    const int depth = 1 + round % 4, n = 1 + round % 7;
    const bool causal = round % 3 != 0;
    const unsigned holes = round % 5;  // of ten edges, twice as many are missing
    FlowNetwork network(depth, n);
    std::vector<std::vector<double>> edges((depth + 1) * n, std::vector<double>((depth + 1) * n));
    for (int l = 0; l < depth; ++l) {
      for (int i = 0; i < n; ++i) {
        std::vector<double> row(n);
        for (int j = 0; j < (causal ? i + 1 : n); ++j) {
          if (random() % 10 >= 2 * holes) row[j] = static_cast<float>(random() % 97) / 97;
          edges[(l + 1) * n + i][l * n + j] = static_cast<float>(row[j]);
        }
        network.SetRow(l, i, row);
      }
    }
    for (int pass = 0; pass < 2; ++pass) {  // a flow leaves nothing behind for the next one
      for (int source = 0; source < n; ++source) {
        for (int sink = 0; sink < n; ++sink) {
          EXPECT_NEAR(network.MaxFlow(source, sink), SlowMaxFlow(edges, depth * n + source, sink),
                      1e-9)
              << depth << " x " << n << ": " << source << " to " << sink;
        }
      }
    }
  }
}

// For 0/1 patterns and rows that sum to 1, abs = 2 mul - sum(D) / T.
TEST(AnalysisTest, TheTwoDetectionScoresSayTheSame) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const HeadChoice choice{
        FirstOf<int>(model.config().n_layers), FirstOf<int>(model.config().n_heads), {}};
    DetectionOptions options{.pattern = HeadPattern::kInduction, .custom = {}};
    options.custom.resize(21 * 21);
    double cells = 0;
    for (int64_t i = 0; i < 21; ++i) {
      for (int64_t j = 0; j <= i; ++j) cells += options.custom[i * 21 + j] = (i * j % 3 == 1);
    }
    const auto mul = DetectHeads(model, *trace, choice, options);
    options.score = DetectionScore::kTlAbs;
    const auto abs = DetectHeads(model, *trace, choice, options);
    ASSERT_TRUE(mul.ok() && abs.ok());
    for (size_t i = 0; i < mul->size(); ++i) {
      EXPECT_NEAR((*abs)[i], 2 * (*mul)[i] - cells / 21, 1e-5);
    }
    options.score = DetectionScore::kHeadVis;
    EXPECT_EQ(DetectHeads(model, *trace, choice, options).status().code(),
              absl::StatusCode::kInvalidArgument);
    options.custom.resize(7);
    EXPECT_EQ(DetectHeads(model, *trace, choice, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  });
}

// Each alone and both, in the rows in which they are one column, too.
TEST(AnalysisTest, ExcludedColumnsAreInNeitherSumOfADetectionScore) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const int64_t n = trace->size();
    std::vector<int64_t> queries(n);
    std::iota(queries.begin(), queries.end(), int64_t{0});
    std::vector<float> weights(n * n);
    LayerAttention(model, *trace, 0)
        .Read(AttentionStage::kWeights, {0}, queries,
              [&](int, int64_t query, absl::Span<const float> row) {
                std::copy(row.begin(), row.end(), weights.begin() + query * n);
              });
    DetectionOptions options;
    for (int64_t i = 0; i < n * n; ++i) {
      options.custom.push_back(static_cast<float>(i * 7 % 5) / 4);
    }
    for (const auto& [first, current] : {std::pair(true, false), {false, true}, {true, true}}) {
      double matched = 0, all = 0, apart = 0;
      for (int64_t i = 0; i < n * n; ++i) {
        const bool is_excluded = (first && i % n == 0) || (current && i % n == i / n);
        if (is_excluded) continue;
        const double w = weights[i], d = options.custom[i];
        matched += w * d;
        all += w;
        apart += std::abs(w - d);
      }
      options.exclude_first_token = first;
      options.exclude_current_token = current;
      options.score = DetectionScore::kTlMul;
      const auto mul = DetectHeads(model, *trace, {{0}, {0}, {}}, options);
      options.score = DetectionScore::kTlAbs;
      const auto abs = DetectHeads(model, *trace, {{0}, {0}, {}}, options);
      ASSERT_TRUE(mul.ok() && abs.ok());
      EXPECT_NEAR((*mul)[0], all > 0 ? matched / all : 0, 1e-12) << first << current;
      EXPECT_NEAR((*abs)[0], 1 - apart / static_cast<double>(n), 1e-12) << first << current;
    }
  });
}

TEST(AnalysisTest, RungsOfTheLadderLookWhereTheirNamesSay) {
  const auto stats = [](const char* name) {
    const auto model = LoadGolden(name, DefaultBackend());
    const auto trace = TraceOf(*model, SomeTokens(model->config(), 8), {});
    return HeadRowStats(*model, *trace, {{0}, {0}, {3, 7}});
  };
  for (const RowStats& row : stats("mixing-last-word")) {
    EXPECT_EQ(row.self, 1);
    EXPECT_EQ(row.entropy, 0);
    EXPECT_EQ(row.effective_tokens, 1);
  }
  const std::vector<RowStats> average = stats("mixing-average");
  EXPECT_NEAR(average[0].effective_tokens, 4, 1e-5);
  EXPECT_NEAR(average[1].entropy, std::log(8), 1e-6);
  EXPECT_NEAR(average[1].mean_distance, 3.5, 1e-6);
  const std::vector<RowStats> mean = MeanStats(average, 2);
  ASSERT_EQ(mean.size(), 1u);
  EXPECT_NEAR(mean[0].effective_tokens, 6, 1e-5);
}

TEST(AnalysisTest, ARowOfZerosHasNoTokens) {
  const RowStats stats = StatsOf(2, std::vector<float>(9));
  EXPECT_EQ(stats.entropy, 0);
  EXPECT_EQ(stats.effective_tokens, 0);
  EXPECT_EQ(stats.mean_distance, 0);
}

// By every method, inner and outer norms among them.
TEST(AnalysisTest, DecompositionsOfSomeQueriesAreTheirRowsOfTheWhole) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {Site::kResidual});
    const int layer = model.config().n_layers - 1;
    for (Decomposition method : {Decomposition::kAttentionNorm, Decomposition::kResidualNorm,
                                 Decomposition::kResidualNormNorm, Decomposition::kAlti}) {
      if (!CheckDecomposition(model, method).ok()) continue;
      const auto whole = DecomposeAttention(model, *trace, layer, method, FirstOf(21));
      const std::vector<int64_t> queries = {0, 3, 4, 13, 20};
      const auto some = DecomposeAttention(model, *trace, layer, method, queries);
      ASSERT_TRUE(whole.ok() && some.ok());
      ASSERT_EQ(some->shares.size(), 5u * 21);
      for (size_t row = 0; row < queries.size(); ++row) {
        const int64_t query = queries[row];
        EXPECT_EQ(some->mixing_ratios[row], whole->mixing_ratios[query]) << query;
        for (int64_t key = 0; key < 21; ++key) {
          EXPECT_EQ(some->shares[row * 21 + key], whole->shares[query * 21 + key]) << query;
        }
      }
    }
  });
}

TEST(AnalysisTest, DecompositionsOfAMixingModelAreItsWeightedValues) {
  const auto model = LoadGolden("mixing-attention", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 9), {Site::kResidual});
  const auto parts =
      DecomposeAttention(*model, *trace, 0, Decomposition::kAttentionNorm, FirstOf(9));
  ASSERT_TRUE(parts.ok()) << parts.status();
  const std::vector<float> weighted =
      ReadAll(LayerAttention(*model, *trace, 0), AttentionStage::kValueWeighted, {0}, FirstOf(9));
  for (size_t i = 0; i < weighted.size(); ++i) EXPECT_NEAR(parts->shares[i], weighted[i], 1e-5);
  EXPECT_EQ(
      GetErrorDetails(DecomposeAttention(*model, *trace, 0, Decomposition::kAlti, {8}).status())
          .reason,
      "SITE_NOT_IN_MODEL");
}

}  // namespace
}  // namespace heed
