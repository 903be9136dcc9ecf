#include "model/inspect/attention_tile.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/base/casts.h"
#include "model/kernels/top_k.h"

namespace heed {
namespace {

// TopKKernels::order for any number of candidates, but that it adds the others in any order.
double OrderMany(const float* weights, absl::Span<const int32_t> keys, int64_t k, double dropped,
                 float* out, int32_t* out_keys) {
  // By which larger weights come first and, of equal ones, smaller keys. Bits of numbers that are
  // not negative order as the numbers do.
  thread_local std::vector<uint64_t> ranked;
  ranked.clear();
  for (int32_t key : keys) {
    ranked.push_back(uint64_t{absl::bit_cast<uint32_t>(weights[key])} << 32 |
                     ~static_cast<uint32_t>(key));
  }
  std::partial_sort(ranked.begin(), ranked.begin() + k, ranked.end(), std::greater<uint64_t>());
  for (int64_t i = 0; i < static_cast<int64_t>(ranked.size()); ++i) {
    const auto key = static_cast<int32_t>(~static_cast<uint32_t>(ranked[i]));
    if (i >= k) {
      dropped += weights[key];
      continue;
    }
    out[i] = weights[key];
    out_keys[i] = key;
  }
  return dropped;
}

}  // namespace

std::shared_ptr<float> TileMemory::Take(int64_t floats) {
  constexpr int64_t kBlockFloats = int64_t{2} << 20, kLineFloats = 16;
  const int64_t room = (floats + kLineFloats - 1) / kLineFloats * kLineFloats;
  if (block_ == nullptr || block_->size() - used_ < room) {
    block_ = std::make_shared<AlignedBuffer>(
        std::max(room, std::min(std::max<int64_t>(expected_, 0), kBlockFloats)));
    used_ = 0;
  }
  float* const place = block_->data() + used_;
  used_ += room;
  expected_ -= room;
  return {block_, place};
}

AttentionTile::AttentionTile(int layer, int head, std::vector<int64_t> queries, int64_t key_count,
                             int64_t top_k, TileMemory* memory)
    : layer_(layer),
      head_(head),
      queries_(std::move(queries)),
      is_top_k_(top_k > 0),
      columns_(KeptWeights(top_k, key_count)),
      weights_(memory != nullptr ? memory->Take(rows() * columns_)
                                 : TileMemory(0).Take(rows() * columns_)) {
  if (!is_top_k_) return;
  keys_.resize(rows() * columns_);
  dropped_mass_.resize(rows());
}

int64_t AttentionTile::data_bytes() const {
  return 4 * (rows() * columns_ + static_cast<int64_t>(keys_.size() + dropped_mass_.size()));
}

void AttentionTile::StoreRow(int64_t row, absl::Span<const float> weights) {
  if (is_top_k_) {
    StoreTopK(row, weights);
  } else {
    StoreDense(row, weights);
  }
}

void AttentionTile::StoreDense(int64_t row, absl::Span<const float> weights) {
  float* const out = weights_.get() + row * columns_;
  float* const visible_end = std::copy(weights.begin(), weights.end(), out);
  std::fill(visible_end, out + columns_, 0.0f);
}

void AttentionTile::StoreTopK(int64_t row, absl::Span<const float> weights) {
  const TopKKernels& kernels = BestTopK();
  thread_local std::vector<int32_t> found;
  const int64_t n = static_cast<int64_t>(weights.size());
  found.resize(n + 16);
  auto [count, dropped] = kernels.find(weights.data(), n, columns_, found.data());
  const int64_t kept = std::min(count, columns_);
  float* const out = weights_.get() + row * columns_;
  int32_t* const keys = keys_.data() + row * columns_;
  if (count <= kMostOrdered) {
    dropped = kernels.order(weights.data(), found.data(), count, kept, dropped, out, keys);
  } else {
    dropped = OrderMany(weights.data(), absl::MakeConstSpan(found).first(count), kept, dropped, out,
                        keys);
  }
  std::fill(out + kept, out + columns_, 0.0f);
  std::fill(keys + kept, keys + columns_, -1);
  dropped_mass_[row] = static_cast<float>(dropped);
}

}  // namespace heed
