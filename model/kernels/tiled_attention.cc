#include "model/kernels/tiled_attention.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/base/ascending.h"
#include "model/kernels/edited_attention.h"
#include "model/kernels/parallel.h"
#include "model/kernels/top_k.h"

namespace heed {
namespace {

// Multiply-adds below which a team of threads costs more than it saves.
constexpr int64_t kParallelWork = 32 * 1024;

// Weights of one tile's watched rows that should fit into a core's own cache.
constexpr int64_t kMaxWatchedFloats = 256 * 1024;

// Watched rows that a sink gets together: few enough for a core's first-level cache.
constexpr int64_t kRowsTogether = 16;

static_assert(kFactorKeys == kKeyTile);

// Some query positions of one slice, with some of the heads that share keys and values.
struct Tile {
  const AttentionSlice* slice;
  int64_t head;  // the first
  int64_t heads;
  int64_t row;  // of the slice's queries
  int64_t positions;
};

int64_t KeyCount(const AttentionSlice& slice) {
  return slice.first_position + slice.query.rows;
}

int64_t PageEnd(int64_t keys) {
  return (keys + kPageTokens - 1) / kPageTokens * kPageTokens;
}

int64_t RowsPerTile(const AttentionSlice& slice) {
  if (slice.watched.empty()) return kMaxTileRows;
  return std::clamp(kMaxWatchedFloats / KeyCount(slice), kRowBlock, kMaxTileRows);
}

// Whether none of a tile's rows comes this way.
bool IsElsewhere(const AttentionShape& shape, const Tile& tile) {
  const AttentionSlice& slice = *tile.slice;
  if (slice.edited.empty()) return false;
  for (int64_t position = tile.row; position < tile.row + tile.positions; ++position) {
    for (int64_t head = tile.head; head < tile.head + tile.heads; ++head) {
      const int64_t query = slice.first_position + position;
      if (FactorOf(shape, slice, static_cast<int>(head), query)) return false;
    }
  }
  return true;
}

// Those with the most keys come first, so that no thread is left with one at the end. Without those
// of which no row comes this way.
void MakeTiles(const AttentionShape& shape, absl::Span<const AttentionSlice> slices,
               std::vector<Tile>& tiles) {
  const int64_t group = shape.n_heads / shape.n_kv_heads;
  tiles.clear();
  for (const AttentionSlice& slice : slices) {
    const int64_t rows = RowsPerTile(slice), heads = std::min(group, rows);
    const int64_t positions = rows / heads;
    for (int64_t end = slice.query.rows; end > 0; end -= positions) {
      const int64_t row = std::max<int64_t>(0, end - positions);
      for (int64_t kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
        for (int64_t h = 0; h < group; h += heads) {
          const Tile tile{&slice, kv_head * group + h, std::min(heads, group - h), row, end - row};
          if (!IsElsewhere(shape, tile)) tiles.push_back(tile);
        }
      }
    }
  }
}

// Which keys each row of a tile sees. A window without a causal mask reaches to both sides, so that
// it moves with the rows and is cut off at the ends.
void SetVisibleKeys(const AttentionShape& shape, int64_t keys, AttentionTileArgs& args) {
  const bool is_sliding = shape.causal || shape.window != 0;
  args.key_limit = shape.causal ? args.query_position + args.positions : keys;
  args.visible_step = is_sliding ? 1 : 0;
  args.first_visible = is_sliding ? args.query_position + 1 : keys;
  args.window = shape.window;
  if (shape.causal || shape.window == 0) return;
  args.first_visible += shape.window - 1;
  args.window = 2 * shape.window - 1;
}

// A tile on its way through the kernels.
class TileJob {
 public:
  void Prepare(const AttentionShape& shape, const Tile& tile) {
    tile_ = &tile;
    is_causal_ = shape.causal;
    const AttentionSlice& slice = *tile.slice;
    const int64_t kv_head = tile.head / (shape.n_heads / shape.n_kv_heads);
    const int64_t offset = tile.head * shape.head_dim;
    args_.query = slice.query.Row(tile.row).data() + offset;
    args_.query_stride = slice.query.stride;
    args_.output = slice.output.Row(tile.row).data() + offset;
    args_.output_stride = slice.output.stride;
    args_.pages = slice.pages.pages.data();
    args_.kv_type = slice.pages.type;
    args_.place = PlaceOfKvHead(args_.kv_type, shape.n_kv_heads, shape.head_dim, kv_head);
    args_.positions = tile.positions;
    args_.heads = tile.heads;
    args_.query_position = slice.first_position + tile.row;
    SetVisibleKeys(shape, KeyCount(slice), args_);
    args_.head_dim = shape.head_dim;
    args_.scale = shape.scale;
    args_.soft_cap = shape.soft_cap;
    args_.slopes = shape.slopes.empty() ? nullptr : shape.slopes.data() + tile.head;
    args_.scratch = args_.state = nullptr;
    args_.weights = nullptr;
    args_.tile_max = nullptr;
    args_.row_factors = slice.edited.empty() ? nullptr : FindFactors(shape);
    if (!slice.watched.empty()) Watch(shape);
  }

  int64_t rows() const { return tile_->positions * tile_->heads; }
  int64_t state_floats() const { return AttentionStateFloats(rows(), args_.head_dim); }
  int64_t first_span() const { return FirstSpan(args_); }
  int64_t spans() const {
    const int64_t keys = KeyEnd(args_, tile_->positions - 1) - first_span();
    return (keys + kKeySpan - 1) / kKeySpan;
  }

  void Run(const AttentionKernels& kernels) {
    thread_local AlignedBuffer buffer;
    const int64_t scratch = AttentionScratchFloats(args_.head_dim);
    buffer.Grow(scratch + state_floats());
    args_.scratch = buffer.data();
    args_.state = buffer.data() + scratch;
    kernels.tile(args_);
    Report(kernels);
  }

  void RunSpan(const AttentionKernels& kernels, int64_t span, float* state) const {
    thread_local AlignedBuffer scratch;
    scratch.Grow(AttentionScratchFloats(args_.head_dim));
    AttentionTileArgs args = args_;
    args.scratch = scratch.data();
    args.state = state;
    kernels.span(args, first_span() + span * kKeySpan);
  }

  // `states` lie one behind the other.
  void Merge(const AttentionKernels& kernels, float* states) {
    thread_local std::vector<float*> of_spans;
    of_spans.clear();
    for (int64_t i = 0; i < spans(); ++i) of_spans.push_back(states + i * state_floats());
    args_.state = states;
    kernels.merge(args_, of_spans.data(), spans());
    Report(kernels);
  }

 private:
  int ModelHeadOf(int64_t r) const { return static_cast<int>(tile_->head + HeadOf(args_, r)); }
  int64_t QueryOf(int64_t r) const { return args_.query_position + PositionOf(args_, r); }

  // For rows that are computed elsewhere any will do.
  const float* FindFactors(const AttentionShape& shape) {
    for (int64_t r = 0; r < rows(); ++r) {
      factors_[r] = FactorOf(shape, *tile_->slice, ModelHeadOf(r), QueryOf(r)).value_or(1.0f);
    }
    return factors_;
  }

  // Gives every watched row a place for its weights: the sink's, or else one of this tile.
  void Watch(const AttentionShape& shape) {
    const AttentionSlice& slice = *tile_->slice;
    const int64_t stride = PageEnd(args_.key_limit), factors = WatchedFactors(args_);
    watched_.Grow(factors + rows() * stride);
    std::fill_n(weights_, rows(), nullptr);
    bool is_any_watched = false;
    for (int64_t h = 0; h < tile_->heads; ++h) {
      const int head = static_cast<int>(tile_->head + h);
      if (FindAscending(slice.watched.heads, head) < 0) continue;
      for (int64_t p = 0; p < tile_->positions; ++p) {
        const int64_t query = args_.query_position + p, r = p * tile_->heads + h;
        if (FindAscending(slice.watched.queries, query) < 0) continue;
        if (!slice.edited.empty() && !FactorOf(shape, slice, head, query)) continue;
        is_any_watched = true;
        weights_[r] = slice.watched.have_room ? RoomFor(r) : nullptr;
        if (weights_[r] == nullptr) weights_[r] = watched_.data() + factors + r * stride;
      }
    }
    if (!is_any_watched) return;
    args_.weights = weights_;
    args_.tile_max = watched_.data();
    std::fill_n(args_.tile_max, factors, std::numeric_limits<float>::infinity());
  }

  // The sink's place for a row, or null.
  float* RoomFor(int64_t r) const {
    const absl::Span<float> room = tile_->slice->sink->RoomFor(ModelHeadOf(r), QueryOf(r));
    const int64_t needed = PageEnd(KeyEnd(args_, PositionOf(args_, r)));
    return static_cast<int64_t>(room.size()) < needed ? nullptr : room.data();
  }

  void Report(const AttentionKernels& kernels) const {
    if (args_.weights == nullptr) return;
    const bool takes_factors = tile_->slice->watched.takes_factors;
    kernels.factors(args_);
    WatchedRow watched[kRowsTogether];
    int64_t count = 0;
    for (int64_t h = 0; h < tile_->heads; ++h) {
      for (int64_t p = 0; p < tile_->positions; ++p) {
        const int64_t r = p * tile_->heads + h;
        if (weights_[r] == nullptr) continue;
        if (!takes_factors) kernels.weights(args_, r);
        watched[count++] = {static_cast<int>(tile_->head + h), args_.query_position + p,
                            Finished(p, weights_[r]),
                            takes_factors ? KeyFactors{args_.tile_max + r, rows()} : NoFactors()};
        if (count < kRowsTogether) continue;
        tile_->slice->sink->OnRows(watched);
        count = 0;
      }
    }
    if (count > 0) tile_->slice->sink->OnRows(absl::MakeConstSpan(watched, count));
  }

  // A row of position p with its weights of the keys it sees, and zeros for the others that are
  // reported. Where they lie is the row's own, or this tile's until the next one is prepared.
  absl::Span<const float> Finished(int64_t p, float* weights) const {
    const int64_t begin = FirstKey(args_, p), end = KeyEnd(args_, p);
    const int64_t reported = is_causal_ ? end : args_.key_limit;
    if (begin > 0) std::fill_n(weights, begin, 0.0f);
    if (end < reported) std::fill_n(weights + end, reported - end, 0.0f);
    return {weights, static_cast<size_t>(reported)};
  }

  const Tile* tile_ = nullptr;
  bool is_causal_ = true;
  AttentionTileArgs args_;
  float* weights_[kMaxTileRows];
  float factors_[kMaxTileRows];
  AlignedBuffer watched_;  // AttentionTileArgs::tile_max, then [rows, keys]
};

void RunTiles(const AttentionKernels& kernels, const AttentionShape& shape,
              absl::Span<const Tile> tiles, bool in_parallel) {
  ParallelFor(static_cast<int64_t>(tiles.size()), in_parallel, [&](int64_t i) {
    thread_local TileJob job;
    job.Prepare(shape, tiles[i]);
    job.Run(kernels);
  });
}

// One span of keys of one tile.
struct SpanItem {
  int64_t tile, span;
  float* state;
};

// What RunSpans keeps from call to call.
struct SpanSpace {
  std::vector<TileJob> jobs;  // of the tiles
  std::vector<SpanItem> items;
  AlignedBuffer states;
};

void RunSpans(const AttentionKernels& kernels, const AttentionShape& shape,
              absl::Span<const Tile> tiles, SpanSpace& space) {
  const int64_t n_tiles = static_cast<int64_t>(tiles.size());
  if (static_cast<int64_t>(space.jobs.size()) < n_tiles) space.jobs.resize(n_tiles);
  space.items.clear();
  int64_t floats = 0;
  for (int64_t i = 0; i < n_tiles; ++i) {
    space.jobs[i].Prepare(shape, tiles[i]);
    floats += space.jobs[i].spans() * space.jobs[i].state_floats();
  }
  space.states.Grow(floats);
  float* next = space.states.data();
  for (int64_t i = 0; i < n_tiles; ++i) {
    for (int64_t s = 0; s < space.jobs[i].spans(); ++s, next += space.jobs[i].state_floats()) {
      space.items.push_back({i, s, next});
    }
  }
  ParallelFor(static_cast<int64_t>(space.items.size()), true, [&](int64_t i) {
    const SpanItem& item = space.items[i];
    space.jobs[item.tile].RunSpan(kernels, item.span, item.state);
  });
  ParallelFor(static_cast<int64_t>(space.items.size()), true, [&](int64_t i) {
    const SpanItem& item = space.items[i];
    if (item.span == 0) space.jobs[item.tile].Merge(kernels, item.state);
  });
}

}  // namespace

void AttendTiled(const AttentionKernels& kernels, const AttentionShape& shape,
                 absl::Span<const AttentionSlice> slices) {
  thread_local std::vector<Tile> tiles;
  thread_local SpanSpace span_space;
  MakeTiles(shape, slices, tiles);
  int64_t work = 0, most_keys = 0;
  for (const AttentionSlice& slice : slices) {
    work += slice.query.rows * KeyCount(slice) * shape.head_dim * shape.n_heads;
    most_keys = std::max(most_keys, KeyCount(slice));
  }
  const bool in_parallel = work > kParallelWork;
  const bool are_few = static_cast<int64_t>(tiles.size()) < 4 * MaxThreads();
  const bool in_spans = in_parallel && are_few && MaxThreads() > 1 && most_keys > kKeySpan;
  if (in_spans) {
    RunSpans(kernels, shape, tiles, span_space);
  } else {
    RunTiles(kernels, shape, tiles, in_parallel);
  }
}

}  // namespace heed
