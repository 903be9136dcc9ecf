#include "model/inspect/attention_tile.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/base/casts.h"
#include "absl/synchronization/mutex.h"

namespace heed {
namespace {

// TopKKernels::order for any number of candidates, but that it adds the others in any order.
double OrderMany(const float* found, absl::Span<const int32_t> keys, int64_t k, double dropped,
                 float* out, int32_t* out_keys) {
  // By which larger weights come first and, of equal ones, smaller keys. Bits of numbers that are
  // not negative order as the numbers do.
  thread_local std::vector<uint64_t> ranked;
  ranked.clear();
  for (size_t i = 0; i < keys.size(); ++i) {
    ranked.push_back(uint64_t{absl::bit_cast<uint32_t>(found[i])} << 32 |
                     ~static_cast<uint32_t>(keys[i]));
  }
  std::partial_sort(ranked.begin(), ranked.begin() + k, ranked.end(), std::greater<uint64_t>());
  for (int64_t i = 0; i < static_cast<int64_t>(ranked.size()); ++i) {
    const auto weight = absl::bit_cast<float>(static_cast<uint32_t>(ranked[i] >> 32));
    if (i >= k) {
      dropped += weight;
      continue;
    }
    out[i] = weight;
    out_keys[i] = static_cast<int32_t>(~static_cast<uint32_t>(ranked[i]));
  }
  return dropped;
}

// A row's weights, if need be in `room`.
const float* WeightsOf(const TopKRow& row, std::vector<float>& room) {
  if (row.factors.stride == 0) return row.weights;
  room.resize(row.n);
  for (int64_t key = 0; key < row.n; ++key) {
    room[key] = row.weights[key] * FactorAt(row.factors, key);
  }
  return room.data();
}

void TakeTopKOf(const TopKRow& row, int64_t k, float* found, int32_t* keys) {
  thread_local std::vector<float> room;
  const TopKKernels& kernels = BestTopK();
  auto [count, dropped] = kernels.find(WeightsOf(row, room), row.n, k, found, keys);
  const int64_t kept = std::min(count, k);
  if (count <= kMostOrdered) {
    dropped = kernels.order(found, keys, count, kept, dropped, row.out, row.out_keys);
  } else {
    dropped =
        OrderMany(found, absl::MakeConstSpan(keys, count), kept, dropped, row.out, row.out_keys);
  }
  std::fill(row.out + kept, row.out + k, 0.0f);
  std::fill(row.out_keys + kept, row.out_keys + k, -1);
  *row.dropped = static_cast<float>(dropped);
}

// Of at most kTopKRows rows.
void TakeTopK(absl::Span<const TopKRow> rows, int64_t k) {
  thread_local std::vector<float> found;
  thread_local std::vector<int32_t> keys;
  int64_t longest = 0;
  for (const TopKRow& row : rows) longest = std::max(longest, row.n);
  found.resize(TopKRoom(longest));
  keys.resize(TopKRoom(longest));
  const uint32_t done =
      BestTopK().take(rows.data(), static_cast<int64_t>(rows.size()), k, found.data(), keys.data());
  if (done == (uint32_t{1} << rows.size()) - 1) return;
  for (size_t r = 0; r < rows.size(); ++r) {
    if ((done >> r & 1) == 0) TakeTopKOf(rows[r], k, found.data(), keys.data());
  }
}

}  // namespace

std::shared_ptr<AlignedBuffer> TileMemory::NewBlock(int64_t floats) {
  if (floats != kBlockFloats) return std::make_shared<AlignedBuffer>(floats);
  static absl::Mutex mutex;
  static auto& spare = *new std::vector<std::unique_ptr<AlignedBuffer>>();
  std::unique_ptr<AlignedBuffer> block;
  {
    absl::MutexLock lock(&mutex);
    spare.reserve(kSpareBlocks);
    if (!spare.empty()) {
      block = std::move(spare.back());
      spare.pop_back();
    }
  }
  if (block == nullptr) block = std::make_unique<AlignedBuffer>(floats);
  return {block.release(), [](AlignedBuffer* done) {
            std::unique_ptr<AlignedBuffer> owned(done);
            absl::MutexLock lock(&mutex);
            if (spare.size() < kSpareBlocks) spare.push_back(std::move(owned));
          }};
}

std::shared_ptr<float> TileMemory::Take(int64_t floats) {
  constexpr int64_t kLineFloats = 16;
  const int64_t room = (floats + kLineFloats - 1) / kLineFloats * kLineFloats;
  if (block_ == nullptr || block_->size() - used_ < room) {
    block_ = NewBlock(std::max(room, std::min(std::max<int64_t>(expected_, 0), kBlockFloats)));
    used_ = 0;
  }
  float* const place = block_->data() + used_;
  used_ += room;
  expected_ -= room;
  return {block_, place};
}

AttentionTile::AttentionTile(int layer, int head, std::vector<int64_t> queries, int64_t key_count,
                             int64_t top_k)
    : AttentionTile(nullptr, layer, head,
                    std::make_shared<const std::vector<int64_t>>(std::move(queries)), key_count,
                    top_k) {}

AttentionTile::AttentionTile(TileMemory* memory, int layer, int head,
                             std::shared_ptr<const std::vector<int64_t>> queries, int64_t key_count,
                             int64_t top_k)
    : layer_(layer),
      head_(head),
      queries_(std::move(queries)),
      is_top_k_(top_k > 0),
      columns_(KeptWeights(top_k, key_count)) {
  TileMemory own(0);
  weights_ = (memory != nullptr ? *memory : own).Take(data_bytes() / 4);
  if (!is_top_k_) return;
  float* const behind = weights_.get() + rows() * columns_;
  keys_ = {weights_, reinterpret_cast<int32_t*>(behind)};
  dropped_mass_ = behind + rows() * columns_;
}

void AttentionTile::StoreRow(int64_t row, absl::Span<const float> weights) {
  if (is_top_k_) {
    const TopKRow only = TopKOf(row, weights);
    StoreTopK({&only, 1}, columns_);
    return;
  }
  const absl::Span<float> out = DenseRow(row);
  if (weights.data() != out.data()) std::copy(weights.begin(), weights.end(), out.begin());
  std::fill(out.begin() + weights.size(), out.end(), 0.0f);
}

void StoreTopK(absl::Span<const TopKRow> rows, int64_t k) {
  for (; !rows.empty(); rows.remove_prefix(std::min<size_t>(rows.size(), kTopKRows))) {
    TakeTopK(rows.subspan(0, kTopKRows), k);
  }
}

}  // namespace heed
