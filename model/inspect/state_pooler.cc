#include "model/inspect/state_pooler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace heed {

StatePooler::StatePooler(const StatePoolerOptions& options)
    : kind_(options.kind),
      n_tokens_(options.n_tokens),
      width_(options.width),
      wanted_(options.keep_states ? options.n_tokens : PooledCount()),
      sum_(options.width),
      states_(options.keep_states ? options.n_tokens * options.width : 0) {
  std::iota(wanted_.begin(), wanted_.end(), options.keep_states ? 0 : FirstPooled());
}

absl::Span<const int64_t> StatePooler::WantHiddenStates(int64_t begin, int64_t end) {
  const auto first = std::lower_bound(wanted_.begin(), wanted_.end(), begin);
  const auto last = std::lower_bound(first, wanted_.end(), end);
  return absl::MakeConstSpan(wanted_).subspan(first - wanted_.begin(), last - first);
}

void StatePooler::OnHiddenState(int64_t position, absl::Span<const float> state) {
  const bool finite =
      std::all_of(state.begin(), state.end(), [](float value) { return std::isfinite(value); });
  if (!finite && !nonfinite_position_.has_value()) nonfinite_position_ = position;
  if (!states_.empty()) {
    std::copy(state.begin(), state.end(), states_.begin() + position * width_);
  }
  if (position < FirstPooled() || position >= FirstPooled() + PooledCount()) return;
  for (int64_t i = 0; i < width_; ++i) sum_[i] += state[i];
}

std::vector<float> StatePooler::Pooled(int64_t dimensions, bool normalize) const {
  const double count = static_cast<double>(PooledCount());
  std::vector<double> pooled(sum_.begin(), sum_.begin() + dimensions);
  for (double& value : pooled) value /= count;
  if (normalize) {
    double squares = 0;
    for (double value : pooled) squares += value * value;
    // Floats squared stay far inside the range of double, so only zeros have no length.
    const double length = squares > 0 ? std::sqrt(squares) : 1;
    for (double& value : pooled) value /= length;
  }
  return std::vector<float>(pooled.begin(), pooled.end());
}

}  // namespace heed
