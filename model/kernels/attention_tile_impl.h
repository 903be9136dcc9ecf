// The attention kernels, written once over F32x16. Included by the file of each instruction set,
// after isa_kernels_impl.h.
#ifndef HEED_MODEL_KERNELS_ATTENTION_TILE_IMPL_H_
#define HEED_MODEL_KERNELS_ATTENTION_TILE_IMPL_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/attention_tile.h"
#include "model/kernels/kv_store_impl.h"

namespace heed {
namespace {

constexpr int kTilePages = static_cast<int>(kKeyTile / kPageTokens);
static_assert(kPageTokens == kLanes);

struct KeyRange {
  int64_t begin, end;
  bool empty() const { return begin >= end; }
};

inline KeyRange Intersect(KeyRange a, KeyRange b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}

// Multiples of kLanes around a range.
inline KeyRange WholePages(KeyRange keys) {
  return {keys.begin / kLanes * kLanes, (keys.end + kLanes - 1) / kLanes * kLanes};
}

inline KeyRange KeysOf(const AttentionTileArgs& args, int64_t r) {
  const int64_t p = PositionOf(args, r);
  return {FirstKey(args, p), KeyEnd(args, p)};
}

inline KeyRange SpanAt(int64_t begin) {
  return {begin, begin + kKeySpan};
}

// ---- Keys and values as they are stored ---------------------------------------------------------

// `count` numbers, a multiple of kLanes, as f32: where they lie, or converted to `room`.
inline const float* ReadNumbers(KvType type, const char* from, int64_t count, float* room) {
  if (type == KvType::kF32) return reinterpret_cast<const float*>(from);
  if (type == KvType::kF16) {
    for (int64_t i = 0; i < count; i += kLanes) LoadHalf(from + 2 * i).Store(room + i);
  } else {
    for (int64_t i = 0; i < count; i += kLanes) LoadInt8(from + i).Store(room + i);
  }
  return room;
}

// Of each page of a tile: keys [head_dim, 16] and values [16, head_dim], and with 8 bits their
// scales, [16] each, which are yet to be multiplied by.
struct TilePages {
  const float* keys[kTilePages];
  const float* values[kTilePages];
  const float* key_scales[kTilePages];
  const float* value_scales[kTilePages];
  bool is_scaled;
};

// Those of the pages that hold some of `keys`, which lie in the tile at `begin`.
TilePages ReadTile(const AttentionTileArgs& args, int64_t begin, KeyRange keys, float* room) {
  TilePages tile;
  tile.is_scaled = args.kv_type == KvType::kInt8;
  const KeyRange pages = WholePages(keys);
  const int64_t numbers = args.head_dim * kLanes;
  for (int64_t j = pages.begin; j < pages.end; j += kLanes) {
    const int64_t p = (j - begin) / kLanes;
    const char* const page = args.pages[j / kLanes];
    float* const own = room + 2 * p * numbers;
    tile.keys[p] = ReadNumbers(args.kv_type, page + args.place.keys, numbers, own);
    tile.values[p] = ReadNumbers(args.kv_type, page + args.place.values, numbers, own + numbers);
    tile.key_scales[p] = reinterpret_cast<const float*>(page + args.place.key_scales);
    tile.value_scales[p] = reinterpret_cast<const float*>(page + args.place.value_scales);
  }
  return tile;
}

// Rows' numbers of keys [begin, end), multiples of kLanes within the tile at `tile_begin`, times
// their keys' scales.
inline void Scale(const float* const* scales, int64_t tile_begin, KeyRange pages, float* numbers) {
  for (int64_t j = pages.begin; j < pages.end; j += kLanes, numbers += kLanes) {
    const float* const scale = scales[(j - tile_begin) / kLanes];
    (F32x16::Load(numbers) * F32x16::Load(scale)).Store(numbers);
  }
}

// ---- What a tile works with ---------------------------------------------------------------------

// Registers that hold sums, of the most rows and of fewer: F32x16s for each of kRows rows.
template <int kRows>
constexpr int VectorsPerRow() {
  return kRows * 4 <= kSumVectors ? 4 : kRows * 2 <= kSumVectors ? 2 : 1;
}

struct AttentionState {
  int64_t padded_dim;
  float* mixed;  // [rows, padded_dim]: values weighted by e^(score - max)
  float* sums;   // [rows, kLanes]: of e^(score - max), in parts
  float* max;    // [rows]: the largest score so far
  float* norms;  // [rows]: 1 / the sum of e^(score - max), from WriteOutputs on

  AttentionState(const AttentionTileArgs& args, float* at)
      : padded_dim(PaddedDim(args.head_dim)),
        mixed(at),
        sums(mixed + args.positions * args.heads * padded_dim),
        max(sums + args.positions * args.heads * kLanes),
        norms(max + PaddedDim(args.positions * args.heads)) {}
};

struct AttentionScratch {
  float* query;   // [rows, padded_dim], scaled
  float* room;    // [kTilePages, 2, head_dim * kLanes]: converted keys and values
  float* scores;  // [kRowBlock, kKeyTile], then e^(score - max)
  float* span;    // an AttentionState

  explicit AttentionScratch(const AttentionTileArgs& args)
      : query(args.scratch),
        room(query + kMaxTileRows * PaddedDim(args.head_dim)),
        scores(room + 2 * kKeyTile * PaddedDim(args.head_dim)),
        span(scores + kRowBlock * kKeyTile) {}
};

inline int64_t RowsOf(const AttentionTileArgs& args) {
  return args.positions * args.heads;
}

inline const float* QueryOf(const AttentionTileArgs& args, int64_t r) {
  return args.query + PositionOf(args, r) * args.query_stride + HeadOf(args, r) * args.head_dim;
}

void ScaleQueries(const AttentionTileArgs& args, float* scaled) {
  const int64_t rows = RowsOf(args);
  for (int64_t r = 0; r < rows; ++r) {  // rows lie far apart: ask for all of them at once
    const float* const query = QueryOf(args, r);
    for (int64_t d = 0; d < args.head_dim; d += kLanes) __builtin_prefetch(query + d);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float* const query = QueryOf(args, r);
    const float factor = args.row_factors == nullptr ? 1.0f : args.row_factors[r];
    const F32x16 scale = F32x16::Broadcast(args.scale * factor);
    float* const to = scaled + r * PaddedDim(args.head_dim);
    for (int64_t d = 0; d < args.head_dim; d += kLanes) {
      const int64_t left = args.head_dim - d;
      (F32x16::LoadPartial(query + d, left < kLanes ? left : kLanes) * scale).Store(to + d);
    }
  }
}

void Clear(const AttentionTileArgs& args, const AttentionState& state) {
  const int64_t rows = RowsOf(args);
  for (int64_t r = 0; r < rows; ++r) state.max[r] = -INFINITY;
  memset(state.mixed, 0, rows * state.padded_dim * sizeof(float));
  memset(state.sums, 0, rows * kLanes * sizeof(float));
}

// ---- Scores -------------------------------------------------------------------------------------

// Scores of kRows queries, [kRows, PaddedDim(head_dim)], against kPages pages; those of row r to
// scores + r * kKeyTile.
template <int kRows, int kPages>
void ScoreBlock(int64_t head_dim, const float* query, const float* const* pages, float* scores) {
  const int64_t stride = PaddedDim(head_dim);
  F32x16 sum[kRows][kPages];
  const float* keys[kPages];
#pragma GCC unroll 8
  for (int p = 0; p < kPages; ++p) {
    keys[p] = pages[p];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r][p] = F32x16::Broadcast(0.0f);
  }
  for (int64_t d = 0; d < head_dim; ++d, ++query) {
    F32x16 key[kPages];
#pragma GCC unroll 8
    for (int p = 0; p < kPages; ++p) key[p] = F32x16::Load(keys[p] + d * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F32x16 q = F32x16::Broadcast(query[r * stride]);
#pragma GCC unroll 8
      for (int p = 0; p < kPages; ++p) sum[r][p] = MulAdd(q, key[p], sum[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPages; ++p) sum[r][p].Store(scores + r * kKeyTile + p * kLanes);
  }
}

// The same of `n_pages` pages.
template <int kRows>
void Score(int64_t head_dim, const float* query, const float* const* pages, int64_t n_pages,
           float* scores) {
  constexpr int kPages = VectorsPerRow<kRows>();
  for (; n_pages >= kPages; n_pages -= kPages, pages += kPages, scores += kPages * kLanes) {
    ScoreBlock<kRows, kPages>(head_dim, query, pages, scores);
  }
  for (; n_pages > 0; --n_pages, ++pages, scores += kLanes) {
    ScoreBlock<kRows, 1>(head_dim, query, pages, scores);
  }
}

// The page at `j` with `fill` in the lanes outside [begin, end).
inline F32x16 KeepBetween(F32x16 page, int64_t j, int64_t begin, int64_t end, float fill) {
  return KeepFrom(KeepFirst(page, end - j, fill), begin - j, fill);
}

// The soft cap and the slope over the scores of the keys [begin, end), multiples of kLanes, of row
// r. A pass of their own, because few models have one.
void BendScores(const AttentionTileArgs& args, int64_t r, int64_t begin, int64_t end,
                float* scores) {
  static const float kIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const float slope = args.slopes != nullptr ? args.slopes[HeadOf(args, r)] : 0.0f;
  if (args.soft_cap == 0 && slope == 0) return;
  for (int64_t j = begin; j < end; j += kLanes, scores += kLanes) {
    F32x16 bent = F32x16::Load(scores);
    if (args.soft_cap != 0) bent = Capped(bent, args.soft_cap);
    if (slope != 0) {
      const float distance = static_cast<float>(j - (args.query_position + PositionOf(args, r)));
      bent = MulAdd(F32x16::Broadcast(slope), F32x16::Load(kIndex) + F32x16::Broadcast(distance),
                    bent);
    }
    bent.Store(scores);
  }
}

// The largest of a row's scores of the keys `seen`, which lie in `pages`, is the largest lane.
inline F32x16 LargestScores(KeyRange seen, KeyRange pages, const float* scores) {
  F32x16 most = F32x16::Broadcast(-INFINITY);
  const bool is_whole = seen.begin == pages.begin && seen.end == pages.end;
  for (int64_t j = pages.begin; j < pages.end; j += kLanes, scores += kLanes) {
    F32x16 some = F32x16::Load(scores);
    if (!is_whole) some = KeepBetween(some, j, seen.begin, seen.end, -INFINITY);
    most = Max(most, some);
  }
  return most;
}

// Scores become e^(score - shift), and 0 for those of keys that are not `seen`; returns sum +
// these. Also to `kept`, if not null, which has room for the whole pages of `seen` and begins with
// the first of `pages`.
inline F32x16 Exponentials(F32x16 sum, float shift, KeyRange seen, KeyRange pages, float* scores,
                           float* kept) {
  const F32x16 shifts = F32x16::Broadcast(shift);
  if (seen.end - seen.begin == kKeyTile) {  // the usual case, four at a time
    F32x16 e[kKeyTile / kLanes];
#pragma GCC unroll 4
    for (int i = 0; i < kKeyTile / kLanes; ++i) {
      e[i] = Exp(F32x16::Load(scores + i * kLanes) - shifts);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kKeyTile / kLanes; ++i) {
      e[i].Store(scores + i * kLanes);
      sum = sum + e[i];
    }
    if (kept == nullptr) return sum;
#pragma GCC unroll 4
    for (int i = 0; i < kKeyTile / kLanes; ++i) e[i].Store(kept + i * kLanes);
    return sum;
  }
  const KeyRange own = WholePages(seen);
  for (int64_t j = pages.begin; j < pages.end; j += kLanes) {
    float* const some_scores = scores + (j - pages.begin);
    // What lies outside may be no number that Exp can take.
    const F32x16 some =
        KeepBetween(F32x16::Load(some_scores) - shifts, j, seen.begin, seen.end, 0.0f);
    const F32x16 e = KeepBetween(Exp(some), j, seen.begin, seen.end, 0.0f);
    e.Store(some_scores);
    sum = sum + e;
    if (kept != nullptr && j >= own.begin && j < own.end) e.Store(kept + (j - pages.begin));
  }
  return sum;
}

// Raises the largest scores so far of kRows rows, from `row` on, to those of the keys `seen` of
// each, which lie in `pages`. rescale[r] scales the r-th row's earlier sums.
template <int kRows>
void RaiseMax(const AttentionTileArgs& args, const AttentionState& state, int64_t row,
              const KeyRange* seen, KeyRange pages, float* scores, float* rescale) {
  F32x16 most[kRows];
  for (int r = 0; r < kRows; ++r) {
    float* const own = scores + int64_t{r} * kKeyTile;
    BendScores(args, row + r, pages.begin, pages.end, own);
    most[r] = LargestScores(seen[r], pages, own);
  }
  const F32x16 earlier = F32x16::LoadPartial(state.max + row, kRows);
  const F32x16 max = Max(earlier, ReduceMaxOfEach(most));
  max.StorePartial(state.max + row, kRows);
  // Both are -inf where a row has seen nothing: of NaN and 0, Min makes 0.
  Exp(Min(earlier - max, F32x16::Broadcast(0.0f))).Store(rescale);
}

// Takes row r's scores of the keys `seen`, which lie in `pages`, into its sums times `rescale`, and
// makes weights of them.
void TakeScores(const AttentionTileArgs& args, const AttentionState& state, int64_t r,
                KeyRange seen, KeyRange pages, float rescale, float* scores) {
  if (seen.empty()) {
    memset(scores, 0, (pages.end - pages.begin) * sizeof(float));
    return;
  }
  const float max = state.max[r];
  float* kept = nullptr;
  if (args.weights != nullptr && args.weights[r] != nullptr) {
    kept = args.weights[r] + pages.begin;
    args.tile_max[pages.begin / kKeyTile * RowsOf(args) + r] = max;
  }
  float* const sums = state.sums + r * kLanes;
  const F32x16 rescaled = F32x16::Load(sums) * F32x16::Broadcast(rescale);
  Exponentials(rescaled, max, seen, pages, scores, kept).Store(sums);
}

// ---- Values -------------------------------------------------------------------------------------

// What MixBlock adds up: the weights of row r's keys from `keys.begin` on at weights + r *
// kKeyTile.
struct MixArgs {
  int64_t tile_begin;
  KeyRange keys;
  const float* const* values;  // of the tile's pages
  const float* weights;
  const float* rescale;  // [rows]
  float* mixed;          // [rows, padded_dim]
  int64_t head_dim;
  int64_t padded_dim;
};

// Columns [d, d + 16 kVectors) of mixed * rescale + the weighted sum of values for kRows rows, keys
// in ascending order. kPartial: the one vector has only `lanes` columns.
template <int kRows, int kVectors, bool kPartial>
void MixBlock(const MixArgs& mix, int64_t d, int64_t lanes) {
  F32x16 sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const F32x16 rescale = F32x16::Broadcast(mix.rescale[r]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = F32x16::Load(mix.mixed + r * mix.padded_dim + d + v * kLanes) * rescale;
    }
  }
  const float* weights = mix.weights;
  for (int64_t j = mix.keys.begin; j < mix.keys.end;) {
    const int64_t page_end = (j / kLanes + 1) * kLanes;
    const int64_t end = page_end < mix.keys.end ? page_end : mix.keys.end;
    const float* value = mix.values[(j - mix.tile_begin) / kLanes] + j % kLanes * mix.head_dim + d;
    for (; j < end; ++j, ++weights, value += mix.head_dim) {
      F32x16 some[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        some[v] = kPartial ? F32x16::LoadPartial(value, lanes) : F32x16::Load(value + v * kLanes);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const F32x16 weight = F32x16::Broadcast(weights[r * kKeyTile]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[r][v] = MulAdd(weight, some[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v].Store(mix.mixed + r * mix.padded_dim + d + v * kLanes);
    }
  }
}

template <int kRows>
void Mix(const MixArgs& mix) {
  constexpr int kVectors = VectorsPerRow<kRows>();
  int64_t d = 0;
  for (; d + kVectors * kLanes <= mix.head_dim; d += kVectors * kLanes) {
    MixBlock<kRows, kVectors, false>(mix, d, 0);
  }
  for (; d + kLanes <= mix.head_dim; d += kLanes) MixBlock<kRows, 1, false>(mix, d, 0);
  if (d < mix.head_dim) MixBlock<kRows, 1, true>(mix, d, mix.head_dim - d);
}

// ---- Tiles --------------------------------------------------------------------------------------

// Rows [row, row + kRows) of one block take the keys of the tile at `begin`. A row's weights
// outside what it sees are exactly 0, so that all run over the keys of all of them: adding 0 * v
// changes no bit of a finite sum.
template <int kRows>
void TakeKeys(const AttentionTileArgs& args, const AttentionScratch& scratch,
              const AttentionState& state, const TilePages& tile, int64_t row, int64_t begin) {
  const KeyRange all = {KeysOf(args, row).begin, KeysOf(args, row + kRows - 1).end};
  const KeyRange keys = Intersect(all, {begin, begin + kKeyTile});
  if (keys.empty()) return;
  const KeyRange pages = WholePages(keys);
  const int64_t first_page = (pages.begin - begin) / kLanes;
  Score<kRows>(args.head_dim, scratch.query + row * state.padded_dim, tile.keys + first_page,
               (pages.end - pages.begin) / kLanes, scratch.scores);
  KeyRange seen[kRows];
  for (int r = 0; r < kRows; ++r) {
    seen[r] = Intersect(KeysOf(args, row + r), pages);
    if (tile.is_scaled) Scale(tile.key_scales, begin, pages, scratch.scores + r * kKeyTile);
  }
  float rescale[kLanes];
  RaiseMax<kRows>(args, state, row, seen, pages, scratch.scores, rescale);
  for (int r = 0; r < kRows; ++r) {
    float* const scores = scratch.scores + r * kKeyTile;
    TakeScores(args, state, row + r, seen[r], pages, rescale[r], scores);
    if (tile.is_scaled) Scale(tile.value_scales, begin, pages, scores);
  }
  Mix<kRows>({begin, keys, tile.values, scratch.scores + (keys.begin - pages.begin), rescale,
              state.mixed + row * state.padded_dim, args.head_dim, state.padded_dim});
}

// All rows take the keys of one span.
void TakeSpan(const AttentionTileArgs& args, const AttentionScratch& scratch,
              const AttentionState& state, int64_t begin) {
  using Function = void (*)(const AttentionTileArgs&, const AttentionScratch&,
                            const AttentionState&, const TilePages&, int64_t, int64_t);
  static constexpr Function kTakeKeys[kRowBlock] = {TakeKeys<1>, TakeKeys<2>, TakeKeys<3>,
                                                    TakeKeys<4>, TakeKeys<5>, TakeKeys<6>};
  Clear(args, state);
  const int64_t rows = RowsOf(args);
  const KeyRange all = {KeysOf(args, 0).begin, KeysOf(args, rows - 1).end};
  const KeyRange span = Intersect(all, SpanAt(begin));
  for (int64_t j = span.begin / kKeyTile * kKeyTile; j < span.end; j += kKeyTile) {
    const KeyRange keys = Intersect(all, {j, j + kKeyTile});
    const TilePages tile = ReadTile(args, j, keys, scratch.room);
    for (int64_t row = 0; row < rows; row += kRowBlock) {
      const int64_t left = rows - row, count = left < kRowBlock ? left : kRowBlock;
      kTakeKeys[count - 1](args, scratch, state, tile, row, j);
    }
  }
}

// Adds one row's sums over a later span to those over all earlier ones.
void AddSpan(const AttentionState& span, int64_t r, const AttentionState& total) {
  const float max = total.max[r] > span.max[r] ? total.max[r] : span.max[r];
  const F32x16 a = F32x16::Broadcast(Exp(total.max[r] - max));
  const F32x16 b = F32x16::Broadcast(Exp(span.max[r] - max));
  total.max[r] = max;
  float* const sums = total.sums + r * kLanes;
  MulAdd(F32x16::Load(span.sums + r * kLanes), b, F32x16::Load(sums) * a).Store(sums);
  float* const mixed = total.mixed + r * total.padded_dim;
  const float* const more = span.mixed + r * span.padded_dim;
  for (int64_t d = 0; d < total.padded_dim; d += kLanes) {
    MulAdd(F32x16::Load(more + d), b, F32x16::Load(mixed + d) * a).Store(mixed + d);
  }
}

void AddSpans(const AttentionTileArgs& args, int64_t begin, const AttentionState& span,
              const AttentionState& total) {
  const int64_t rows = RowsOf(args);
  for (int64_t r = 0; r < rows; ++r) {
    const KeyRange keys = KeysOf(args, r);
    if (Intersect(keys, SpanAt(begin)).empty()) continue;
    if (keys.begin < begin) {
      AddSpan(span, r, total);
      continue;
    }
    total.max[r] = span.max[r];
    memcpy(total.sums + r * kLanes, span.sums + r * kLanes, kLanes * sizeof(float));
    memcpy(total.mixed + r * total.padded_dim, span.mixed + r * span.padded_dim,
           total.padded_dim * sizeof(float));
  }
}

void WriteOutputs(const AttentionTileArgs& args, const AttentionState& state) {
  const int64_t rows = RowsOf(args);
  for (int64_t r = 0; r < rows; ++r) {
    state.norms[r] = 1.0f / ReduceAdd(F32x16::Load(state.sums + r * kLanes));
    const F32x16 norm = F32x16::Broadcast(state.norms[r]);
    float* const output =
        args.output + PositionOf(args, r) * args.output_stride + HeadOf(args, r) * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; d += kLanes) {
      const F32x16 mixed = F32x16::Load(state.mixed + r * state.padded_dim + d) * norm;
      const int64_t left = args.head_dim - d;
      mixed.StorePartial(output + d, left < kLanes ? left : kLanes);
    }
  }
}

// Online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867) over tiles of keys, which all rows
// take while they are near (Dao et al. 2022, arXiv 2205.14135).
void TileKernel(const AttentionTileArgs& args) {
  const AttentionScratch scratch(args);
  const AttentionState total(args, args.state), own(args, scratch.span);
  ScaleQueries(args, scratch.query);
  const int64_t first = FirstSpan(args), end = KeysOf(args, RowsOf(args) - 1).end;
  TakeSpan(args, scratch, total, first);
  for (int64_t begin = first + kKeySpan; begin < end; begin += kKeySpan) {
    TakeSpan(args, scratch, own, begin);
    AddSpans(args, begin, own, total);
  }
  WriteOutputs(args, total);
}

void SpanKernel(const AttentionTileArgs& args, int64_t begin) {
  const AttentionScratch scratch(args);
  ScaleQueries(args, scratch.query);
  TakeSpan(args, scratch, AttentionState(args, args.state), begin);
}

void MergeKernel(const AttentionTileArgs& args, float* const* states, int64_t n_states) {
  const AttentionState total(args, states[0]);
  for (int64_t i = 1; i < n_states; ++i) {
    AddSpans(args, FirstSpan(args) + i * kKeySpan, AttentionState(args, states[i]), total);
  }
  WriteOutputs(args, total);
}

// Of all tiles one after the other: row r's numbers come again each `rows`.
void FactorsKernel(const AttentionTileArgs& args) {
  const AttentionState state(args, args.state);
  const int64_t rows = RowsOf(args), count = WatchedFactors(args);
  float max[kMaxTileRows + kLanes], norms[kMaxTileRows + kLanes];
  memcpy(max, state.max, rows * sizeof(float));
  memcpy(norms, state.norms, rows * sizeof(float));
  for (int64_t i = rows; i < rows + kLanes; ++i) {
    max[i] = max[i - rows];
    norms[i] = norms[i - rows];
  }
  // No subnormal numbers, which take long to make and to multiply by: none at all of tiles that a
  // row does not see, which are half of them.
  const F32x16 least = F32x16::Broadcast(1.17549435e-38f), zero = F32x16::Broadcast(0.0f);
  const int64_t step = kLanes % rows;
  for (int64_t i = 0, r = 0; i < count;
       i += kLanes, r = r + step < rows ? r + step : r + step - rows) {
    float* const factors = args.tile_max + i;
    const F32x16 below = F32x16::Load(factors) - F32x16::Load(max + r);
    Max(least, Exp(Min(below, zero)) * F32x16::Load(norms + r)).Store(factors);
  }
}

void WeightsKernel(const AttentionTileArgs& args, int64_t r) {
  const KeyRange pages = WholePages(KeysOf(args, r));
  for (int64_t t = pages.begin / kKeyTile; t * kKeyTile < pages.end; ++t) {
    const KeyRange own = Intersect(pages, {t * kKeyTile, (t + 1) * kKeyTile});
    const F32x16 factor = F32x16::Broadcast(args.tile_max[t * RowsOf(args) + r]);
    for (int64_t j = own.begin; j < own.end; j += kLanes) {
      float* const weights = args.weights[r] + j;
      (F32x16::Load(weights) * factor).Store(weights);
    }
  }
}

constexpr AttentionKernels kAttentionKernels = {TileKernel,    SpanKernel,    MergeKernel,
                                                FactorsKernel, WeightsKernel, StoreKernel};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ATTENTION_TILE_IMPL_H_
