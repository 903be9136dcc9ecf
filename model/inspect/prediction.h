// What one row of logits says about the next token, as logits.h reckons it.
#ifndef HEED_MODEL_INSPECT_PREDICTION_H_
#define HEED_MODEL_INSPECT_PREDICTION_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/kernels/logits.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

struct LensToken {
  TokenId id = 0;
  double logit = 0;
  double log_probability = 0;  // nats
  int64_t rank = 0;            // from 1; equal logits rank by smaller id
};

// Borrows the logits [vocab_size], which are finite.
class Prediction {
 public:
  Prediction() = default;  // of no logits
  explicit Prediction(absl::Span<const float> logits)
      : logits_(logits), sums_(SumSoftmax(logits)) {}

  double logit(TokenId id) const { return logits_[id]; }
  double LogProbability(TokenId id) const { return logits_[id] - sums_.log_sum_exp; }
  int64_t Rank(TokenId id) const { return RankOf(logits_, id); }
  LensToken Follow(TokenId id) const { return Token(id, Rank(id)); }
  std::vector<LensToken> Top(int64_t k) const;      // best first
  double Entropy() const { return sums_.entropy; }  // nats
  // KL(this || other) in nats; exactly 0 where the logits are the same.
  double DivergenceFrom(const Prediction& other) const {
    return Divergence(logits_, sums_, other.logits_, other.sums_);
  }
  // The k tokens whose probability differs most, in order; equal ones by smaller id.
  std::vector<TokenId> FurthestFrom(const Prediction& other, int64_t k) const {
    return FurthestApart(logits_, sums_, other.logits_, other.sums_, std::min<int64_t>(k, size()));
  }

  TokenId size() const { return static_cast<TokenId>(logits_.size()); }

 private:
  LensToken Token(TokenId id, int64_t rank) const {
    return {id, logit(id), LogProbability(id), rank};
  }

  absl::Span<const float> logits_;
  SoftmaxSums sums_;
};

// NONFINITE_LOGITS, of logits that no Prediction can be made of: "`whose` logits at position ...".
// INVALID_ARGUMENT is for edits that are to blame.
absl::Status NonfiniteLogits(absl::StatusCode code, absl::string_view whose, int64_t position);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_PREDICTION_H_
