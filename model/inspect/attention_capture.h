// Observers that keep the attention rows a call asked for. Know neither gRPC nor protobuf.
#ifndef HEED_MODEL_INSPECT_ATTENTION_CAPTURE_H_
#define HEED_MODEL_INSPECT_ATTENTION_CAPTURE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/inspect/attention_tile.h"
#include "model/transformer/observer.h"

namespace heed {

// Most data in one tile.
inline constexpr int64_t kMaxTileBytes = int64_t{1} << 20;

// Captures rows of a whole prompt, as tiles in an order that depends on the request alone: blocks
// of consecutive queries; within a block, layers; within a layer, heads. So the first tiles can
// leave while later prompt chunks are still running.
//
// The engine's threads write; one other thread at a time takes what is complete.
class PromptCapture final : public ForwardObserver {
 public:
  // Reserves memory for all tiles, RowBytes() for each row. `layer_count` and `head_count` are the
  // model's. A row must not exceed kMaxTileBytes. RESOURCE_EXHAUSTED when the memory is not to be
  // had.
  static absl::StatusOr<std::unique_ptr<PromptCapture>> Create(AttentionChoice choice,
                                                               int64_t key_count, int layer_count,
                                                               int head_count);

  int64_t FirstWatchedPosition() const override {
    return choice_.queries.empty() ? 0 : choice_.queries.front();
  }
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override;
  absl::Span<float> RoomForAttentionRow(int layer, int head, int64_t query) override;
  void OnAttentionRow(int layer, int head, int64_t query, absl::Span<const float> weights) override;
  void OnAttentionRows(int layer, absl::Span<const WatchedRow> rows) override;

  // All rows of queries before `end` have been stored.
  void CompleteUpTo(int64_t end);

  // The next tile in order, once all its rows are stored.
  std::optional<AttentionTile> TakeTile();
  bool HasTile() const { return taken_ < complete_.load(std::memory_order_acquire); }
  int64_t tile_count() const { return static_cast<int64_t>(tiles_.size()); }

 private:
  PromptCapture(AttentionChoice choice, int64_t key_count, int layer_count, int head_count);

  struct Place {
    AttentionTile* tile;
    int64_t row;
  };
  Place PlaceOf(int layer, int head, int64_t query);

  const AttentionChoice choice_;
  const int64_t rows_per_block_;
  std::vector<int> layer_index_;      // [layer_count], place in choice_.layers or -1
  std::vector<int> head_index_;       // [head_count], place in choice_.heads or -1
  std::vector<AttentionTile> tiles_;  // [blocks, layers, heads]
  std::atomic<int64_t> complete_{0};  // tiles before this one have all their rows
  int64_t taken_ = 0;
};

// Captures, of a sequence that generates, the rows of the positions that predict the next tokens.
class StepCapture final : public ForwardObserver {
 public:
  // choice.queries is not used.
  StepCapture(AttentionChoice choice, int64_t prompt_length, int layer_count, int head_count);

  int64_t FirstWatchedPosition() const override { return prompt_length_ - 1; }
  AttentionRows WantAttention(int layer, int64_t begin, int64_t end) override;
  void OnAttentionRow(int layer, int head, int64_t query, absl::Span<const float> weights) override;

  // The rows of `query`, [layers, heads], one row in each tile; none where the last pass had none.
  // Once for each query.
  std::vector<AttentionTile> TakeRows(int64_t query);

 private:
  void AddTiles(int64_t query);

  const AttentionChoice choice_;
  const int64_t prompt_length_;
  std::vector<int> layer_index_;
  std::vector<int> head_index_;
  std::vector<int64_t> queries_;      // of the current pass
  std::vector<AttentionTile> tiles_;  // [queries, layers, heads]
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ATTENTION_CAPTURE_H_
