#include "model/generate/distribution.h"

#include <algorithm>
#include <iterator>

#include "model/kernels/exp.h"

namespace heed {

Distribution::Distribution(absl::Span<const float> logits)
    : logits_(logits), sums_(SumSoftmax(logits)) {}

ScoredToken Distribution::Scored(TokenId id, int64_t rank) const {
  const double log_probability = logits_[id] - log_sum_exp();
  return {id, log_probability, NegativeExp(log_probability), static_cast<int>(rank)};
}

ScoredToken Distribution::Score(TokenId id) const {
  return Scored(id, RankOf(logits_, id));
}

std::vector<ScoredToken> Distribution::TopK(int64_t k) const {
  std::vector<ScoredToken> scored;
  scored.reserve(k);
  for (TokenId id : FirstByRank(logits_, k)) scored.push_back(Scored(id, std::ssize(scored) + 1));
  return scored;
}

void Distribution::LogProbabilities(absl::Span<float> out) const {
  std::transform(logits_.begin(), logits_.end(), out.begin(),
                 [this](float logit) { return static_cast<float>(logit - log_sum_exp()); });
}

}  // namespace heed
