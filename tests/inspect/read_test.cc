// What holds of the reads of any trace: of every structure of model, of edited and of rounded runs.
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

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/attention_reduce.h"
#include "model/inspect/attribution.h"
#include "model/inspect/decompose.h"
#include "model/inspect/flow_network.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/intervention_set.h"
#include "model/inspect/logit_lens.h"
#include "model/inspect/pca.h"
#include "model/inspect/rollout.h"
#include "model/kernels/kv_rounding.h"
#include "tests/inspect/trace_testing.h"

namespace heed {
namespace {

using testing::ElementsAre;

std::vector<TokenId> SomeTokens(const ModelConfig& config, int64_t n) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < n; ++i)
    ids.push_back(static_cast<TokenId>(i * i % 23 % config.vocab_size));
  return ids;
}

// Calls fn(model, tokens) for golden models of every structure.
template <typename Fn>
void ForEachModel(const Fn& fn, WeightFormat format = WeightFormat::kF32,
                  KvType kv_type = KvType::kF32) {
  for (const char* name :
       {"gpt2-f32", "llama-gqa-f32", "bert-f32", "mixing-last-word", "mixing-average",
        "mixing-weighted-pos", "mixing-attention-pos", "mistral-bf16", "gemma2-f32", "neox-f16",
        "opt-post-norm-f16", "bloom-f16", "albert-f16", "modernbert-f16"}) {
    SCOPED_TRACE(name);
    const auto model = LoadGolden(name, DefaultBackend(), format, kv_type);
    ASSERT_NE(model, nullptr);
    fn(*model, SomeTokens(model->config(), 21));
  }
}

// Rows of one layer, [heads, queries, size].
std::vector<float> ReadAll(const LayerAttention& attention, AttentionStage stage,
                           const std::vector<int>& heads, const std::vector<int64_t>& queries) {
  const int64_t n = attention.trace().size();
  std::vector<float> all(heads.size() * queries.size() * n, -1);
  attention.Read(stage, heads, queries, [&](int head, int64_t query, absl::Span<const float> row) {
    const auto h = std::find(heads.begin(), heads.end(), head) - heads.begin();
    const auto q = std::find(queries.begin(), queries.end(), query) - queries.begin();
    std::copy(row.begin(), row.end(), all.begin() + (h * queries.size() + q) * n);
  });
  return all;
}

// The weights, blends and results of a trace have the bits of the run that left it.
void ExpectBitsOfTheRun(const LanguageModel& model, const std::vector<TokenId>& ids,
                        std::shared_ptr<ForwardEditor> editor) {
  const auto trace = TraceOf(model, ids, {}, editor);
  const auto full = TraceOf(model, ids, kEverySite, editor);
  AttentionRecorder seen(model.config());
  Runner(&model, &seen, editor.get()).Append(ids);
  const auto heads = FirstOf<int>(model.config().n_heads);
  const auto queries = FirstOf(trace->size());
  const int64_t n = trace->size();
  for (int layer = 0; layer < model.config().n_layers; ++layer) {
    const std::vector<float> weights =
        ReadAll(LayerAttention(model, *trace, layer), AttentionStage::kWeights, heads, queries);
    for (int head : heads) {
      for (int64_t query : queries) {
        std::vector<float> row = seen.rows.at({layer, head, query});
        row.resize(n, 0.0f);
        ASSERT_TRUE(std::equal(row.begin(), row.end(), weights.begin() + (head * n + query) * n));
      }
    }
    for (Site site : {Site::kMixed, Site::kAttentionOut}) {
      const auto again = ReadSite(model, *trace, site, layer);
      ASSERT_TRUE(again.ok()) << again.status();
      const float *got = again->view().data, *want = full->SiteRows(site, layer).data;
      EXPECT_TRUE(std::equal(want, want + n * SiteWidth(model.config(), site), got));
    }
  }
}

TEST(ReadTest, WeightsAndBlendsHaveTheBitsOfTheForwardPass) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    ExpectBitsOfTheRun(model, ids, nullptr);
  });
}

// Rows of many pages, which the kernels take in several pieces.
TEST(ReadTest, AndSoOfLongPrompts) {
  for (const char* name : {"decoder", "encoder"}) {
    const auto model =
        LoadFolder(std::string(HEED_SOURCE_DIR) + "/model/zoo/" + name, DefaultBackend());
    ASSERT_NE(model, nullptr);
    const int64_t n = std::min<int64_t>(203, model->config().context_window);
    ExpectBitsOfTheRun(*model, SomeTokens(model->config(), n), nullptr);
  }
}

TEST(ReadTest, AndSoOfRoundedWeights) {
  ForEachModel([](const LanguageModel& model,
                  const std::vector<TokenId>& ids) { ExpectBitsOfTheRun(model, ids, nullptr); },
               WeightFormat::kInt8);
}

// A trace holds what was read from the cache, also of values that an edit has changed before.
TEST(ReadTest, AndSoOfRoundedKeysAndValues) {
  for (KvType kv_type : {KvType::kF16, KvType::kInt8}) {
    ForEachModel(
        [&](const LanguageModel& model, const std::vector<TokenId>& ids) {
          ExpectBitsOfTheRun(model, ids, nullptr);
          const auto trace = TraceOf(model, ids, {});
          for (Site site : {Site::kKey, Site::kValue}) {
            const ConstMatrixRef kept = trace->SiteRows(site, 0);
            std::vector<float> again(kept.data, kept.data + kept.rows * kept.cols);
            RoundAsStored(model.config().kv_type, model.config().head_dim,
                          {again.data(), kept.rows, kept.cols});
            EXPECT_TRUE(std::equal(again.begin(), again.end(), kept.data));
          }
        },
        WeightFormat::kF32, kv_type);
  }
}

TEST(ReadTest, AndSoOfEditedRuns) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    std::vector<Intervention> edits(5);
    edits[0].edit = ScaleScores{2};
    edits[0].positions = {{3, 9}};
    edits[1].edit = KnockOut{};
    edits[1].positions = {{5, {}}};
    edits[1].keys = {{1, 3}};
    edits[2].edit = WeightPreset::kUniform;
    edits[2].layers = {-1};
    edits[2].positions = {{-1, {}}};
    edits[3].edit = ScaleSite{Site::kMixed, 0.5};
    edits[3].heads = {0};
    edits[4].edit = ScaleSite{Site::kAttentionOut, 0.25};
    const auto set =
        InterventionSet::Create(edits, model.config(), {static_cast<int64_t>(ids.size()), 0});
    ASSERT_TRUE(set.ok()) << set.status();
    ExpectBitsOfTheRun(model, ids, *set);
  });
}

TEST(ReadTest, AMaskOfTheOtherKindIsReadAsItRan) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.config().causal) return;
    std::vector<Intervention> edits(1);
    edits[0].edit = ReplaceMask{/*causal=*/false};
    edits[0].positions = {{2, 7}};
    const auto set =
        InterventionSet::Create(edits, model.config(), {static_cast<int64_t>(ids.size()), 0});
    ASSERT_TRUE(set.ok()) << set.status();
    ExpectBitsOfTheRun(model, ids, *set);
    const auto trace = TraceOf(model, ids, {}, *set);
    const LayerAttention attention(model, *trace, 0);
    EXPECT_GE(attention.KeyCount(0, 2), 3);
    EXPECT_EQ(attention.KeyCount(0, 1), 2);
  });
}

TEST(ReadTest, RowsSumToOneAndAreExactlyZeroWhereTheyMayNotLook) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const int64_t n = trace->size();
    for (int layer = 0; layer < model.config().n_layers; ++layer) {
      const LayerAttention attention(model, *trace, layer);
      const auto heads = FirstOf<int>(model.config().n_heads);
      const auto queries = FirstOf(n);
      const auto weights = ReadAll(attention, AttentionStage::kWeights, heads, queries);
      const auto masked = ReadAll(attention, AttentionStage::kMasked, heads, queries);
      for (size_t row = 0; row < heads.size() * n; ++row) {
        double sum = 0;
        for (int64_t key = 0; key < n; ++key) {
          const float weight = weights[row * n + key];
          sum += weight;
          if (std::isinf(masked[row * n + key])) {
            ASSERT_EQ(weight, 0);
          }
          if (key >= attention.KeyCount(0, row % n)) {
            ASSERT_TRUE(std::isinf(masked[row * n + key]));
          }
        }
        ASSERT_NEAR(sum, 1, 1e-5);
      }
    }
  });
}

TEST(ReadTest, OnlyBidirectionalRowsDependOnLaterTokens) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const std::vector<TokenId> prefix(ids.begin(), ids.begin() + 13);
    const auto whole = TraceOf(model, ids, {}), part = TraceOf(model, prefix, {});
    const int last = model.config().n_layers - 1;
    const std::vector<int64_t> query = {12};
    const auto row = [&](const Trace& trace) {
      auto weights =
          ReadAll(LayerAttention(model, trace, last), AttentionStage::kWeights, {0}, query);
      weights.resize(13);
      return weights;
    };
    EXPECT_EQ(row(*whole) == row(*part), model.config().causal);
  });
}

TEST(ReadTest, APartIsAPartOfTheWholeAtEveryStage) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const LayerAttention attention(model, *trace, model.config().n_layers - 1);
    const auto heads = FirstOf<int>(model.config().n_heads);
    const std::vector<int> some_heads = {model.config().n_heads - 1};
    const std::vector<int64_t> some = {0, 4, 5, 6, 20};
    const int64_t n = trace->size();
    for (int stage = 0; stage <= static_cast<int>(AttentionStage::kContribution); ++stage) {
      const auto whole = ReadAll(attention, static_cast<AttentionStage>(stage), heads, FirstOf(n));
      const auto part = ReadAll(attention, static_cast<AttentionStage>(stage), some_heads, some);
      for (size_t i = 0; i < some.size(); ++i) {
        const auto want = whole.begin() + (some_heads[0] * n + some[i]) * n;
        EXPECT_TRUE(std::equal(want, want + n, part.begin() + i * n)) << stage;
      }
    }
  });
}

TEST(ReadTest, FusedHeadsAreTheMeanAndTheMaximum) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 21), {});
  const LayerAttention attention(*model, *trace, 0);
  const std::vector<int> heads = {1, 3};
  const std::vector<int64_t> queries = {2, 20};
  const auto rows = ReadAll(attention, AttentionStage::kWeights, heads, queries);
  for (bool is_max : {false, true}) {
    size_t q = 0;
    attention.ReadFused(AttentionStage::kWeights,
                        is_max ? LayerAttention::Fusion::kMax : LayerAttention::Fusion::kMean,
                        heads, queries, [&](int64_t query, absl::Span<const float> row) {
                          EXPECT_EQ(query, queries[q]);
                          for (int64_t key = 0; key < 21; ++key) {
                            const float a = rows[q * 21 + key], b = rows[(2 + q) * 21 + key];
                            EXPECT_FLOAT_EQ(row[key], is_max ? std::max(a, b) : (a + b) / 2);
                          }
                          ++q;
                        });
    EXPECT_EQ(q, 2u);
  }
}

TEST(ReadTest, ATraceInPiecesIsTheTraceInOneGo) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.config().causal) return;
    const auto whole = TraceOf(model, ids, {Site::kResidual});
    auto recorder = TraceRecorder::Create(model.config(), {Site::kResidual}, 64);
    ASSERT_TRUE(recorder.ok());
    Runner runner(&model, recorder->get());
    runner.set_prompt_tokens(ids.size());
    for (size_t i = 0; i < ids.size(); i += i < 9 ? 3 : 1) {
      runner.Append(absl::MakeSpan(ids).subspan(i, i < 9 ? 3 : 1));
    }
    EXPECT_EQ((*recorder)->positions(), static_cast<int64_t>(ids.size()));
    std::vector<TokenId> with_last = ids;
    with_last.push_back(1);  // was generated, but not run
    const auto pieces = (*recorder)->Finish(with_last);
    EXPECT_EQ(pieces->tokens(), ids);
    EXPECT_EQ(pieces->bytes(), whole->bytes());
    for (Site site : kAllSites) {
      for (int layer = 0; layer < SiteLayers(model.config(), site); ++layer) {
        ASSERT_EQ(pieces->Has(site, layer), whole->Has(site, layer));
        const ConstMatrixRef a = pieces->SiteRows(site, layer), b = whole->SiteRows(site, layer);
        EXPECT_TRUE(std::equal(a.data, a.data + a.rows * a.cols, b.data));
      }
    }
  });
}

TEST(ReadTest, TheBytesOfATraceAreKnownBefore) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {Site::kResidual});
    EXPECT_EQ(trace->bytes(), TraceBytes(model.config(), {Site::kResidual}, trace->size()));
  });
  ModelConfig gpt2;
  gpt2.n_layers = gpt2.n_heads = gpt2.n_kv_heads = 12;
  gpt2.head_dim = 64;
  gpt2.width = 768;
  EXPECT_LE(TraceBytes(gpt2, {}, 1024), 120 << 20);
}

TEST(ReadTest, SitesThatAreNotKeptAreComputedAgain) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const ModelConfig& config = model.config();
    const auto trace = TraceOf(model, ids, {Site::kResidual});
    const auto full = TraceOf(model, ids, kEverySite);
    const auto bare = TraceOf(model, ids, {});
    if (config.ffn_width == 0) {
      for (Site site : {Site::kResidualMid, Site::kMlpOut}) {
        EXPECT_EQ(GetErrorDetails(ReadSite(model, *full, site, 0).status()).reason,
                  "SITE_NOT_IN_MODEL");
      }
      return;
    }
    const auto mid = ReadSite(model, *trace, Site::kResidualMid, 0);
    ASSERT_TRUE(mid.ok()) << mid.status();
    const int64_t count = trace->size() * config.width;
    const float* want = full->SiteRows(Site::kResidualMid, 0).data;
    EXPECT_TRUE(std::equal(want, want + count, mid->view().data));
    const auto mlp = ReadSite(model, *trace, Site::kMlpOut, 0);
    if (config.norm_placement == NormPlacement::kPost) {
      EXPECT_EQ(GetErrorDetails(mlp.status()).reason, "SITE_NOT_KEPT");
    } else {
      ASSERT_TRUE(mlp.ok()) << mlp.status();
      const float* out = full->SiteRows(Site::kMlpOut, 0).data;
      for (int64_t i = 0; i < count; ++i) ASSERT_NEAR(mlp->view().data[i], out[i], 1e-5);
    }
    EXPECT_EQ(GetErrorDetails(ReadSite(model, *bare, Site::kResidual, 0).status()).reason,
              "SITE_NOT_KEPT");
    for (Site site : kAllSites) {
      const auto needed = TraceOf(model, ids, SitesNeeded(config, site));
      EXPECT_TRUE(ReadSite(model, *needed, site, 0).ok()) << SiteName(site);
    }
  });
}

TEST(ReadTest, TheHeadsResultsAndTheBiasSumToTheHalfs) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const LayerAttention attention(model, *trace, 0);
    if (attention.half().inside.present()) return;  // its sum is normed
    const int64_t width = model.config().width, query[] = {17};
    std::vector<float> sum = attention.ProjectionBias();
    for (int head = 0; head < model.config().n_heads; ++head) {
      const auto row = ExplainRow(model, *trace, 0, head, 17, {});
      ASSERT_TRUE(row.ok()) << row.status();
      for (int64_t d = 0; d < width; ++d) sum[d] += row->projection[d];
    }
    const AlignedBuffer out = attention.Out(query);
    for (int64_t d = 0; d < width; ++d) ASSERT_NEAR(sum[d], out.data()[d], 1e-4);
  });
}

TEST(ReadTest, PartsSumToTheLogit) {
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

TEST(ReadTest, TheLensAtTheLastLayerIsTheModel) {
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

TEST(ReadTest, AModelWithoutAHeadHasNoLogits) {
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

TEST(ReadTest, RolloutRowsSumToOneAndTheIdentityRollsOutToItself) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    RolloutOptions options{.layer_begin = 0, .layer_end = model.config().n_layers, .queries = {}};
    options.queries = {0, 11, 20};
    const auto flow = Flow(model, *trace, options);
    ASSERT_TRUE(flow.ok());
    for (const auto& rows : {Rollout(model, *trace, options), *flow}) {
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
    for (const auto& rows : {Rollout(model, *trace, options), *Flow(model, *trace, options)}) {
      for (int row = 0; row < 3; ++row) {
        for (int64_t key = 0; key < 21; ++key) {
          EXPECT_EQ(rows[row * 21 + key], key == options.queries[row] ? 1 : 0);
        }
      }
    }
  });
}

TEST(ReadTest, FlowThroughALongPromptStopsWhenNobodyWaits) {
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
TEST(ReadTest, TheTwoDetectionScoresSayTheSame) {
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

TEST(ReadTest, RungsOfTheLadderLookWhereTheirNamesSay) {
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

TEST(ReadTest, DecompositionsOfAMixingModelAreItsWeightedValues) {
  const auto model = LoadGolden("mixing-attention", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 9), {Site::kResidual});
  const auto parts = DecomposeAttention(*model, *trace, 0, Decomposition::kAttentionNorm);
  ASSERT_TRUE(parts.ok()) << parts.status();
  const std::vector<float> weighted =
      ReadAll(LayerAttention(*model, *trace, 0), AttentionStage::kValueWeighted, {0}, FirstOf(9));
  for (size_t i = 0; i < weighted.size(); ++i) EXPECT_NEAR(parts->shares[i], weighted[i], 1e-5);
  EXPECT_EQ(
      GetErrorDetails(DecomposeAttention(*model, *trace, 0, Decomposition::kAlti).status()).reason,
      "SITE_NOT_IN_MODEL");
}

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
  const PrincipalComponents pca = Pca({line.data(), 3, 3}, 2);
  EXPECT_NEAR(pca.explained[0], 1, 1e-12);
  EXPECT_NEAR(pca.explained[1], 0, 1e-12);
  EXPECT_NEAR(pca.coordinates[0], -std::sqrt(5.0), 1e-5);
  EXPECT_NEAR(pca.coordinates[4], std::sqrt(5.0), 1e-5);
  const PrincipalComponents point = Pca({line.data(), 1, 3}, 2);
  EXPECT_THAT(point.explained, ElementsAre(0, 0));
  EXPECT_THAT(point.coordinates, ElementsAre(0, 0));
  const std::vector<float> zero = {0, 0, 0};
  EXPECT_THAT(Cosines({zero.data(), 1, 3}, {line.data(), 1, 3}), ElementsAre(0));
}

}  // namespace
}  // namespace heed
