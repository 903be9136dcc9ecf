// Facts of one next-token distribution, computed in a fixed order so that equal logits give equal
// bytes.
#ifndef HEED_MODEL_GENERATE_DISTRIBUTION_H_
#define HEED_MODEL_GENERATE_DISTRIBUTION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// A token with its logarithmic probability in nats. rank is 1 for the largest logit; equal logits
// rank by smaller id.
struct ScoredToken {
  TokenId id = 0;
  double log_probability = 0;
  double probability = 0;
  int rank = 0;
};

// The softmax of a row of logits. Borrows the logits. O(vocab) to make; sums in double precision,
// ascending id.
class Distribution {
 public:
  // `logits` [vocab_size], finite, not empty.
  explicit Distribution(absl::Span<const float> logits);

  double log_sum_exp() const { return log_sum_exp_; }
  double Entropy() const { return entropy_; }  // nats, in [0, ln(vocab_size)]
  ScoredToken Score(TokenId id) const;         // id in [0, vocab_size); O(vocab) for the rank
  // The k most probable, most probable first; k in [0, vocab_size]. No full sort.
  std::vector<ScoredToken> TopK(int64_t k) const;
  TokenId ArgMax() const { return arg_max_; }
  void LogProbabilities(absl::Span<float> out) const;  // [vocab_size]

 private:
  ScoredToken Scored(TokenId id, int rank) const;

  absl::Span<const float> logits_;
  TokenId arg_max_ = 0;
  double log_sum_exp_ = 0;
  double entropy_ = 0;
};

// The index of the largest value, the smallest one among equals. `values` is not empty and has no
// NaN.
TokenId IndexOfLargest(absl::Span<const float> values);

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_DISTRIBUTION_H_
