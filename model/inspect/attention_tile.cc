#include "model/inspect/attention_tile.h"

#include <algorithm>
#include <utility>

namespace heed {
namespace {

struct KeyWeight {
  float weight;
  int32_t key;
};

// Larger weights first, ties by smaller key. As a heap's order this keeps the last of the kept ones
// at the front.
bool Precedes(const KeyWeight& a, const KeyWeight& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.key < b.key;
}

// The k first weights in the order of Precedes, sorted; adds up the others in `dropped`.
void SelectTopK(absl::Span<const float> weights, int64_t k, std::vector<KeyWeight>& kept,
                double& dropped) {
  kept.clear();
  const int64_t n = static_cast<int64_t>(weights.size());
  for (int64_t key = 0; key < std::min(k, n); ++key) {
    kept.push_back({weights[key], static_cast<int32_t>(key)});
  }
  std::make_heap(kept.begin(), kept.end(), Precedes);
  for (int64_t key = k; key < n; ++key) {
    // A later key of equal weight comes after those that are kept.
    if (weights[key] <= kept.front().weight) {
      dropped += weights[key];
      continue;
    }
    dropped += kept.front().weight;
    std::pop_heap(kept.begin(), kept.end(), Precedes);
    kept.back() = {weights[key], static_cast<int32_t>(key)};
    std::push_heap(kept.begin(), kept.end(), Precedes);
  }
  std::sort_heap(kept.begin(), kept.end(), Precedes);
}

}  // namespace

AttentionTile::AttentionTile(int layer, int head, std::vector<int64_t> queries, int64_t key_count,
                             int64_t top_k)
    : layer_(layer),
      head_(head),
      queries_(std::move(queries)),
      is_top_k_(top_k > 0),
      columns_(KeptWeights(top_k, key_count)),
      weights_(rows() * columns_) {
  if (!is_top_k_) return;
  keys_.resize(rows() * columns_);
  dropped_mass_.resize(rows());
}

int64_t AttentionTile::data_bytes() const {
  return 4 * (weights_.size() + static_cast<int64_t>(keys_.size() + dropped_mass_.size()));
}

void AttentionTile::StoreRow(int64_t row, absl::Span<const float> weights) {
  if (is_top_k_) {
    StoreTopK(row, weights);
  } else {
    StoreDense(row, weights);
  }
}

void AttentionTile::StoreDense(int64_t row, absl::Span<const float> weights) {
  float* const out = weights_.data() + row * columns_;
  float* const visible_end = std::copy(weights.begin(), weights.end(), out);
  std::fill(visible_end, out + columns_, 0.0f);
}

void AttentionTile::StoreTopK(int64_t row, absl::Span<const float> weights) {
  thread_local std::vector<KeyWeight> kept;
  double dropped = 0;
  SelectTopK(weights, columns_, kept, dropped);
  kept.resize(columns_, KeyWeight{0.0f, -1});
  for (int64_t i = 0; i < columns_; ++i) {
    weights_.data()[row * columns_ + i] = kept[i].weight;
    keys_[row * columns_ + i] = kept[i].key;
  }
  dropped_mass_[row] = static_cast<float>(dropped);
}

}  // namespace heed
