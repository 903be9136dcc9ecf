#include "model/generate/distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"
#include "tests/generate/random_logits.h"

namespace heed {
namespace {

// The textbook softmax, in extended precision.
struct Reference {
  explicit Reference(const std::vector<float>& logits) {
    const long double largest = *std::max_element(logits.begin(), logits.end());
    long double sum = 0;
    for (float l : logits) sum += std::exp(l - largest);
    log_sum_exp = largest + std::log(sum);
    for (float l : logits) log_probabilities.push_back(l - log_sum_exp);
    for (long double lp : log_probabilities) entropy -= std::exp(lp) * lp;
    ranking.resize(logits.size());
    std::iota(ranking.begin(), ranking.end(), 0);
    std::stable_sort(ranking.begin(), ranking.end(),
                     [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  }
  long double log_sum_exp;
  std::vector<long double> log_probabilities;
  long double entropy = 0;
  std::vector<TokenId> ranking;
};

void ExpectAgree(const std::vector<float>& logits) {
  const Reference reference(logits);
  const Distribution distribution(logits);
  const auto size = static_cast<int>(logits.size());
  EXPECT_NEAR(distribution.log_sum_exp(), reference.log_sum_exp, 1e-12);
  EXPECT_NEAR(distribution.Entropy(), reference.entropy, 1e-12 * size + 1e-12);
  EXPECT_EQ(distribution.ArgMax(), reference.ranking[0]);
  for (int rank = 1; rank <= size; ++rank) {
    const TokenId id = reference.ranking[rank - 1];
    const ScoredToken scored = distribution.Score(id);
    EXPECT_EQ(scored.id, id);
    EXPECT_EQ(scored.rank, rank);
    EXPECT_NEAR(scored.log_probability, reference.log_probabilities[id], 1e-12);
    EXPECT_NEAR(scored.probability, std::exp(reference.log_probabilities[id]), 1e-13);
  }
}

TEST(DistributionTest, AgreesWithTheTextbook) {
  for (uint64_t stream = 0; stream < 20; ++stream) {
    ExpectAgree(RandomLogits(stream, 1 + 61 * stream, 0.1 + 2.0 * stream));
  }
}

TEST(DistributionTest, AgreesWhenManyLogitsAreEqual) {
  for (uint64_t stream = 0; stream < 20; ++stream) {
    ExpectAgree(RandomLogits(stream, 1 + 37 * stream, 3, 1));
  }
}

// Lengths around the block in which exponentials are made.
TEST(DistributionTest, AgreesAroundTheBlockLength) {
  for (int size : {511, 512, 513, 1024, 1025}) ExpectAgree(RandomLogits(size, size, 6));
}

TEST(DistributionTest, TopKIsTheBeginningOfTheRankingForEveryK) {
  for (double step : {0.0, 1.0}) {
    const std::vector<float> logits = RandomLogits(7, 90, 4, step);
    const Reference reference(logits);
    const Distribution distribution(logits);
    for (int k = 0; k <= 90; ++k) {
      const std::vector<ScoredToken> top = distribution.TopK(k);
      ASSERT_EQ(static_cast<int>(top.size()), k);
      for (int i = 0; i < k; ++i) {
        EXPECT_EQ(top[i].id, reference.ranking[i]);
        EXPECT_EQ(top[i].rank, i + 1);
        EXPECT_EQ(top[i].log_probability, distribution.Score(top[i].id).log_probability);
        EXPECT_EQ(top[i].probability, distribution.Score(top[i].id).probability);
      }
    }
  }
}

TEST(DistributionTest, LogProbabilitiesAreThoseOfScore) {
  const std::vector<float> logits = RandomLogits(3, 1000, 9);
  const Distribution distribution(logits);
  std::vector<float> out(logits.size());
  distribution.LogProbabilities(absl::MakeSpan(out));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(out[i], static_cast<float>(distribution.Score(i).log_probability));
  }
}

TEST(DistributionTest, OneTokenIsCertain) {
  const std::vector<float> logits = {-4.5f};
  const Distribution distribution(logits);
  EXPECT_EQ(distribution.Entropy(), 0);
  EXPECT_EQ(distribution.Score(0).probability, 1);
  EXPECT_EQ(distribution.Score(0).log_probability, 0);
}

TEST(DistributionTest, EqualLogitsHaveTheLargestEntropy) {
  const std::vector<float> logits(1000, 17.0f);
  const Distribution distribution(logits);
  EXPECT_NEAR(distribution.Entropy(), std::log(1000.0), 1e-12);
  EXPECT_LE(distribution.Entropy(), std::log(1000.0));
  EXPECT_EQ(distribution.ArgMax(), 0);
}

TEST(DistributionTest, ExtremeLogitsStayFinite) {
  const float most = std::numeric_limits<float>::max();
  const std::vector<float> logits = {-most, most, 0};
  const Distribution distribution(logits);
  EXPECT_EQ(distribution.Entropy(), 0);
  EXPECT_EQ(distribution.Score(1).probability, 1);
  EXPECT_EQ(distribution.Score(0).probability, 0);
  EXPECT_EQ(distribution.Score(0).log_probability, -2.0 * most);
  EXPECT_EQ(distribution.Score(0).rank, 3);
}

}  // namespace
}  // namespace heed
