#include "model/inspect/prediction.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"

namespace heed {
namespace {

double LogSumExp(absl::Span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - max);
  return max + std::log(sum);
}

}  // namespace

Prediction::Prediction(absl::Span<const float> logits)
    : logits_(logits), log_sum_(LogSumExp(logits)) {}

int64_t Prediction::Rank(TokenId id) const {
  int64_t rank = 1;
  for (TokenId other = 0; other < size(); ++other) rank += Precedes(other, id) ? 1 : 0;
  return rank;
}

std::vector<LensToken> Prediction::Top(int64_t k) const {
  std::vector<TokenId> ids(size());
  std::iota(ids.begin(), ids.end(), 0);
  k = std::min<int64_t>(k, size());
  std::partial_sort(ids.begin(), ids.begin() + k, ids.end(),
                    [this](TokenId a, TokenId b) { return Precedes(a, b); });
  std::vector<LensToken> top;
  for (int64_t i = 0; i < k; ++i) top.push_back(Token(ids[i], i + 1));
  return top;
}

double Prediction::Entropy() const {
  double entropy = 0;
  for (TokenId id = 0; id < size(); ++id) {
    entropy -= std::exp(LogProbability(id)) * LogProbability(id);
  }
  return std::max(entropy, 0.0);
}

double Prediction::DivergenceFrom(const Prediction& other) const {
  double sum = 0;
  for (TokenId id = 0; id < size(); ++id) {
    const double log_p = LogProbability(id);
    sum += std::exp(log_p) * (log_p - other.LogProbability(id));
  }
  return std::max(sum, 0.0);
}

absl::Status NonfiniteLogits(absl::StatusCode code, absl::string_view whose, int64_t position) {
  const bool are_edited = code == absl::StatusCode::kInvalidArgument;
  return MakeError(
      code, "NONFINITE_LOGITS",
      absl::StrCat(whose, " logits at position ", position, " hold a NaN or an infinity",
                   are_edited ? "; smaller edits keep them in range" : ""),
      {{"position", absl::StrCat(position)}});
}

}  // namespace heed
