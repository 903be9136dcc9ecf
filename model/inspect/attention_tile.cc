#include "model/inspect/attention_tile.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/base/casts.h"
#include "model/kernels/top_k.h"

namespace heed {
namespace {

// A number by which larger weights come first and, of equal ones, smaller keys. Bits of numbers
// that are not negative order as the numbers do.
uint64_t Ranked(float weight, int32_t key) {
  return uint64_t{absl::bit_cast<uint32_t>(weight)} << 32 | ~static_cast<uint32_t>(key);
}
int32_t KeyOf(uint64_t ranked) {
  return static_cast<int32_t>(~static_cast<uint32_t>(ranked));
}

// The first k of them in descending order; the others behind in any.
void SortFirst(const TopKKernels& kernels, int64_t k, std::vector<uint64_t>& ranked) {
  constexpr size_t kFew = 64;
  if (ranked.size() > kFew) {
    std::partial_sort(ranked.begin(), ranked.begin() + k, ranked.end(), std::greater<uint64_t>());
    return;
  }
  uint64_t sorted[kFew];
  kernels.sort(ranked.data(), static_cast<int64_t>(ranked.size()), sorted);
  std::copy_n(sorted, ranked.size(), ranked.begin());
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
  const TopKKernels& kernels = BestTopK();
  thread_local std::vector<int32_t> found;
  thread_local std::vector<uint64_t> ranked;
  const int64_t n = static_cast<int64_t>(weights.size());
  found.resize(n + 16);
  auto [count, dropped] = kernels.find(weights.data(), n, columns_, found.data());
  ranked.resize(count);
  for (int64_t i = 0; i < count; ++i) ranked[i] = Ranked(weights[found[i]], found[i]);
  const int64_t kept = std::min(count, columns_);
  SortFirst(kernels, kept, ranked);
  float* const out = weights_.data() + row * columns_;
  int32_t* const keys = keys_.data() + row * columns_;
  for (int64_t i = 0; i < kept; ++i) {
    keys[i] = KeyOf(ranked[i]);
    out[i] = weights[keys[i]];
  }
  for (int64_t i = kept; i < count; ++i) dropped += weights[KeyOf(ranked[i])];
  std::fill(out + kept, out + columns_, 0.0f);
  std::fill(keys + kept, keys + columns_, -1);
  dropped_mass_[row] = static_cast<float>(dropped);
}

}  // namespace heed
