// Smaller forms of attention rows. All take rows as they come, in any order, each by one thread.
#ifndef HEED_MODEL_INSPECT_ATTENTION_REDUCE_H_
#define HEED_MODEL_INSPECT_ATTENTION_REDUCE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace heed {

// The weights of a row that are at least a threshold, ascending keys, and the mass of the others.
struct SparseRow {
  std::vector<int32_t> keys;
  std::vector<float> weights;
  float dropped_mass = 0;
};
SparseRow KeepFrom(absl::Span<const float> row, float min_weight);

// Consecutive keys [begin, end).
struct KeySpan {
  int64_t begin = 0;
  int64_t end = 0;
};
// The row's sums over the spans, added in double precision.
void SumSpans(absl::Span<const float> row, absl::Span<const KeySpan> spans, absl::Span<float> sums);

// A map of n_queries rows of n_keys shrunk to at most [rows, columns] blocks. Block r of n covers
// the rows [r * n_queries / n, (r + 1) * n_queries / n), and so for the keys.
class PooledMap {
 public:
  enum class Reduction { kMax, kMean };
  PooledMap(int64_t n_queries, int64_t n_keys, int64_t rows, int64_t columns, Reduction reduction);

  // The `index`th of the queries. Different ones at the same time.
  void AddRow(int64_t index, absl::Span<const float> row);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  // The index of the first query of a block of rows.
  int64_t FirstQuery(int64_t row) const { return row * n_queries_ / rows_; }
  // [rows, columns], once every query has come.
  std::vector<float> Grid() const;

 private:
  const int64_t n_queries_, n_keys_;
  const int64_t rows_, columns_;
  const Reduction reduction_;
  // Maxima or means by query, so that sums do not depend on the order in which rows come.
  std::vector<float> by_query_;  // [n_queries, columns]
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ATTENTION_REDUCE_H_
