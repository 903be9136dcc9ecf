// Interventions on the golden models: what is refused, what changes nothing, and what edits of one
// kind have to do with those of another. Their numbers are in intervention_golden_test.cc.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/inspect/intervention_set.h"
#include "tests/inspect/edit_testing.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kTokens = 14;

// Decoders and encoders of every structure: learned, rotary and ALiBi positions, windows, caps,
// groups of heads, parallel halves, and a rung of the ladder.
constexpr const char* kModels[] = {"gpt2-f32",     "llama-gqa-f32",  "bert-f32",
                                   "neox-f16",     "gemma2-f32",     "bloom-f16",
                                   "mistral-bf16", "modernbert-f16", "mixing-attention-pos"};

std::vector<TokenId> Tokens(const ModelConfig& config, int step = 37) {
  std::vector<TokenId> ids;
  for (int64_t i = 0; i < kTokens; ++i) {
    ids.push_back(static_cast<TokenId>((5 + i * step) % config.vocab_size));
  }
  return ids;
}

// Keeps the rows of every site of a run, and every attention row.
class SiteKeeper : public AttentionRecorder, public SiteSource {
 public:
  using AttentionRecorder::AttentionRecorder;
  bool WantSite(Site, int) override { return true; }
  void OnSite(Site site, int layer, int64_t, ConstMatrixRef rows) override {
    std::vector<float>& all = sites[{site, layer}];
    for (int64_t r = 0; r < rows.rows; ++r) {
      all.insert(all.end(), rows.Row(r).begin(), rows.Row(r).end());
    }
  }
  ConstMatrixRef SiteRows(Site site, int layer) const override {
    const auto kept = sites.find({site, layer});
    if (kept == sites.end()) return {};
    const int64_t size = static_cast<int64_t>(kept->second.size());
    return {kept->second.data(), kTokens, size / kTokens};
  }

  std::map<std::pair<Site, int>, std::vector<float>> sites;  // [positions, width]
};

std::shared_ptr<InterventionSet> MakeSet(const std::vector<Intervention>& edits,
                                         const ModelConfig& config, EditedRun run = {kTokens}) {
  auto set = InterventionSet::Create(edits, config, run);
  EXPECT_TRUE(set.ok()) << set.status();
  return set.ok() ? *set : nullptr;
}

std::vector<float> RunEdited(const LanguageModel& model, const std::vector<Intervention>& edits,
                             ForwardObserver* observer = nullptr) {
  const auto set = MakeSet(edits, model.config());
  return Runner(&model, observer, set.get()).Append(Tokens(model.config()));
}

template <typename Fn>
void ForEachModel(const Fn& fn) {
  for (const char* name : kModels) {
    SCOPED_TRACE(name);
    const auto model = LoadGolden(name, DefaultBackend());
    ASSERT_NE(model, nullptr);
    fn(*model);
  }
}

std::vector<float> Ones(int64_t n) {
  return std::vector<float>(n, 1.0f);
}

double Entropy(absl::Span<const float> weights) {
  double entropy = 0;
  for (float weight : weights) entropy -= weight == 0 ? 0 : weight * std::log(double{weight});
  return entropy;
}

// ---- what is refused

struct Refused {
  Intervention edit;
  absl::StatusCode code;
  std::string message;
};

TEST(InterventionTest, ErrorsNameTheFieldAndWhatIsRight) {
  const auto gpt2 = LoadGolden("gpt2-f32", DefaultBackend());  // 2 layers, 4 heads, width 32
  std::vector<float> bad(32, 1.0f);
  bad[7] = std::nanf("");
  const auto source = std::make_shared<SiteKeeper>(gpt2->config());
  source->sites[{Site::kMixed, 0}] = std::vector<float>(kTokens * 32);
  source->sites[{Site::kMixed, 1}] = bad;
  source->sites[{Site::kMixed, 1}].resize(kTokens * 32);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  const auto range = absl::StatusCode::kOutOfRange;
  const auto missing = absl::StatusCode::kFailedPrecondition;
  const std::vector<Refused> cases = {
      {Edit(KnockOut{}, {2}), invalid, "interventions[1].layers[0]: is 2; must be in [-2, 1]"},
      {Edit(KnockOut{}, {}, {0, -5}), invalid,
       "interventions[1].heads[1]: is -5; must be in [-4, 3]"},
      {Edit(AddVector{Site::kResidual, Ones(32)}, {3}), invalid, "must be in [-3, 2]"},
      {Edit(AddVector{Site::kMlpOut, Ones(32)}, {2}), invalid, "must be in [-2, 1]"},
      {Edit(AddVector{Site::kMlpOut, Ones(32)}, {}, {1}), invalid, "mlp_out has no heads"},
      {Edit(AddVector{Site::kResidual, Ones(31)}), invalid,
       "interventions[1].add_vector.vector: has 31 values; residual is 32 wide"},
      {Edit(AddVector{Site::kResidual, bad}), invalid,
       "add_vector.vector[7]: is nan; must be finite"},
      {Edit(AddVector{Site::kResidual, Ones(32), INFINITY}), invalid, "add_vector.scale: is inf"},
      {Edit(ProjectOut{Site::kMixed, {Ones(32)}}, {}, {}), absl::StatusCode::kOk, ""},
      {Edit(ProjectOut{Site::kResidual, std::vector<float>(32)}), invalid, "is all zeros"},
      {Edit(ScaleScores{-0.5}), invalid, "scale_scores.beta: is -0.5; must be in [0, 1000]"},
      {Edit(ScaleScores{std::nan("")}), invalid, "scale_scores.beta: is nan"},
      {Edit(AddToScores{1e9}), invalid, "add_to_scores.bias: is 1e+09"},
      {Edit(ScaleSite{Site::kMixed, 1e9}), invalid, "scale_site.factor: is 1e+09"},
      {Edit(ScaleSite{}, {}, {}, {}, {{0, 1}}), invalid, "takes none"},
      {Edit(KnockOut{}, {}, {}, {{3, 3}}), invalid, "positions[0]: is empty"},
      {Edit(KnockOut{}, {}, {}, {{14, 15}}), range,
       "positions[0].begin is 14; there are 14 tokens, so it must be in [-14, 13]"},
      {Edit(KnockOut{}, {}, {}, {{13, 15}}), range,
       "positions[0].end is 15; there are 14 tokens, so it must be in [-14, 14]"},
      {Edit(KnockOut{}, {}, {}, {}, {{-15}}), range, "keys[0].begin is -15"},
      {Edit(SetWeights{{.5, .4}}, {}, {}, {{1, 2}}), invalid, "sum to 0.9; must sum to 1"},
      {Edit(SetWeights{{.5, -.5, 1}}, {}, {}, {{2, 3}}), invalid, "weights[1]: is -0.5"},
      {Edit(SetWeights{{0, 0}, true}, {}, {}, {{1, 2}}), invalid, "more than 0"},
      {Edit(SetWeights{{.5, .5}}, {}, {}, {{2, 3}}), invalid,
       "are 2; must be one for each of the prompt's 14 tokens, or one for each of the 3"},
      {Edit(SetWeights{std::vector<double>(14, 1 / 14.0)}, {}, {}, {{2, 3}}), invalid,
       "weights[13]: is 0.0714286; must be 0, because position 2 does not see that key"},
      {Edit(PatchSite{Site::kMixed}), invalid, "patch_site.source: is missing"},
      {Edit(PatchSite{Site::kQuery, source}), missing, "which its source did not keep"},
      {Edit(PatchSite{Site::kMixed, source}, {1}), invalid, "holds a NaN"},
      {Edit(PatchSite{Site::kMixed, source, {{0, 2}}}, {0}), invalid, "are 2; 14 positions"},
      {Edit(PatchSite{Site::kMixed, source, std::vector<PositionSpan>(1000)}, {0}), invalid,
       "are 14000; 14 positions"},
      {Edit(PatchSite{Site::kMixed, source, {{13, 15}}}, {0}, {}, {{0, 2}}), range,
       "patch_site.source_positions[0].end is 15"},
      {Edit(ReplaceMask{.causal = false}, {0}, {}, {{13, 14}}), absl::StatusCode::kOk, ""},
  };
  for (const Refused& c : cases) {
    const auto set =
        InterventionSet::Create({Edit(ScaleScores{2}), c.edit}, gpt2->config(), {kTokens});
    EXPECT_EQ(set.status().code(), c.code) << set.status() << " for " << c.message;
    EXPECT_THAT(std::string(set.status().message()), HasSubstr(c.message));
  }
}

TEST(InterventionTest, OneAnswerNamesAllThatIsWrong) {
  const auto model = LoadGolden("gpt2-f32", DefaultBackend());
  const auto set = InterventionSet::Create(
      {Edit(ScaleScores{-1}, {9}, {7}), Edit(KnockOut{}, {}, {}, {{99}}), Edit(AddToScores{1e6})},
      model->config(), {kTokens}, "sets[3].interventions");
  EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
  std::vector<std::string> fields;
  for (const auto& violation : GetErrorDetails(set.status()).violations) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields,
              ElementsAre("sets[3].interventions[0].layers[0]", "sets[3].interventions[0].heads[0]",
                          "sets[3].interventions[0].scale_scores.beta",
                          "sets[3].interventions[2].add_to_scores.bias"));
}

TEST(InterventionTest, WhatAModelOrARunCannotDoIsAPrecondition) {
  const auto code = [](const char* model, const Intervention& edit, EditedRun run) {
    const auto loaded = LoadGolden(model, DefaultBackend());
    return InterventionSet::Create({edit}, loaded->config(), run).status().code();
  };
  const EditedRun alone{kTokens}, generating{kTokens, 3};
  const auto no = absl::StatusCode::kFailedPrecondition, yes = absl::StatusCode::kOk;
  EXPECT_EQ(code("neox-f16", Edit(ScaleSite{Site::kResidualMid, 0}), alone), no);
  EXPECT_EQ(code("neox-sequential-f16", Edit(ScaleSite{Site::kResidualMid, 0}), alone), yes);
  EXPECT_EQ(code("mixing-average", Edit(ScaleSite{Site::kMlpOut, 0}), alone), no);
  EXPECT_EQ(code("gpt2-f32", Edit(MeanSite{}), alone), yes);
  EXPECT_EQ(code("gpt2-f32", Edit(MeanSite{}), generating), no);
  EXPECT_EQ(code("gpt2-f32", Edit(ReplaceMask{.causal = false}), alone), yes);
  EXPECT_EQ(code("gpt2-f32", Edit(ReplaceMask{.causal = false}), generating), no);
  EXPECT_EQ(code("gpt2-f32", Edit(ReplaceMask{.causal = true}), generating), yes);
}

// ---- where a set begins

TEST(InterventionTest, ASetKnowsWhereItBegins) {
  const auto llama = LoadGolden("llama-gqa-f32", DefaultBackend());  // 3 layers
  const auto at = [&](const std::vector<Intervention>& edits) {
    const auto set = MakeSet(edits, llama->config());
    return std::pair(set->first_layer(), set->first_position());
  };
  EXPECT_EQ(at({Edit(ScaleScores{2}, {2, 1})}), std::pair(1, int64_t{0}));
  EXPECT_EQ(at({Edit(ScaleScores{2}, {-1}, {}, {{-2}})}), std::pair(2, kTokens - 2));
  // Keys that the first rows do not see.
  EXPECT_EQ(at({Edit(KnockOut{}, {1}, {}, {}, {{6, 8}})}), std::pair(1, int64_t{6}));
  EXPECT_EQ(at({Edit(ScaleSite{Site::kResidual, 0}, {3}, {}, {{4}})}), std::pair(3, int64_t{4}));
  EXPECT_EQ(at({Edit(MeanSite{}, {1}, {}, {{4}})}), std::pair(1, int64_t{0}));
  EXPECT_EQ(at({Edit(AddToScores{3}, {0}, {}, {{5}}, {{2, 3}}), Edit(KnockOut{}, {1})}),
            std::pair(0, int64_t{0}));
  // Over a base only what is another's.
  const auto base = MakeSet({Edit(ScaleScores{2}, {0})}, llama->config());
  const auto over = InterventionSet::Create({Edit(KnockOut{}, {2}, {}, {{7}})}, llama->config(),
                                            {kTokens}, "", base.get());
  EXPECT_EQ(std::pair((*over)->first_layer(), (*over)->first_position()), std::pair(2, int64_t{7}));
  const auto base_alone = InterventionSet::Create({}, llama->config(), {kTokens}, "", base.get());
  EXPECT_TRUE(!(*base_alone)->differs() && !(*base_alone)->empty());
  const auto bert = LoadGolden("bert-f32", DefaultBackend());
  EXPECT_EQ(MakeSet({Edit(ScaleScores{2}, {1}, {}, {{5}})}, bert->config())->first_position(), 0);

  const auto mask = MakeSet({Edit(ReplaceMask{.causal = false}, {1})}, llama->config());
  EXPECT_TRUE(mask->needs_whole_prompt() && mask->counterfactual_mask());
  // The last position sees everything anyway.
  const auto last = MakeSet({Edit(ReplaceMask{.causal = false}, {1}, {}, {{-1}})}, llama->config());
  EXPECT_TRUE(last->empty() && !last->counterfactual_mask());
  const auto causal = MakeSet({Edit(ReplaceMask{.causal = true})}, bert->config());
  EXPECT_TRUE(!causal->needs_whole_prompt() && causal->counterfactual_mask());
}

TEST(InterventionTest, OnlyDialsOfWholeRowsAreFactors) {
  const auto llama = LoadGolden("llama-gqa-f32", DefaultBackend());
  const auto factor_of = [&](std::vector<Intervention> edits, int head = 1, int64_t query = 5) {
    return MakeSet(edits, llama->config())->ScoreFactor(0, head, query);
  };
  const Intervention dial = Edit(ScaleScores{3});
  EXPECT_EQ(factor_of({dial}), 3.0f);
  EXPECT_EQ(factor_of({dial, Edit(ScaleScores{0.5}, {}, {1, 2}, {{4, 7}})}), 1.5f);
  EXPECT_EQ(factor_of({dial, Edit(ScaleScores{0})}), 0.0f);
  EXPECT_EQ(factor_of({dial, Edit(KnockOut{}, {0}, {1}, {{6}}, {{2, 3}})}), 3.0f);
  EXPECT_EQ(factor_of({dial, Edit(KnockOut{}, {0}, {1}, {{5, 6}}, {{2, 3}})}), std::nullopt);
  EXPECT_EQ(factor_of({dial, Edit(AddToScores{1}, {}, {}, {}, {{0, 1}})}), std::nullopt);
  EXPECT_EQ(factor_of({Edit(ScaleScores{3}, {}, {}, {}, {{2, 3}})}), std::nullopt);
  EXPECT_EQ(factor_of({dial, Edit(ReplaceMask{.causal = false}, {0}, {1})}), std::nullopt);
  EXPECT_EQ(factor_of({dial, Edit(ReplaceMask{.causal = false}, {0}, {1})}, /*head=*/2), 3.0f);
  // What changes nothing does not matter.
  EXPECT_EQ(factor_of({dial, Edit(KnockOut{}, {0}, {1}, {{5, 6}}, {{7, 9}})}), 3.0f);
  EXPECT_EQ(factor_of({dial, Edit(ReplaceMask{.causal = true}, {0}, {1})}), 3.0f);
  // Dials that might make a score infinite.
  EXPECT_EQ(factor_of({Edit(ScaleScores{1000}), Edit(ScaleScores{1000})}), 1e6f);
  EXPECT_EQ(factor_of({Edit(ScaleScores{1000}), Edit(ScaleScores{1000}), Edit(ScaleScores{2})}),
            std::nullopt);
}

// ---- what changes nothing

TEST(InterventionTest, NullEditsLeaveEveryBit) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    SiteKeeper plain(config);
    const std::vector<float> logits = Runner(&model, &plain).Append(Tokens(config));
    std::vector<Intervention> nulls = {
        Edit(ScaleScores{1}),
        Edit(AddToScores{0}, {}, {}, {}, {{0, 1}}),
        Edit(AddToScores{5}),  // on every key
        Edit(ReplaceMask{config.causal}),
        Edit(ScaleSite{Site::kMixed, 1}),
        Edit(AddVector{Site::kResidual, Ones(config.width), 0}),
        Edit(AddVector{Site::kAttentionOut, std::vector<float>(config.width)})};
    if (config.causal) nulls.push_back(Edit(KnockOut{}, {}, {}, {{0, 3}}, {{5, 9}}));
    EXPECT_TRUE(MakeSet(nulls, config)->empty());
    SiteKeeper edited(config);
    EXPECT_EQ(RunEdited(model, nulls, &edited), logits);
    EXPECT_EQ(edited.rows, plain.rows);
    EXPECT_EQ(edited.sites, plain.sites);
  });
}

TEST(InterventionTest, PatchingARunWithItselfLeavesEveryBit) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const auto own = std::make_shared<SiteKeeper>(config);
    const std::vector<float> logits = Runner(&model, own.get()).Append(Tokens(config));
    std::vector<Intervention> all;
    for (Site site : kAllSites) {
      if (!HasSite(config, site) || (site == Site::kResidualMid && config.parallel_residual))
        continue;
      all.push_back(Edit(PatchSite{site, own}));
      EXPECT_EQ(RunEdited(model, {all.back()}), logits) << SiteName(site);
    }
    EXPECT_EQ(RunEdited(model, all), logits);
  });
}

TEST(InterventionTest, UneditedHeadsAndRowsKeepTheirBits) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const int last = config.n_heads - 1;
    AttentionRecorder plain(config), edited(config);
    RunEdited(model, {}, &plain);
    RunEdited(model,
              {Edit(ScaleScores{3}, {0}, {last}, {{2, 4}, {9, 10}}),
               Edit(ScaleScores{3}, {0}, {0}, {{5, 6}})},
              &edited);
    for (const auto& [at, row] : plain.rows) {
      const auto& [layer, head, query] = at;
      const bool is_edited =
          (head == last && (query == 2 || query == 3 || query == 9)) || (head == 0 && query == 5);
      EXPECT_TRUE(layer > 0 || (edited.rows[at] == row) == !is_edited)
          << "head " << head << ", query " << query;
    }
  });
}

// ---- what one edit has to do with another

TEST(InterventionTest, PatchingEverySiteGivesTheCleanRun) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const auto clean = std::make_shared<SiteKeeper>(config);
    const std::vector<float> want = Runner(&model, clean.get()).Append(Tokens(config, /*step=*/11));
    std::vector<Intervention> all;
    for (Site site : kAllSites) {
      if (HasSite(config, site) && !(site == Site::kResidualMid && config.parallel_residual)) {
        all.push_back(Edit(PatchSite{site, clean}));
      }
    }
    EXPECT_NE(RunEdited(model, {}), want);
    EXPECT_EQ(RunEdited(model, all), want);
    // Or only what enters the first layer: everything else follows, also in models whose keys and
    // queries do not come from the stream.
    if (config.mixing == MixingPattern::kAttention) {
      EXPECT_EQ(RunEdited(model, {Edit(PatchSite{Site::kResidual, clean}, {0})}), want);
    }
  });
}

TEST(InterventionTest, CuttingAnEdgeIsOverridingTheRowWithTheRestRenormalised) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const int64_t query = kTokens - 2, key = kTokens - 3;
    const int layer = config.n_layers - 1, head = config.n_heads - 1;
    AttentionRecorder plain(config), cut(config), set(config);
    RunEdited(model, {}, &plain);
    std::vector<double> rest;
    for (float w : plain.rows[{layer, head, query}]) rest.push_back(w);
    rest[key] = 0;
    const auto by_cut = RunEdited(
        model, {Edit(KnockOut{}, {layer}, {head}, {{query, query + 1}}, {{key, key + 1}})}, &cut);
    const auto by_weights = RunEdited(
        model, {Edit(SetWeights{rest, true}, {layer}, {head}, {{query, query + 1}})}, &set);
    for (size_t i = 0; i < by_cut.size(); ++i) ASSERT_NEAR(by_cut[i], by_weights[i], 2e-5);
    const auto& row = cut.rows[{layer, head, query}];
    EXPECT_EQ(row[key], 0.0f);
    for (size_t j = 0; j < row.size(); ++j) {
      EXPECT_NEAR(row[j], (set.rows[{layer, head, query}][j]), 1e-6);
    }
    EXPECT_NE((plain.rows[{layer, head, query}][key]), 0.0f);
  });
}

TEST(InterventionTest, EntropyFallsAsTheDialIsTurnedUp) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    std::map<std::tuple<int, int, int64_t>, double> last;
    AttentionRecorder plain(config);
    RunEdited(model, {}, &plain);
    for (double beta : {0.0, 0.25, 1.0, 3.0, 20.0, 1000.0}) {
      AttentionRecorder seen(config);
      RunEdited(model, {Edit(ScaleScores{beta}, {0})}, &seen);
      for (const auto& [at, row] : seen.rows) {
        if (std::get<0>(at) != 0) continue;
        const double entropy = Entropy(row);
        EXPECT_LE(entropy, beta == 0 ? 9 : last[at] + 1e-6) << "beta " << beta;
        if (beta == 0) {  // equal weights on all that is seen
          const auto& seen_before = plain.rows[at];
          const auto count =
              std::count_if(seen_before.begin(), seen_before.end(), [](float w) { return w > 0; });
          EXPECT_NEAR(entropy, std::log(static_cast<double>(count)), 1e-6);
        }
        last[at] = entropy;
      }
    }
  });
}

TEST(InterventionTest, ObserversSeeTheRowsThatWereSet) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const int layer = config.n_layers - 1;
    const bool causal = config.causal;
    const bool windowed = config.is_windowed(layer);
    const auto row_of = [&](decltype(Intervention::edit) edit, int64_t query) {
      AttentionRecorder seen(config);
      RunEdited(model, {Edit(std::move(edit), {layer}, {0}, {{query, query + 1}})}, &seen);
      return seen.rows[{layer, 0, query}];
    };
    const auto one_on = [&](int64_t key, int64_t query) {
      std::vector<float> row(causal ? query + 1 : kTokens);
      row[key] = 1;
      return row;
    };
    EXPECT_EQ(row_of(WeightPreset::kIdentity, 3), one_on(3, 3));
    EXPECT_EQ(row_of(WeightPreset::kFirstWord, 3), one_on(0, 3));
    EXPECT_EQ(row_of(WeightPreset::kLastWord, 3), one_on(causal     ? 3
                                                         : windowed ? 7
                                                                    : kTokens - 1,
                                                         3));
    if (causal) {
      EXPECT_THAT(row_of(WeightPreset::kUniform, 3), ElementsAre(.25f, .25f, .25f, .25f));
      EXPECT_THAT(row_of(SetWeights{{.05, .35, .45, .15}}, 3), ElementsAre(.05f, .35f, .45f, .15f));
      EXPECT_THAT(row_of(SetWeights{{1, 0, 2, 1}, true}, 3), ElementsAre(.25f, 0, .5f, .25f));
    }
    EXPECT_EQ(row_of(KnockOut{}, 3), std::vector<float>(causal ? 4 : kTokens));
  });
}

TEST(InterventionTest, MasksOfTheOtherKind) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    AttentionRecorder seen(config);
    RunEdited(model, {Edit(ReplaceMask{.causal = !config.causal})}, &seen);
    for (const auto& [at, row] : seen.rows) {
      const auto& [layer, head, query] = at;
      double sum = 0;
      for (int64_t key = 0; key < static_cast<int64_t>(row.size()); ++key) {
        const bool in_window =
            config.window_of(layer) == 0 || std::abs(key - query) < config.window_of(layer);
        const bool is_visible = in_window && (config.causal || key <= query);
        EXPECT_EQ(row[key] > 0, is_visible) << "query " << query << ", key " << key;
        sum += row[key];
      }
      EXPECT_NEAR(sum, 1, 1e-5);
      EXPECT_EQ(static_cast<int64_t>(row.size()), kTokens);
    }
  });
}

TEST(InterventionTest, SitesHoldWhatTheEditsSay) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    std::vector<float> direction;
    for (int64_t i = 0; i < config.query_width(); ++i) {
      direction.push_back(static_cast<float>(i % 5) - 1.5f);
    }
    const int head = config.n_heads - 1;
    const int64_t d = config.head_dim, first = head * d;
    const auto mixed = [&](decltype(Intervention::edit) edit) {
      SiteKeeper seen(config);
      RunEdited(model, {Edit(std::move(edit), {0}, {head}, {{2, 6}})}, &seen);
      return seen.sites[{Site::kMixed, 0}];
    };
    SiteKeeper plain_run(config);
    RunEdited(model, {}, &plain_run);
    const std::vector<float> plain = plain_run.sites[{Site::kMixed, 0}];
    const std::vector<float> halved = mixed(ScaleSite{Site::kMixed, 0.5});
    const std::vector<float> mean = mixed(MeanSite{});
    const std::vector<float> added = mixed(AddVector{Site::kMixed, direction, -2});
    const std::vector<float> without = mixed(ProjectOut{Site::kMixed, direction});
    const int64_t width = config.query_width();
    for (int64_t p = 0; p < kTokens; ++p) {
      double along = 0, length = 0, rest = 0;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t at = p * width + i;
        if (p < 2 || p >= 6 || i < first) {
          ASSERT_EQ(std::vector({halved[at], mean[at], added[at], without[at]}),
                    std::vector(4, plain[at]));
          continue;
        }
        double sum = 0;
        for (int64_t q = 0; q < kTokens; ++q) sum += plain[q * width + i];
        EXPECT_EQ(halved[at], 0.5f * plain[at]);
        EXPECT_NEAR(mean[at], sum / kTokens, 1e-6);
        EXPECT_NEAR(added[at], plain[at] - 2 * direction[i], 1e-5);
        along += double{plain[at]} * direction[i];
        length += double{direction[i]} * direction[i];
        rest += double{without[at]} * direction[i];
      }
      if (p < 2 || p >= 6) continue;
      EXPECT_NEAR(rest, 0, 1e-5);
      for (int64_t i = first; i < width; ++i) {
        EXPECT_NEAR(without[p * width + i], plain[p * width + i] - along / length * direction[i],
                    1e-5);
      }
    }
  });
}

// ---- the same in any pieces and any batch

// An edit of each kind that tokens may follow.
std::vector<Intervention> ManyEdits(const ModelConfig& config) {
  return {Edit(ScaleScores{2.5}, {0}, {0}),
          Edit(AddToScores{1}, {-1}, {}, {{5, 9}}, {{0, 2}}),
          Edit(KnockOut{}, {-1}, {-1}, {}, {{3, 4}}),
          Edit(WeightPreset::kUniform, {0}, {-1}, {{11}}),
          Edit(ScaleSite{Site::kValue, 0.5}, {0}, {0}, {{2, 3}}),
          Edit(AddVector{Site::kResidual, Ones(config.width), 0.1}, {1}, {}, {{4}})};
}

TEST(InterventionTest, EditedRunsAreTheSameInPieces) {
  ForEachModel([](const LanguageModel& model) {
    if (!model.config().causal) return;
    const std::vector<TokenId> ids = Tokens(model.config());
    const auto set = MakeSet(ManyEdits(model.config()), model.config());
    AttentionRecorder whole_rows(model.config());
    const auto whole = Runner(&model, &whole_rows, set.get()).Append(ids);
    EXPECT_NE(whole, RunEdited(model, {}));
    for (size_t chunk : {1, 5}) {
      AttentionRecorder rows(model.config());
      Runner runner(&model, &rows, set.get());
      runner.set_prompt_tokens(ids.size());
      std::vector<float> logits;
      for (size_t begin = 0; begin < ids.size(); begin += chunk) {
        const auto more = runner.Append(absl::MakeSpan(ids).subspan(begin, chunk));
        logits.insert(logits.end(), more.begin(), more.end());
      }
      EXPECT_EQ(rows.rows, whole_rows.rows) << "pieces of " << chunk;
      EXPECT_EQ(logits, whole) << "pieces of " << chunk;
    }
  });
}

TEST(InterventionTest, EditedRunsAreTheSameInAnyBatch) {
  ForEachModel([](const LanguageModel& model) {
    const ModelConfig& config = model.config();
    const std::vector<TokenId> ids = Tokens(config);
    const auto set = MakeSet(ManyEdits(config), config);
    const std::vector<float> plain = RunEdited(model, {}),
                             edited = RunEdited(model, ManyEdits(config));
    KvPool pool(KvLayout::For(config), 4 * PagesFor(kTokens));
    const ForwardPlan plan{nullptr, set.get()};
    const std::vector<int64_t> last = {kTokens - 1};
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<SequenceSlice> slices;
    for (int i = 0; i < 4; ++i) {
      caches.push_back(std::make_unique<KvCache>(&pool));
      ASSERT_TRUE(caches.back()->Reserve(kTokens).ok());
      slices.push_back({ids, caches.back().get(), last, i % 2 == 1 ? &plan : nullptr});
      slices.back().prompt_tokens = kTokens;
    }
    std::vector<float> logits(4 * config.vocab_size);
    ASSERT_TRUE(model
                    .Forward(absl::MakeSpan(slices), {logits.data(), 4, config.vocab_size},
                             model.NewWorkspace().get())
                    .ok());
    for (int i = 0; i < 4; ++i) {
      const std::vector<float>& want = i % 2 == 1 ? edited : plain;
      for (int64_t v = 0; v < config.vocab_size; ++v) {
        ASSERT_EQ(logits[i * config.vocab_size + v], want[(kTokens - 1) * config.vocab_size + v]);
      }
    }
  });
}

}  // namespace
}  // namespace heed
