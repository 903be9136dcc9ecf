#include "model/inspect/attention_reduce.h"

#include <algorithm>

namespace heed {

SparseRow KeepFrom(absl::Span<const float> row, float min_weight) {
  SparseRow kept;
  double dropped = 0;
  for (size_t key = 0; key < row.size(); ++key) {
    if (row[key] >= min_weight) {
      kept.keys.push_back(static_cast<int32_t>(key));
      kept.weights.push_back(row[key]);
    } else {
      dropped += row[key];
    }
  }
  kept.dropped_mass = static_cast<float>(dropped);
  return kept;
}

void SumSpans(absl::Span<const float> row, absl::Span<const KeySpan> spans,
              absl::Span<float> sums) {
  for (size_t i = 0; i < spans.size(); ++i) {
    double sum = 0;
    for (int64_t key = spans[i].begin; key < spans[i].end; ++key) sum += row[key];
    sums[i] = static_cast<float>(sum);
  }
}

PooledMap::PooledMap(int64_t n_queries, int64_t n_keys, int64_t rows, int64_t columns,
                     Reduction reduction)
    : n_queries_(n_queries),
      n_keys_(n_keys),
      rows_(std::min(rows, n_queries)),
      columns_(std::min(columns, n_keys)),
      reduction_(reduction),
      by_query_(n_queries * columns_) {}

void PooledMap::AddRow(int64_t index, absl::Span<const float> row) {
  for (int64_t c = 0; c < columns_; ++c) {
    const auto block =
        row.subspan(c * n_keys_ / columns_, (c + 1) * n_keys_ / columns_ - c * n_keys_ / columns_);
    double sum = 0;
    for (float value : block) sum += value;
    by_query_[index * columns_ + c] = reduction_ == Reduction::kMax
                                          ? *std::max_element(block.begin(), block.end())
                                          : static_cast<float>(sum / block.size());
  }
}

std::vector<float> PooledMap::Grid() const {
  std::vector<float> grid(rows_ * columns_);
  for (int64_t r = 0; r < rows_; ++r) {
    const int64_t begin = FirstQuery(r), end = FirstQuery(r + 1);
    for (int64_t c = 0; c < columns_; ++c) {
      float max = by_query_[begin * columns_ + c];
      double sum = 0;
      for (int64_t q = begin; q < end; ++q) {
        max = std::max(max, by_query_[q * columns_ + c]);
        sum += by_query_[q * columns_ + c];
      }
      grid[r * columns_ + c] =
          reduction_ == Reduction::kMax ? max : static_cast<float>(sum / (end - begin));
    }
  }
  return grid;
}

}  // namespace heed
