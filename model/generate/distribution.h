// Facts of one next-token distribution, computed in a fixed order so that equal logits give equal
// bytes.
#ifndef HEED_MODEL_GENERATE_DISTRIBUTION_H_
#define HEED_MODEL_GENERATE_DISTRIBUTION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/kernels/logits.h"
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

// The softmax of a row of logits. Borrows the logits. O(vocab) to make; what logits.h says of it.
class Distribution {
 public:
  // `logits` [vocab_size], finite, not empty.
  explicit Distribution(absl::Span<const float> logits);

  double log_sum_exp() const { return sums_.log_sum_exp; }
  double Entropy() const { return sums_.entropy; }  // nats, in [0, ln(vocab_size)]
  ScoredToken Score(TokenId id) const;              // id in [0, vocab_size); O(vocab) for the rank
  // The k most probable, most probable first; k in [0, vocab_size]. No full sort.
  std::vector<ScoredToken> TopK(int64_t k) const;
  TokenId ArgMax() const { return IndexOfLargest(logits_); }
  void LogProbabilities(absl::Span<float> out) const;  // [vocab_size]

 private:
  ScoredToken Scored(TokenId id, int64_t rank) const;

  absl::Span<const float> logits_;
  SoftmaxSums sums_;
};

}  // namespace heed

#endif  // HEED_MODEL_GENERATE_DISTRIBUTION_H_
