// A tile of attention: the kernels' interface, plain structs over plain pointers.
//
// A row is one head of one query position. Rows take their keys in tiles, and tiles in spans, which
// begin at multiples of kKeyTile and kKeySpan keys; each span of a row has a sum of its own, and a
// row's sums are added in the order of the spans. So a row's bits depend on its position alone: not
// on which rows are near, nor on who computes which span.
//
// Included by the files of each instruction set, so C headers only (isa_kernels.h).
#ifndef HEED_MODEL_KERNELS_ATTENTION_TILE_H_
#define HEED_MODEL_KERNELS_ATTENTION_TILE_H_

#include <stdint.h>

#include "model/kernels/kv_page.h"

namespace heed {

constexpr int64_t kMaxTileRows = 48;  // of one attention tile
constexpr int64_t kRowBlock = 6;      // whose sums are in registers together
constexpr int64_t kKeyTile = 64;
constexpr int64_t kKeySpan = 8 * kKeyTile;

// Some query positions, with some of the heads that share keys and values, against the sequence's
// pages. Row r is head r % heads of position r / heads.
struct AttentionTileArgs {
  const float* query;  // position p at query + p * query_stride, [heads, head_dim]
  int64_t query_stride;
  float* output;  // position p at output + p * output_stride, [heads, head_dim]
  int64_t output_stride;
  const char* const* pages;  // the layer's part of each
  KvType kv_type;
  KvHeadPlace place;  // of the kv head of these heads
  int64_t positions;  // 1.., with at most kMaxTileRows rows
  int64_t heads;
  int64_t first_visible;  // keys that position 0 sees, at least 1
  int64_t visible_step;   // keys that each further position sees more: 1 causal, 0 bidirectional
  int64_t key_limit;      // no row sees this key or later ones
  int64_t window;         // each row sees at most the `window` keys before its last; 0: all of them
  int64_t head_dim;
  float scale;
  float soft_cap;          // 0: none
  const float* slopes;     // [heads]: a score falls by it for each key of distance; null: none
  int64_t query_position;  // of position 0; for the slopes
  // [rows]: what multiplies the scores of each row besides `scale`; null: nothing does. Not
  // together with a soft cap or slopes, which come between the two.
  const float* row_factors;
  float* scratch;  // AttentionScratchFloats(head_dim), aligned to 64 bytes
  // What becomes of it all: AttentionStateFloats(rows, head_dim), aligned to 64 bytes.
  float* state;
  // Where the weights of a watched row are made, by key, with room for the whole pages of what it
  // sees; null for the others. [rows]; null: nobody looks.
  float* const* weights;
  // [WatchedFactors(args)], where rows are watched: the largest score that row r has seen up to
  // tile t of the keys is at t * rows + r; +inf for tiles of which it sees nothing.
  float* tile_max;
};

// The position and the head of row r. Most tiles have one head, and dividing takes long: asked
// whether there is exactly one, compilers divide by it, because that is the same.
static inline int64_t PositionOf(const AttentionTileArgs& args, int64_t r) {
  return args.heads < 2 ? r : r / args.heads;
}
static inline int64_t HeadOf(const AttentionTileArgs& args, int64_t r) {
  return r - PositionOf(args, r) * args.heads;
}

// Keys [FirstKey, KeyEnd) are those that position p sees. Static, so that each file has code for
// its own instruction set.
static inline int64_t KeyEnd(const AttentionTileArgs& args, int64_t p) {
  const int64_t end = args.first_visible + p * args.visible_step;
  return end < args.key_limit ? end : args.key_limit;
}
static inline int64_t FirstKey(const AttentionTileArgs& args, int64_t p) {
  const int64_t end = args.first_visible + p * args.visible_step;
  return args.window == 0 || end < args.window ? 0 : end - args.window;
}

// Where the first span begins whose keys some row sees.
static inline int64_t FirstSpan(const AttentionTileArgs& args) {
  return FirstKey(args, 0) / kKeySpan * kKeySpan;
}

// Numbers of `tile_max`, in whole vectors.
static inline int64_t WatchedFactors(const AttentionTileArgs& args) {
  const int64_t tiles = (args.key_limit + kKeyTile - 1) / kKeyTile;
  return (tiles * args.positions * args.heads + kPageTokens - 1) / kPageTokens * kPageTokens;
}

static inline int64_t PaddedDim(int64_t head_dim) {
  return (head_dim + kPageTokens - 1) / kPageTokens * kPageTokens;
}

// The sums of the rows: of values weighted by e^(score - max), [rows, padded_dim]; of e^(score -
// max), in 16 parts, [rows, 16]; and max, the largest score so far, [rows]. In the end, what
// normalises a row, [rows].
static inline int64_t AttentionStateFloats(int64_t rows, int64_t head_dim) {
  return rows * (PaddedDim(head_dim) + kPageTokens) + 2 * PaddedDim(rows);
}

// Queries, keys and values of one tile, scores of one block of rows, and a span's own sums.
static inline int64_t AttentionScratchFloats(int64_t head_dim) {
  return kMaxTileRows * PaddedDim(head_dim) + 2 * kKeyTile * PaddedDim(head_dim) +
         kRowBlock * kKeyTile + AttentionStateFloats(kMaxTileRows, head_dim);
}

struct KvStoreArgs {
  KvType kv_type;
  const float* keys;
  int64_t key_stride;
  const float* values;
  int64_t value_stride;
  int64_t rows;
  int64_t n_kv_heads;
  int64_t head_dim;
  int64_t token;
  char* page;  // the layer's part
};

// One table for each instruction set.
struct AttentionKernels {
  // All of a tile: fills the outputs. `state` holds the sums afterwards.
  void (*tile)(const AttentionTileArgs& args);
  // The keys of the span that begins at `begin` only: fills `state`, and adds up nothing.
  void (*span)(const AttentionTileArgs& args, int64_t begin);
  // The outputs from the states of all spans from FirstSpan on whose keys the tile's rows see, in
  // order. The first of them, args.state, holds the sums afterwards.
  void (*merge)(const AttentionTileArgs& args, float* const* states, int64_t n_states);
  // Where rows are watched, once, after `tile` or `merge`: puts in the place of `tile_max` what a
  // row's numbers in `args.weights` are to be multiplied by, for each tile of keys, to be the
  // softmax's weights of the keys that its position sees and others of the same pages. Finite for
  // tiles of which it sees nothing, too.
  void (*factors)(const AttentionTileArgs& args);
  // After that, for a watched row: the weights themselves, in their place.
  void (*weights)(const AttentionTileArgs& args, int64_t r);
  // Stores keys and values, [rows, n_kv_heads * head_dim] each, as the tokens of one page from
  // `token` on.
  void (*store)(const KvStoreArgs& args);
};

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ATTENTION_TILE_H_
