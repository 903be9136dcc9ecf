#include "model/generate/distribution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "model/generate/exp.h"

namespace heed {
namespace {

// Exponentials are made in blocks, which vectorise, and then added one after another, which fixes
// the order.
constexpr size_t kBlock = 512;

struct Sums {
  double weights = 0;           // of exp(logit - largest)
  double weighted_offsets = 0;  // of exp(logit - largest) * (logit - largest)
};

Sums SumWeights(absl::Span<const float> logits, double largest) {
  Sums sums;
  std::array<double, kBlock> weights;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const absl::Span<const float> block = logits.subspan(begin, kBlock);
    ExpBelow(block, largest, 1.0, absl::MakeSpan(weights).first(block.size()));
    for (size_t i = 0; i < block.size(); ++i) {
      sums.weights += weights[i];
      sums.weighted_offsets += weights[i] * (block[i] - largest);
    }
  }
  return sums;
}

}  // namespace

TokenId IndexOfLargest(absl::Span<const float> values) {
  return static_cast<TokenId>(std::max_element(values.begin(), values.end()) - values.begin());
}

Distribution::Distribution(absl::Span<const float> logits)
    : logits_(logits), arg_max_(IndexOfLargest(logits)) {
  const double largest = logits_[arg_max_];
  const Sums sums = SumWeights(logits_, largest);
  const double log_sum = std::log(sums.weights);
  log_sum_exp_ = largest + log_sum;
  const double most = std::log(static_cast<double>(logits_.size()));
  entropy_ = std::clamp(log_sum - sums.weighted_offsets / sums.weights, 0.0, most);
}

ScoredToken Distribution::Scored(TokenId id, int rank) const {
  const double log_probability = logits_[id] - log_sum_exp_;
  return {id, log_probability, NegativeExp(log_probability), rank};
}

ScoredToken Distribution::Score(TokenId id) const {
  const float logit = logits_[id];
  const auto here = logits_.begin() + id;
  const auto before = std::count_if(logits_.begin(), here, [=](float l) { return l >= logit; });
  const auto after = std::count_if(here, logits_.end(), [=](float l) { return l > logit; });
  return Scored(id, static_cast<int>(before + after + 1));
}

std::vector<ScoredToken> Distribution::TopK(int64_t k) const {
  const auto ranks_before = [this](TokenId a, TokenId b) {
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  };
  // A heap of the best k so far, the last of them on top.
  std::vector<TokenId> best;
  best.reserve(k);
  const auto size = static_cast<TokenId>(logits_.size());
  for (TokenId id = 0; id < size && k > 0; ++id) {
    if (static_cast<int64_t>(best.size()) < k) {
      best.push_back(id);
      std::push_heap(best.begin(), best.end(), ranks_before);
    } else if (logits_[id] > logits_[best.front()]) {
      std::pop_heap(best.begin(), best.end(), ranks_before);
      best.back() = id;
      std::push_heap(best.begin(), best.end(), ranks_before);
    }
  }
  std::sort_heap(best.begin(), best.end(), ranks_before);
  std::vector<ScoredToken> scored;
  scored.reserve(best.size());
  for (TokenId id : best) scored.push_back(Scored(id, static_cast<int>(scored.size()) + 1));
  return scored;
}

void Distribution::LogProbabilities(absl::Span<float> out) const {
  std::transform(logits_.begin(), logits_.end(), out.begin(),
                 [this](float logit) { return static_cast<float>(logit - log_sum_exp_); });
}

}  // namespace heed
