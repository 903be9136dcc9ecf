#include "model/kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "model/kernels/logit_rows.h"

namespace heed {

SoftmaxSums SumSoftmax(absl::Span<const float> logits) {
  const double largest = logits[IndexOfLargest(logits)];
  const ExpSums sums = BestLogitRows().sum_exp(logits.data(), std::ssize(logits), largest);
  const double log_sum = std::log(sums.weights);
  const double most = std::log(static_cast<double>(logits.size()));
  return {.log_sum_exp = largest + log_sum,
          .entropy = std::clamp(log_sum - sums.weighted_offsets / sums.weights, 0.0, most)};
}

bool AreFinite(absl::Span<const float> logits) {
  return BestLogitRows().count_nonfinite(logits.data(), std::ssize(logits)) == 0;
}

int32_t IndexOfLargest(absl::Span<const float> values) {
  return static_cast<int32_t>(BestLogitRows().index_of_largest(values.data(), std::ssize(values)));
}

int64_t RankOf(absl::Span<const float> logits, int32_t index) {
  const LogitRows& rows = BestLogitRows();
  const float logit = logits[index];
  return rows.count_above(logits.data(), std::ssize(logits), logit) +
         rows.count_equal(logits.data(), index, logit) + 1;
}

std::vector<int32_t> FirstByRank(absl::Span<const float> logits, int64_t count) {
  const auto ranks_before = [logits](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  // A heap of the best so far, the last of them on top. A later one must be larger to be among
  // them.
  std::vector<int32_t> best(count);
  std::iota(best.begin(), best.end(), 0);
  std::make_heap(best.begin(), best.end(), ranks_before);
  for (int64_t index = count; count > 0; ++index) {
    index =
        BestLogitRows().first_above(logits.data(), index, std::ssize(logits), logits[best.front()]);
    if (index == std::ssize(logits)) break;
    std::pop_heap(best.begin(), best.end(), ranks_before);
    best.back() = static_cast<int32_t>(index);
    std::push_heap(best.begin(), best.end(), ranks_before);
  }
  std::sort_heap(best.begin(), best.end(), ranks_before);
  return best;
}

}  // namespace heed
