// Attention weights on their way to a client: which ones, and some consecutive rows of one head.
// Knows neither gRPC nor protobuf.
#ifndef HEED_MODEL_INSPECT_ATTENTION_TILE_H_
#define HEED_MODEL_INSPECT_ATTENTION_TILE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/kernels/top_k.h"

namespace heed {

// Which weights, all lists ascending without repeats and inside the model and the prompt.
struct AttentionChoice {
  std::vector<int> layers;
  std::vector<int> heads;
  std::vector<int64_t> queries;
  int64_t top_k = 0;  // weights to keep of each row; 0: all of them

  int64_t head_count() const {
    return static_cast<int64_t>(layers.size()) * static_cast<int64_t>(heads.size());
  }
};

// Weights kept of a row of `key_count` keys.
inline int64_t KeptWeights(int64_t top_k, int64_t key_count) {
  return top_k == 0 ? key_count : std::min(top_k, key_count);
}

// Bytes of data of one row: 4 for each weight; with top-k, 4 more for each key and 4 for the
// dropped mass.
inline int64_t RowBytes(int64_t top_k, int64_t key_count) {
  const int64_t kept = KeptWeights(top_k, key_count);
  return top_k == 0 ? 4 * kept : 8 * kept + 4;
}

// Memory for the weights of many tiles, in blocks that fill huge pages where the system has them:
// by pages of 4 KiB the system takes three times as long to give it. A block lives as long as one
// of its tiles. A few are kept after that, because the system clears whatever it gives.
class TileMemory {
 public:
  static constexpr int64_t kBlockFloats = int64_t{2} << 20;
  static constexpr int64_t kSpareBlocks = 2;  // in the whole process

  // `floats`: of all tiles together.
  explicit TileMemory(int64_t floats) : expected_(floats) {}
  // Room for `floats`, aligned to 64 bytes, with any values. Throws std::bad_alloc.
  std::shared_ptr<float> Take(int64_t floats);

 private:
  static std::shared_ptr<AlignedBuffer> NewBlock(int64_t floats);

  int64_t expected_;  // that are yet to be taken
  int64_t used_ = 0;  // of the block
  std::shared_ptr<AlignedBuffer> block_;
};

// Some rows of one head. Rows may be stored from several threads at once, each by one.
class AttentionTile {
 public:
  // Room for one row for each of `queries`, of `key_count` keys, not yet written.
  AttentionTile(int layer, int head, std::vector<int64_t> queries, int64_t key_count,
                int64_t top_k);
  // The same with queries that tiles share, in `memory` if that is not null.
  AttentionTile(TileMemory* memory, int layer, int head,
                std::shared_ptr<const std::vector<int64_t>> queries, int64_t key_count,
                int64_t top_k);

  // Writes a row from its visible weights, F32 [n_visible_keys], at most key_count of them. They
  // may lie in DenseRow(row).
  void StoreRow(int64_t row, absl::Span<const float> weights);

  // Top-k only: a row and where StoreTopK puts it. It may come with factors, as WatchedRow says.
  TopKRow TopKOf(int64_t row, absl::Span<const float> weights, KeyFactors factors = NoFactors()) {
    return {weights.data(),
            factors,
            static_cast<int64_t>(weights.size()),
            weights_.get() + row * columns_,
            keys_.get() + row * columns_,
            dropped_mass_ + row};
  }

  // Dense only: where a row lies, [key_count], to be written before it is stored.
  absl::Span<float> DenseRow(int64_t row) {
    return {weights_.get() + row * columns_, static_cast<size_t>(columns_)};
  }

  int layer() const { return layer_; }
  int head() const { return head_; }
  const std::vector<int64_t>& queries() const { return *queries_; }
  int64_t rows() const { return static_cast<int64_t>(queries().size()); }
  bool is_top_k() const { return is_top_k_; }
  int64_t columns() const { return columns_; }  // key_count, or with top-k the weights kept
  int64_t data_bytes() const { return 4 * rows() * (is_top_k_ ? 2 * columns_ + 1 : columns_); }

  // Dense: [rows, key_count], 0 past the visible keys. Top-k: [rows, k], largest first, ties by
  // smaller key, 0 past the visible keys.
  absl::Span<const float> weights() const {
    return {weights_.get(), static_cast<size_t>(rows() * columns_)};
  }
  // Top-k only: key positions [rows, k], -1 past the visible keys, and the mass [rows] of the
  // weights left out.
  absl::Span<const int32_t> keys() const {
    return {keys_.get(), static_cast<size_t>(is_top_k_ ? rows() * columns_ : 0)};
  }
  absl::Span<const float> dropped_mass() const {
    return {dropped_mass_, static_cast<size_t>(is_top_k_ ? rows() : 0)};
  }

 private:
  int layer_ = 0;
  int head_ = 0;
  std::shared_ptr<const std::vector<int64_t>> queries_;
  bool is_top_k_ = false;
  int64_t columns_ = 0;
  std::shared_ptr<float> weights_;
  std::shared_ptr<int32_t> keys_;  // behind them
  float* dropped_mass_ = nullptr;  // behind these
};

// AttentionTile::StoreRow for several rows of tiles that keep k weights of each; quicker than one
// by one.
void StoreTopK(absl::Span<const TopKRow> rows, int64_t k);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ATTENTION_TILE_H_
