// The sites of a forward pass: what is seen there adds up to what the model computes, what is
// changed there flows on, and neither costs anybody else a bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/transformer/model_testing.h"

namespace heed {
namespace {

using Place = std::pair<Site, int>;

// Keeps every row of every site, and every attention row.
class SiteRecorder : public AttentionRecorder {
 public:
  using AttentionRecorder::AttentionRecorder;
  bool WantSite(Site, int) override { return true; }
  void OnSite(Site site, int layer, int64_t first_position, ConstMatrixRef rows) override {
    std::vector<float>& all = sites[{site, layer}];
    EXPECT_EQ(static_cast<int64_t>(all.size()), first_position * rows.cols);
    for (int64_t r = 0; r < rows.rows; ++r) {
      all.insert(all.end(), rows.Row(r).begin(), rows.Row(r).end());
    }
  }

  std::map<Place, std::vector<float>> sites;  // [positions, width]
};

// Adds `amount` to each element of one position at one place; claims to edit the places in `also`
// without doing anything there.
class Adder : public ForwardEditor {
 public:
  Adder(Place place, int64_t position, float amount)
      : place_(place), position_(position), amount_(amount) {}
  bool EditsSite(Site site, int layer) const override {
    return also || Place(site, layer) == place_;
  }
  void EditSite(Site site, int layer, int64_t first_position, MatrixRef rows) const override {
    const int64_t row = position_ - first_position;
    if (Place(site, layer) != place_ || row < 0 || row >= rows.rows) return;
    for (float& value : rows.Row(row)) value += amount_;
  }

  bool also = false;

 private:
  const Place place_;
  const int64_t position_;
  const float amount_;
};

std::vector<TokenId> SomeTokens(const ModelConfig& config) {
  std::vector<TokenId> ids;
  const int64_t n = std::min<int64_t>(40, config.context_window);
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>(i * 37 % config.vocab_size));
  return ids;
}

// Calls fn(model, tokens) for golden models of every structure: norms before, inside and after the
// halves, and halves one after the other and beside each other.
template <typename Fn>
void ForEachModel(const Fn& fn) {
  for (const char* name :
       {"gpt2-f32", "llama-gqa-f32", "bert-f32", "mixing-last-word", "mixing-attention-pos",
        "qwen3-bf16", "gemma2-f32", "gemma3-bf16", "gpt-neo-f16", "neox-f16", "neox-sequential-f16",
        "phi-norms-f16", "opt-post-norm-f16", "bloom-f16", "albert-f16", "modernbert-f16",
        "distilbert-model-f32"}) {
    SCOPED_TRACE(name);
    const auto model = LoadGolden(name, DefaultBackend());
    ASSERT_NE(model, nullptr);
    fn(*model, SomeTokens(model->config()));
  }
}

std::vector<Place> Places(const ModelConfig& config) {
  std::vector<Place> places;
  for (Site site : kAllSites) {
    const int layers = HasSite(config, site) ? SiteLayers(config, site) : 0;
    for (int layer = 0; layer < layers; ++layer) places.emplace_back(site, layer);
  }
  return places;
}

TEST(SitesTest, EachSiteIsSeenOnceAndWatchingChangesNoBit) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    SiteRecorder all(model.config());
    AttentionRecorder attention(model.config());
    const std::vector<float> plain = Runner(&model).Append(ids);
    EXPECT_EQ(Runner(&model, &all).Append(ids), plain);
    EXPECT_EQ(Runner(&model, &attention).Append(ids), plain);
    EXPECT_EQ(all.rows, attention.rows);
    const std::vector<Place> places = Places(model.config());
    EXPECT_EQ(all.sites.size(), places.size());
    for (const Place& place : places) {
      EXPECT_EQ(all.sites[place].size(), ids.size() * SiteWidth(model.config(), place.first));
    }
  });
}

TEST(SitesTest, RoundedWeightsAreWatchedWithoutABitChanged) {
  for (const char* name : {"gpt2-f32", "gemma2-f32", "bert-f32", "neox-f16"}) {
    for (WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
      const auto model = LoadGolden(name, DefaultBackend(), format);
      ASSERT_NE(model, nullptr);
      const std::vector<TokenId> ids = SomeTokens(model->config());
      SiteRecorder all(model->config());
      EXPECT_EQ(Runner(model.get(), &all).Append(ids), Runner(model.get()).Append(ids)) << name;
    }
  }
}

TEST(SitesTest, PiecesOfAPromptHaveTheBitsOfTheWhole) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.config().causal) return;
    SiteRecorder whole(model.config()), pieces(model.config());
    Runner(&model, &whole).Append(ids);
    Runner runner(&model, &pieces);
    runner.set_prompt_tokens(ids.size());
    for (size_t begin = 0; begin < ids.size(); begin += 7) {
      runner.Append(absl::MakeSpan(ids).subspan(begin, 7));
    }
    EXPECT_EQ(pieces.sites, whole.sites);
  });
}

// after(x + addend) == sum.
void ExpectSum(const NormPart& after, std::vector<float> x, const std::vector<float>& addend,
               const std::vector<float>& sum, int64_t width) {
  ASSERT_EQ(x.size(), addend.size());
  ASSERT_EQ(x.size(), sum.size());
  for (size_t i = 0; i < x.size(); ++i) x[i] += addend[i];
  const MatrixRef rows(x.data(), static_cast<int64_t>(x.size()) / width, width);
  if (after.present()) ReferenceBackend()->Normalize(after.kind, after.parameters, rows, rows);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(x[i], sum[i], 1e-5 * std::max(1.0f, std::abs(sum[i]))) << i;
  }
}

TEST(SitesTest, TheHalvesAddUpToTheStream) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const ModelConfig& config = model.config();
    SiteRecorder seen(config);
    Runner(&model, &seen).Append(ids);
    for (int l = 0; l < config.n_layers; ++l) {
      const LayerParts& parts = model.parts().layers[l];
      auto& sites = seen.sites;
      const auto& attention = sites[{Site::kAttentionOut, l}];
      if (config.ffn_width == 0) {  // a mixing model adds to nothing
        EXPECT_EQ(attention, (sites[{Site::kMixed, l}]));
        EXPECT_EQ(attention, (sites[{Site::kResidual, l + 1}]));
        continue;
      }
      const auto& mid = sites[{Site::kResidualMid, l}];
      ExpectSum(parts.attention.after, sites[{Site::kResidual, l}], attention, mid, config.width);
      ExpectSum(parts.mlp.after, mid, sites[{Site::kMlpOut, l}], sites[{Site::kResidual, l + 1}],
                config.width);
    }
  });
}

TEST(SitesTest, TheHeadsValuesBlendToWhatTheHalfAdds) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const ModelConfig& config = model.config();
    SiteRecorder seen(config);
    Runner(&model, &seen).Append(ids);
    const int64_t n = static_cast<int64_t>(ids.size()), dim = config.head_dim;
    const int group = config.n_heads / config.n_kv_heads;
    for (const auto& [row, weights] : seen.rows) {
      const auto [layer, head, query] = row;
      const float* values = seen.sites[{Site::kValue, layer}].data() + head / group * dim;
      const float* mixed =
          seen.sites[{Site::kMixed, layer}].data() + query * config.query_width() + head * dim;
      for (int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (size_t k = 0; k < weights.size(); ++k) {
          sum += double{weights[k]} * values[static_cast<int64_t>(k) * config.kv_width() + d];
        }
        ASSERT_NEAR(mixed[d], sum, 1e-5 * std::max(1.0, std::abs(sum)));
      }
    }
    for (int l = 0; l < config.n_layers; ++l) {
      const HalfParts& half = model.parts().layers[l].attention;
      if (half.out == nullptr) continue;
      std::vector<float> out(n * config.width);
      const MatrixRef rows(out.data(), n, config.width);
      half.out->Apply({seen.sites[{Site::kMixed, l}].data(), n, config.query_width()}, rows);
      if (half.inside.present()) {
        model.parts().backend->Normalize(half.inside.kind, half.inside.parameters, rows, rows);
      }
      EXPECT_EQ(out, (seen.sites[{Site::kAttentionOut, l}])) << l;
    }
  });
}

TEST(SitesTest, TheLastStreamUnembedsToTheModelsLogits) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.config().has_head) return;
    SiteRecorder seen(model.config());
    const std::vector<float> want = Runner(&model, &seen).Append(ids);
    const int64_t n = static_cast<int64_t>(ids.size());
    std::vector<float>& x = seen.sites[{Site::kResidual, model.config().n_layers}];
    std::vector<float> logits(want.size());
    AlignedBuffer scratch;
    Unembed(model.parts(), {x.data(), n, model.config().width},
            {logits.data(), n, model.config().vocab_size}, scratch);
    EXPECT_EQ(logits, want);
  });
}

TEST(SitesTest, AnEditorThatChangesNothingChangesNoBit) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    Adder nothing({Site::kMlpOut, 0}, /*position=*/-1, 1);
    nothing.also = true;
    SiteRecorder plain(model.config()), edited(model.config());
    EXPECT_EQ(Runner(&model, &edited, &nothing).Append(ids), Runner(&model, &plain).Append(ids));
    EXPECT_EQ(edited.sites, plain.sites);
  });
}

// What is added to one position is seen there, in later sites, and in a causal model at no earlier
// position.
TEST(SitesTest, AnEditFlowsOnFromItsPlace) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    SiteRecorder plain(model.config());
    Runner(&model, &plain).Append(ids);
    const int64_t position = static_cast<int64_t>(ids.size()) - 1;
    for (const Place& place : Places(model.config())) {
      Adder edit(place, position, 1.5f);
      SiteRecorder edited(model.config());
      Runner(&model, &edited, &edit).Append(ids);
      const auto& before = plain.sites[place];
      const auto& after = edited.sites[place];
      const int64_t width = SiteWidth(model.config(), place.first);
      const int64_t begin = position * width;
      EXPECT_TRUE(std::equal(before.begin(), before.begin() + begin, after.begin()));
      for (int64_t i = begin; i < begin + width; ++i) {
        ASSERT_EQ(after[i], before[i] + 1.5f) << SiteName(place.first) << " " << place.second;
      }
      if (!model.config().causal) continue;
      const Place last(Site::kResidual, model.config().n_layers);
      const auto end = plain.sites[last].end() - model.config().width;
      EXPECT_TRUE(std::equal(plain.sites[last].begin(), end, edited.sites[last].begin()));
    }
  });
}

// The stream goes on from the edited sum, within rounding of where it was seen.
TEST(SitesTest, AnEditedHalfAddsWhatTheEditorMadeOfIt) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    const ModelConfig& config = model.config();
    if (config.ffn_width == 0) return;
    for (Site site : {Site::kAttentionOut, Site::kMlpOut}) {
      Adder edit({site, 0}, 2, 1.5f);
      SiteRecorder seen(config);
      Runner(&model, &seen, &edit).Append(ids);
      const bool is_mlp = site == Site::kMlpOut;
      const LayerParts& parts = model.parts().layers[0];
      ExpectSum(is_mlp ? parts.mlp.after : parts.attention.after,
                seen.sites[{is_mlp ? Site::kResidualMid : Site::kResidual, 0}],
                seen.sites[{site, 0}],
                is_mlp ? seen.sites[{Site::kResidual, 1}] : seen.sites[{Site::kResidualMid, 0}],
                config.width);
    }
  });
}

// An edited sequence and a watched one beside one that is neither: each has the bits it has alone.
TEST(SitesTest, ForTheOthersOfABatchNothingChanges) {
  ForEachModel([](const LanguageModel& model, const std::vector<TokenId>& ids) {
    if (!model.config().has_head) return;
    Adder edit({Site::kAttentionOut, 0}, 3, 2);
    SiteRecorder watcher(model.config()), alone(model.config());
    const std::vector<float> plain = Runner(&model, &alone).Append(ids);
    const std::vector<float> edited = Runner(&model, nullptr, &edit).Append(ids);
    KvPool pool(KvLayout::For(model.config()), 9);
    KvCache caches[] = {KvCache(&pool), KvCache(&pool), KvCache(&pool)};
    const ForwardPlan plans[] = {{nullptr, &edit}, {}, {&watcher}};
    const int64_t n = static_cast<int64_t>(ids.size()), vocab = model.config().vocab_size;
    const int64_t last[] = {n - 1};
    std::vector<SequenceSlice> batch;
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(caches[i].Reserve(n).ok());
      batch.push_back({ids, &caches[i], last, &plans[i]});
      batch.back().prompt_tokens = n;
    }
    std::vector<float> logits(3 * vocab);
    const auto workspace = model.NewWorkspace();
    ASSERT_TRUE(
        model.Forward(absl::MakeSpan(batch), {logits.data(), 3, vocab}, workspace.get()).ok());
    const int64_t row = (n - 1) * vocab;
    EXPECT_TRUE(std::equal(logits.begin(), logits.begin() + vocab, edited.begin() + row));
    EXPECT_TRUE(
        std::equal(logits.begin() + vocab, logits.begin() + 2 * vocab, plain.begin() + row));
    EXPECT_TRUE(std::equal(logits.begin() + 2 * vocab, logits.end(), plain.begin() + row));
    EXPECT_EQ(watcher.sites, alone.sites);
  });
}

}  // namespace
}  // namespace heed
