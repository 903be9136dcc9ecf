// The order in which a GGUF file holds the rows of a tensor, where it is not the canonical one.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_ROWS_H_
#define HEED_MODEL_CHECKPOINT_GGUF_ROWS_H_

#include <cstdint>

namespace heed {

// The file holds the rows as [groups, outer, inner, run] and canonical are [groups, inner, outer,
// run], where `run` is what divides the number of rows evenly. By default nothing moves.
struct GgufRowOrder {
  int64_t groups = 1;
  int64_t outer = 1;
  int64_t inner = 1;

  // Each head's rotary pairs side by side, for all first and then all second parts.
  static GgufRowOrder RotaryPairs(int64_t n_heads, int64_t head_dim) {
    return {n_heads, head_dim / 2, 2};
  }
  // All queries, all keys, all values, for [query | key | value] of each head in turn.
  static GgufRowOrder QueriesKeysValues(int64_t n_heads) { return {1, 3, n_heads}; }
};

// Rows that follow one another in both orders.
struct GgufRowRun {
  int64_t first = 0;  // in the file
  int64_t count = 0;
};

// Where the file has the canonical row `row` of `row_count`, a multiple of groups * outer * inner,
// and how many canonical rows from there on follow it.
GgufRowRun FindRows(const GgufRowOrder& order, int64_t row_count, int64_t row);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_ROWS_H_
