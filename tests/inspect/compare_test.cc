// Two runs beside each other, against what is said of them in fewer words.
#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/inspect/compare.h"
#include "model/inspect/intervention_set.h"
#include "tests/inspect/trace_testing.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The fewest edits, by the recursive definition.
int64_t Edits(absl::Span<const TokenId> a, absl::Span<const TokenId> b) {
  if (a.empty() || b.empty()) return static_cast<int64_t>(a.size() + b.size());
  const auto rest_a = a.subspan(1), rest_b = b.subspan(1);
  return std::min(
      {Edits(rest_a, rest_b) + (a[0] == b[0] ? 0 : 1), Edits(rest_a, b) + 1, Edits(a, rest_b) + 1});
}

TEST(AlignTokensTest, PairsAreThoseOfTheFewestEdits) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<TokenId> a(random() % 7), b(random() % 7);
    for (TokenId& id : a) id = static_cast<TokenId>(random() % 3);
    for (TokenId& id : b) id = static_cast<TokenId>(random() % 3);
    const std::vector<AlignedPair> pairs = AlignTokens(a, b);
    int64_t cost = static_cast<int64_t>(a.size() + b.size() - 2 * pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_EQ(pairs[i].same_token, a[pairs[i].a] == b[pairs[i].b]);
      cost += pairs[i].same_token ? 0 : 1;
      EXPECT_TRUE(i == 0 || (pairs[i].a > pairs[i - 1].a && pairs[i].b > pairs[i - 1].b));
    }
    EXPECT_EQ(cost, Edits(a, b));
  }
}

TEST(AlignTokensTest, ReplacedTokensArePairsAndInsertedOnesAreNot) {
  EXPECT_THAT(
      AlignTokens({1, 2, 3}, {1, 9, 3}),
      ElementsAre(AlignedPair{0, 0, true}, AlignedPair{1, 1, false}, AlignedPair{2, 2, true}));
  EXPECT_THAT(
      AlignTokens({1, 2, 3}, {1, 2, 7, 8, 3}),
      ElementsAre(AlignedPair{0, 0, true}, AlignedPair{1, 1, true}, AlignedPair{2, 4, true}));
  EXPECT_THAT(AlignTokens({1}, {}), IsEmpty());
  // Too long for a table: from the beginning, but for what is equal at the end.
  std::vector<TokenId> a(5000), b(5002);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<TokenId>(i);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<TokenId>(9000 + i);
  b.back() = a.back();
  const std::vector<AlignedPair> pairs = AlignTokens(a, b);
  EXPECT_EQ(pairs.size(), 5000u);
  EXPECT_EQ(pairs[4998], (AlignedPair{4998, 4998, false}));
  EXPECT_EQ(pairs[4999], (AlignedPair{4999, 5001, true}));
}

// A run with everything that is compared.
struct Recorded {
  std::shared_ptr<const Trace> trace;
  std::vector<float> logits;
  std::map<std::tuple<int, int, int64_t>, std::vector<float>> rows;

  static Recorded Run(const LanguageModel& model, const std::vector<TokenId>& ids,
                      const std::vector<Intervention>& edits = {}) {
    const auto set =
        InterventionSet::Create(edits, model.config(), {static_cast<int64_t>(ids.size())});
    EXPECT_TRUE(set.ok()) << set.status();
    AttentionRecorder attention(model.config());
    Recorded run;
    run.logits = Runner(&model, &attention, set->get()).Append(ids);
    run.trace = TraceOf(model, ids, {}, *set);
    run.rows = attention.rows;
    return run;
  }

  double Probability(int64_t position, TokenId id, int64_t vocab) const {
    double sum = 0;
    for (int64_t v = 0; v < vocab; ++v) sum += std::exp(double{logits[position * vocab + v]});
    return std::exp(double{logits[position * vocab + id]}) / sum;
  }
  double Weight(int layer, int head, int64_t query, int64_t key) const {
    const auto& row = rows.at({layer, head, query});
    return key < static_cast<int64_t>(row.size()) ? row[key] : 0.0;
  }
};

Comparison Compared(const LanguageModel& model, const Recorded& a, const Recorded& b,
                    CompareOptions options = {}) {
  const auto comparison = Compare({&model, a.trace.get()}, {&model, b.trace.get()}, options);
  EXPECT_TRUE(comparison.ok()) << comparison.status();
  return *comparison;
}

double Log(double p, double m) {
  return p == 0 ? 0 : p * std::log(p / m);
}

void ExpectComparison(const LanguageModel& model, const Recorded& a, const Recorded& b) {
  const ModelConfig& config = model.config();
  const Comparison got = Compared(model, a, b, {.top_k = 3});
  ASSERT_EQ(got.predictions.size(), got.pairs.size());
  for (size_t i = 0; i < got.pairs.size(); ++i) {
    const PredictionChange& change = got.predictions[i];
    double kl = 0, largest = 0;
    for (TokenId id = 0; id < config.vocab_size; ++id) {
      const double p = a.Probability(got.pairs[i].a, id, config.vocab_size);
      const double q = b.Probability(got.pairs[i].b, id, config.vocab_size);
      kl += p * std::log(p / q);
      largest = std::max(largest, std::abs(p - q));
    }
    EXPECT_NEAR(change.kl, kl, 1e-9);
    ASSERT_EQ(change.changes.size(), 3u);
    EXPECT_NEAR(std::abs(change.changes[0].a - change.changes[0].b), largest, 1e-12);
  }
  std::optional<int64_t> first_divergence;
  for (int64_t i = std::ssize(got.predictions) - 1; i >= 0; --i) {
    if (got.predictions[i].top_a.id != got.predictions[i].top_b.id) first_divergence = i;
  }
  EXPECT_EQ(got.first_divergence, first_divergence);
  std::map<int64_t, int64_t> to_b;
  for (const AlignedPair& pair : got.pairs) to_b[pair.a] = pair.b;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    for (int head = 0; head < config.n_heads; ++head) {
      double sum = 0;
      for (const AlignedPair& pair : got.pairs) {
        double left = 1;  // what b has on keys that have no counterpart
        for (int64_t j = 0; j < a.trace->size(); ++j) {
          const double p = a.Weight(layer, head, pair.a, j);
          const double q = to_b.count(j) == 0 ? 0 : b.Weight(layer, head, pair.b, to_b[j]);
          sum += (Log(p, (p + q) / 2) + Log(q, (p + q) / 2)) / 2;
          left -= q;
        }
        sum += left * std::log(2) / 2;
      }
      const double mean = sum / static_cast<double>(got.pairs.size());
      EXPECT_NEAR(got.head_divergence[layer * config.n_heads + head], mean, 1e-6);
    }
  }
}

TEST(CompareTest, DifferencesAreThoseOfTheDefinitions) {
  for (const char* name : {"gpt2-f32", "bert-f32", "gemma2-f32"}) {
    SCOPED_TRACE(name);
    const auto model = LoadGolden(name, DefaultBackend());
    const Recorded a = Recorded::Run(*model, {5, 17, 9, 30, 5, 17});
    ExpectComparison(*model, a, Recorded::Run(*model, {5, 17, 8, 30, 5, 17}));
    ExpectComparison(*model, a, Recorded::Run(*model, {5, 17, 9, 44, 2, 30, 5, 17}));
    ExpectComparison(*model, Recorded::Run(*model, {5, 17, 9, 44, 2, 30, 5, 17}), a);
  }
}

// Predictions are made of 32 rows at a time.
TEST(CompareTest, LongPromptsAreComparedAtEveryPair) {
  const auto model = LoadGolden("llama-gqa-f32", DefaultBackend());
  const std::vector<TokenId> ids = SomeTokens(model->config(), 45);
  std::vector<TokenId> others = ids;
  others[40] = 44;
  others.insert(others.begin() + 7, 2);
  ExpectComparison(*model, Recorded::Run(*model, ids), Recorded::Run(*model, others));
}

TEST(CompareTest, ARunIsNoDistanceFromItself) {
  const auto model = LoadGolden("llama-gqa-f32", DefaultBackend());
  const Recorded run = Recorded::Run(*model, {5, 17, 9, 30, 5, 17});
  const Comparison got = Compared(*model, run, run);
  for (const PredictionChange& change : got.predictions) EXPECT_EQ(change.kl, 0);
  EXPECT_THAT(got.head_divergence, testing::Each(0.0));
  EXPECT_EQ(got.head_divergence.size(), 12u);
  EXPECT_EQ(got.first_divergence, std::nullopt);
}

TEST(CompareTest, AnEditMovesWhatComesAfterIt) {
  const auto model = LoadGolden("llama-gqa-f32", DefaultBackend());  // 3 layers, 4 heads
  const std::vector<TokenId> ids = {5, 17, 9, 30, 5, 17};
  const Recorded base = Recorded::Run(*model, ids);
  const std::vector<float> push(model->config().width, 4.0f);
  const Recorded dial = Recorded::Run(*model, ids, {{{1}, {2}, {}, {}, ScaleScores{5}}});
  const Comparison by_dial = Compared(*model, base, dial);
  for (int head = 0; head < 12; ++head) {
    EXPECT_EQ(by_dial.head_divergence[head] > 0, head == 6 || head >= 8) << head;
  }
  const Recorded pushed =
      Recorded::Run(*model, ids, {{{0}, {}, {{3}}, {}, AddVector{Site::kResidual, push}}});
  const Comparison by_push = Compared(*model, base, pushed);
  ASSERT_TRUE(by_push.first_divergence.has_value());
  EXPECT_GE(*by_push.first_divergence, 3);
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(by_push.predictions[i].kl > 0, i >= 3);
}

TEST(CompareTest, WhatModelsDoNotShareIsLeftOut) {
  const auto llama = LoadGolden("llama-gqa-f32", DefaultBackend());
  const auto gpt2 = LoadGolden("gpt2-f32", DefaultBackend());
  const auto headless = LoadGolden("distilbert-model-f32", DefaultBackend());
  const std::vector<TokenId> ids = {5, 17, 9};
  const Recorded a = Recorded::Run(*llama, ids), b = Recorded::Run(*gpt2, ids);
  const Recorded c = Recorded::Run(*headless, ids);
  const auto other = Compare({llama.get(), a.trace.get()}, {gpt2.get(), b.trace.get()}, {});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->pairs.size(), 3u);
  EXPECT_TRUE(other->predictions.empty() && other->head_divergence.empty());
  const Comparison states = Compared(*headless, c, c);
  EXPECT_TRUE(states.predictions.empty() && !states.head_divergence.empty());
  EXPECT_TRUE(Compared(*llama, a, a, {.same_vocabulary = false}).predictions.empty());
  StopSignal stop;
  stop.Cancel();
  EXPECT_EQ(Compare({llama.get(), a.trace.get()}, {llama.get(), a.trace.get()}, {}, &stop)
                .status()
                .code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace heed
