#include "model/kernels/logits.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "model/kernels/logit_rows.h"

namespace heed {
namespace {

// The indices of the `count` largest values, best first, the smaller one among equals.
// `first_above(index, bound)` is the first from `index` on whose value is above `bound`.
template <typename T, typename Fn>
std::vector<int32_t> Largest(absl::Span<const T> values, int64_t count, Fn first_above) {
  const auto ranks_before = [values](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  };
  // A heap of the best so far, the last of them on top. A later one must be larger to be among
  // them.
  std::vector<int32_t> best(count);
  std::iota(best.begin(), best.end(), 0);
  std::make_heap(best.begin(), best.end(), ranks_before);
  for (int64_t index = count; count > 0; ++index) {
    index = first_above(index, values[best.front()]);
    if (index == std::ssize(values)) break;
    std::pop_heap(best.begin(), best.end(), ranks_before);
    best.back() = static_cast<int32_t>(index);
    std::push_heap(best.begin(), best.end(), ranks_before);
  }
  std::sort_heap(best.begin(), best.end(), ranks_before);
  return best;
}

}  // namespace

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
  return Largest(logits, count, [logits](int64_t index, float bound) {
    return BestLogitRows().first_above(logits.data(), index, std::ssize(logits), bound);
  });
}

double Divergence(absl::Span<const float> a, const SoftmaxSums& sums_a, absl::Span<const float> b,
                  const SoftmaxSums& sums_b) {
  const double sum = BestLogitRows().diverge(a.data(), sums_a.log_sum_exp, b.data(),
                                             sums_b.log_sum_exp, std::ssize(a));
  return std::max(sum, 0.0);
}

std::vector<int32_t> FurthestApart(absl::Span<const float> a, const SoftmaxSums& sums_a,
                                   absl::Span<const float> b, const SoftmaxSums& sums_b,
                                   int64_t count) {
  std::vector<double> apart(a.size());
  BestLogitRows().apart(a.data(), sums_a.log_sum_exp, b.data(), sums_b.log_sum_exp, std::ssize(a),
                        apart.data());
  return Largest(absl::MakeConstSpan(apart), count, [&apart](int64_t index, double bound) {
    while (index < std::ssize(apart) && apart[index] <= bound) ++index;
    return index;
  });
}

}  // namespace heed
