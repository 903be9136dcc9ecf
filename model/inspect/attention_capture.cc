#include "model/inspect/attention_capture.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "model/base/ascending.h"
#include "model/base/error.h"

namespace heed {
namespace {

// Place of each of [0, count) in the ascending list `chosen`, or -1.
std::vector<int> PlacesOf(const std::vector<int>& chosen, int count) {
  std::vector<int> places(count, -1);
  for (size_t i = 0; i < chosen.size(); ++i) places[chosen[i]] = static_cast<int>(i);
  return places;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptCapture>> PromptCapture::Create(AttentionChoice choice,
                                                                     int64_t key_count,
                                                                     int layer_count,
                                                                     int head_count) {
  try {
    return absl::WrapUnique(
        new PromptCapture(std::move(choice), key_count, layer_count, head_count));
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     "the server has no memory left for this much attention; ask for fewer layers, "
                     "heads or queries, or for top_k");
  }
}

PromptCapture::PromptCapture(AttentionChoice choice, int64_t key_count, int layer_count,
                             int head_count)
    : choice_(std::move(choice)),
      rows_per_block_(kMaxTileBytes / RowBytes(choice_.top_k, key_count)),
      layer_index_(PlacesOf(choice_.layers, layer_count)),
      head_index_(PlacesOf(choice_.heads, head_count)) {
  const int64_t n_queries = static_cast<int64_t>(choice_.queries.size());
  TileMemory memory(choice_.head_count() * n_queries * RowBytes(choice_.top_k, key_count) / 4);
  for (int64_t begin = 0; begin < n_queries; begin += rows_per_block_) {
    const int64_t end = std::min(begin + rows_per_block_, n_queries);
    const auto block = std::make_shared<const std::vector<int64_t>>(choice_.queries.begin() + begin,
                                                                    choice_.queries.begin() + end);
    for (int layer : choice_.layers) {
      for (int head : choice_.heads) {
        tiles_.emplace_back(&memory, layer, head, block, key_count, choice_.top_k);
      }
    }
  }
}

AttentionRows PromptCapture::WantAttention(int layer, int64_t begin, int64_t end) {
  if (layer_index_[layer] < 0) return {};
  const auto first = std::lower_bound(choice_.queries.begin(), choice_.queries.end(), begin);
  const auto last = std::lower_bound(first, choice_.queries.end(), end);
  return {
      choice_.heads,
      absl::MakeConstSpan(choice_.queries).subspan(first - choice_.queries.begin(), last - first),
      /*have_room=*/choice_.top_k == 0, /*takes_factors=*/choice_.top_k > 0};
}

PromptCapture::Place PromptCapture::PlaceOf(int layer, int head, int64_t query) {
  const int64_t row = FindAscending(absl::MakeConstSpan(choice_.queries), query);
  const int64_t block = row < rows_per_block_ ? 0 : row / rows_per_block_;  // dividing takes long
  const int64_t in_block =
      layer_index_[layer] * static_cast<int64_t>(choice_.heads.size()) + head_index_[head];
  return {&tiles_[block * choice_.head_count() + in_block], row - block * rows_per_block_};
}

absl::Span<float> PromptCapture::RoomForAttentionRow(int layer, int head, int64_t query) {
  const Place place = PlaceOf(layer, head, query);
  return place.tile->DenseRow(place.row);
}

void PromptCapture::OnAttentionRow(int layer, int head, int64_t query,
                                   absl::Span<const float> weights) {
  const WatchedRow only{head, query, weights};
  OnAttentionRows(layer, {&only, 1});
}

void PromptCapture::OnAttentionRows(int layer, absl::Span<const WatchedRow> rows) {
  TopKRow places[kTopKRows];
  for (size_t i = 0; i < rows.size();) {
    Place place = PlaceOf(layer, rows[i].head, rows[i].query);
    AttentionTile& tile = *place.tile;
    const absl::Span<const int64_t> queries = tile.queries();
    int64_t count = 0;
    // Most rows follow the one before.
    for (size_t row = place.row; i < rows.size() && row < queries.size() && count < kTopKRows &&
                                 rows[i].query == queries[row] && rows[i].head == tile.head();
         ++row, ++i) {
      if (choice_.top_k == 0) {
        tile.StoreRow(row, rows[i].weights);
      } else {
        places[count++] = tile.TopKOf(row, rows[i].weights, rows[i].factors);
      }
    }
    if (count > 0) StoreTopK(absl::MakeConstSpan(places, count), tile.columns());
  }
}

void PromptCapture::CompleteUpTo(int64_t end) {
  const int64_t n_queries = static_cast<int64_t>(choice_.queries.size());
  const int64_t rows = std::lower_bound(choice_.queries.begin(), choice_.queries.end(), end) -
                       choice_.queries.begin();
  // The last block may be shorter than the others.
  const int64_t blocks = rows == n_queries ? (n_queries + rows_per_block_ - 1) / rows_per_block_
                                           : rows / rows_per_block_;
  complete_.store(blocks * choice_.head_count(), std::memory_order_release);
}

std::optional<AttentionTile> PromptCapture::TakeTile() {
  if (!HasTile()) return std::nullopt;
  return std::move(tiles_[taken_++]);
}

StepCapture::StepCapture(AttentionChoice choice, int64_t prompt_length, int layer_count,
                         int head_count)
    : choice_(std::move(choice)),
      prompt_length_(prompt_length),
      layer_index_(PlacesOf(choice_.layers, layer_count)),
      head_index_(PlacesOf(choice_.heads, head_count)) {}

AttentionRows StepCapture::WantAttention(int layer, int64_t begin, int64_t end) {
  // The last position of the prompt predicts the first token; before that there is nothing to keep.
  if (layer_index_[layer] < 0 || end < prompt_length_) return {};
  begin = std::max(begin, prompt_length_ - 1);
  if (queries_.empty() || queries_.front() != begin || queries_.back() != end - 1) {
    queries_.clear();
    tiles_.clear();
    for (int64_t query = begin; query < end; ++query) AddTiles(query);
  }
  return {choice_.heads, queries_};
}

void StepCapture::AddTiles(int64_t query) {
  queries_.push_back(query);
  TileMemory memory(choice_.head_count() * RowBytes(choice_.top_k, query + 1) / 4);
  const auto only = std::make_shared<const std::vector<int64_t>>(1, query);
  for (int layer : choice_.layers) {
    for (int head : choice_.heads) {
      tiles_.emplace_back(&memory, layer, head, only, query + 1, choice_.top_k);
    }
  }
}

void StepCapture::OnAttentionRow(int layer, int head, int64_t query,
                                 absl::Span<const float> weights) {
  const int64_t in_query =
      layer_index_[layer] * static_cast<int64_t>(choice_.heads.size()) + head_index_[head];
  tiles_[(query - queries_.front()) * choice_.head_count() + in_query].StoreRow(0, weights);
}

std::vector<AttentionTile> StepCapture::TakeRows(int64_t query) {
  if (queries_.empty() || query < queries_.front() || query > queries_.back()) return {};
  const auto first = tiles_.begin() + (query - queries_.front()) * choice_.head_count();
  return {std::make_move_iterator(first), std::make_move_iterator(first + choice_.head_count())};
}

}  // namespace heed
