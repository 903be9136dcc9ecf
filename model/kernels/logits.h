// What a row of logits says about the next token. Everything that is shown of one is reckoned here,
// so that two calls that look at the same row say the same, to the bit. Not parallel; thread-safe.
#ifndef HEED_MODEL_KERNELS_LOGITS_H_
#define HEED_MODEL_KERNELS_LOGITS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace heed {

// Rows of so many logits in all take 30 us or more to be looked at: worth a team's threads, of
// which each looks at rows of its own.
constexpr int64_t kLogitsToShareOut = 1 << 15;

// In double precision, in an order that is the same on every machine (logit_rows.h).
struct SoftmaxSums {
  double log_sum_exp = 0;
  double entropy = 0;  // nats, in [0, ln(size)]
};
// `logits` are finite and not empty.
SoftmaxSums SumSoftmax(absl::Span<const float> logits);

// KL(softmax(a) || softmax(b)) in nats; exactly 0 where the rows are the same. The sums are theirs.
double Divergence(absl::Span<const float> a, const SoftmaxSums& sums_a, absl::Span<const float> b,
                  const SoftmaxSums& sums_b);

// The indices of the `count` probabilities that differ most, in order; of equal differences the
// smaller index. As many logits in each; `count` in [0, size].
std::vector<int32_t> FurthestApart(absl::Span<const float> a, const SoftmaxSums& sums_a,
                                   absl::Span<const float> b, const SoftmaxSums& sums_b,
                                   int64_t count);

// True when no value is a NaN or an infinity.
bool AreFinite(absl::Span<const float> logits);

// The index of the largest value, the smallest one among equals. `values` is not empty and has no
// NaN.
int32_t IndexOfLargest(absl::Span<const float> values);

// From 1, which is that of the largest; equal logits rank by smaller index.
int64_t RankOf(absl::Span<const float> logits, int32_t index);

// The indices of the first `count` by rank, in order; `count` in [0, size]. No full sort.
std::vector<int32_t> FirstByRank(absl::Span<const float> logits, int64_t count);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LOGITS_H_
