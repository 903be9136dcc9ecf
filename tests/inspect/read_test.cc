// What holds of the reads of any trace: of every structure of model, of edited and of rounded runs.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/inspect/activations.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/attention_reduce.h"
#include "model/inspect/attribution.h"
#include "model/inspect/decompose.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/intervention_set.h"
#include "model/kernels/kv_rounding.h"
#include "tests/inspect/trace_testing.h"

namespace heed {
namespace {

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

// ALiBi knows no longest prompt.
std::shared_ptr<const LanguageModel> LongBloom(int64_t context_window) {
  const std::filesystem::path folder = absl::StrCat(testing::TempDir(), "long-bloom-", getpid());
  std::filesystem::remove_all(folder);
  std::filesystem::copy(GoldenFolder("bloom-f16"), folder,
                        std::filesystem::copy_options::recursive);
  std::stringstream config;
  config << std::ifstream(folder / "config.json").rdbuf();
  const std::string longer = absl::StrCat("\"seq_length\": ", context_window);
  std::ofstream(folder / "config.json")
      << absl::StrReplaceAll(config.str(), {{"\"seq_length\": 32", longer}});
  auto model = LoadFolder(folder, DefaultBackend());
  std::filesystem::remove_all(folder);
  return model;
}

// Of many more queries and keys than are taken together.
void ExpectScoresOfQueriesAndKeys(const LanguageModel& model) {
  constexpr int64_t kTokens = 150;
  const auto trace = TraceOf(model, SomeTokens(model.config(), kTokens), {});
  const LayerAttention attention(model, *trace, 1);
  const std::vector<int> heads = {1, model.config().n_heads - 1};
  std::vector<int64_t> queries = FirstOf(kTokens);
  queries.erase(queries.begin() + 40, queries.begin() + 50);
  const auto raw = ReadAll(attention, AttentionStage::kRaw, heads, queries);
  const auto masked = ReadAll(attention, AttentionStage::kMasked, heads, queries);
  const auto weights = ReadAll(attention, AttentionStage::kWeights, heads, queries);
  for (size_t row = 0; row < heads.size() * queries.size(); ++row) {
    const int head = heads[row / queries.size()];
    const int64_t query = queries[row % queries.size()];
    const absl::Span<const float> q = attention.Query(head, query);
    const double bottom = masked[row * kTokens];
    double sum = 0;
    for (int64_t key = 0; key <= query; ++key)
      sum += std::exp(masked[row * kTokens + key] - bottom);
    for (int64_t key = 0; key < kTokens; ++key) {
      const absl::Span<const float> k = attention.Key(head, key);
      const double product = std::inner_product(q.begin(), q.end(), k.begin(), 0.0);
      ASSERT_NEAR(raw[row * kTokens + key], product, 1e-5 * (1 + std::abs(product)));
      const double weight = key > query ? 0 : std::exp(masked[row * kTokens + key] - bottom) / sum;
      ASSERT_NEAR(weights[row * kTokens + key], weight, 1e-5) << query << " " << key;
    }
  }
}

TEST(ReadTest, ScoresOfLongPromptsAreProductsOfQueriesAndKeys) {
  ExpectScoresOfQueriesAndKeys(
      *LoadFolder(std::string(HEED_SOURCE_DIR) + "/model/zoo/decoder", DefaultBackend()));
  ExpectScoresOfQueriesAndKeys(*LongBloom(256));
}

// More than are held together.
TEST(ReadTest, FusedRowsOfAWholePromptAreThoseOfEachQuery) {
  const auto model = LongBloom(1024);
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 1024), {});
  const LayerAttention attention(*model, *trace, 0);
  const std::vector<int> heads = FirstOf<int>(model->config().n_heads);
  const auto rows_of = [&](const std::vector<int64_t>& queries) {
    std::vector<float> rows;
    for (const auto fusion : {LayerAttention::Fusion::kMean, LayerAttention::Fusion::kMax}) {
      attention.ReadFused(AttentionStage::kWeights, fusion, heads, queries,
                          [&](int64_t query, absl::Span<const float> row) {
                            EXPECT_EQ(query, queries[rows.size() / 1024 % queries.size()]);
                            rows.insert(rows.end(), row.begin(), row.end());
                          });
    }
    return rows;
  };
  const std::vector<float> all = rows_of(FirstOf(1024));
  ASSERT_EQ(all.size(), 2u * 1024 * 1024);
  for (int64_t query = 1; query < 1024; query += 73) {
    const std::vector<float> one = rows_of({query});
    for (int64_t fusion = 0; fusion < 2; ++fusion) {
      const auto row = all.begin() + (fusion * 1024 + query) * 1024;
      EXPECT_TRUE(std::equal(row, row + 1024, one.begin() + fusion * 1024)) << query;
    }
  }
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

TEST(ReadTest, ATraceKeepsNothingOfLayersThatItsModelLacks) {
  const auto model = LoadGolden("mixing-average", DefaultBackend());
  const auto trace = TraceOf(*model, SomeTokens(model->config(), 9), {Site::kResidual});
  for (int layer : {2, 3, 40, 1000}) {
    for (Site site : kAllSites) EXPECT_EQ(trace->SiteRows(site, layer).cols, 0) << layer;
  }
}

TEST(ReadTest, BelowAttentionThereAreNoQueriesAndKeys) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const auto trace = TraceOf(model, ids, {});
    const bool has_keys = model.config().mixing == MixingPattern::kAttention;
    for (Site site : {Site::kQuery, Site::kKey}) {
      const auto read = ReadSite(model, *trace, site, 0);
      EXPECT_EQ(read.ok(), has_keys) << SiteName(site);
      if (has_keys) continue;
      EXPECT_EQ(GetErrorDetails(read.status()).reason, "SITE_NOT_IN_MODEL");
    }
    EXPECT_TRUE(ReadSite(model, *trace, Site::kValue, 0).ok());
    const auto row = ExplainRow(model, *trace, 0, 0, 17, {});
    ASSERT_TRUE(row.ok()) << row.status();
    EXPECT_EQ(row->query.empty(), !has_keys);
    EXPECT_EQ(row->keys.empty(), !has_keys);
    EXPECT_FALSE(row->values.empty());
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

}  // namespace
}  // namespace heed
