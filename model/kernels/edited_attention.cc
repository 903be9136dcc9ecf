#include "model/kernels/edited_attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct EditedRow {
  const AttentionSlice* slice;
  int head;
  int64_t query;
};

std::vector<EditedRow> EditedRows(absl::Span<const AttentionSlice> slices) {
  std::vector<EditedRow> rows;
  for (const AttentionSlice& slice : slices) {
    for (int head : slice.edited.heads) {
      for (int64_t query : slice.edited.queries) {
        if (slice.editor->Edits(head, query)) rows.push_back({&slice, head, query});
      }
    }
  }
  return rows;
}

bool Contains(const AttentionRows& rows, int head, int64_t query) {
  return std::binary_search(rows.heads.begin(), rows.heads.end(), head) &&
         std::binary_search(rows.queries.begin(), rows.queries.end(), query);
}

// Scores become their softmax. Where all are -inf, as when every edge is cut, all weights are 0;
// where some are inf, these share equally.
void Softmax(absl::Span<float> scores) {
  const float max = *std::max_element(scores.begin(), scores.end());
  if (max == kNothing) {
    std::fill(scores.begin(), scores.end(), 0.0f);
    return;
  }
  double sum = 0;
  for (float& score : scores) {
    score = score == max ? 1.0f : std::exp(score - max);
    sum += score;
  }
  for (float& score : scores) score = static_cast<float>(score / sum);
}

// One row against one head's keys and values.
class RowAttention {
 public:
  RowAttention(const AttentionShape& shape, const EditedRow& row)
      : shape_(shape),
        row_(row),
        keys_(KeysOfRow(shape, row.slice->editor->MaskOf(row.head, row.query), row.query,
                        row.slice->first_position + row.slice->query.rows)) {
    const int64_t kv_head = row.head / (shape.n_heads / shape.n_kv_heads);
    const int64_t head_floats = shape.head_dim * kPageTokens;
    key_offset_ = kv_head * head_floats;
    value_offset_ = (shape.n_kv_heads + kv_head) * head_floats;
  }

  void Run() const {
    thread_local AlignedBuffer scratch;
    scratch.Grow(PageEnd(keys_.reported));
    const absl::Span<float> weights(scratch.data(), static_cast<size_t>(keys_.reported));
    Score(scratch.data());
    std::fill_n(weights.begin(), keys_.begin, kNothing);
    std::fill(weights.begin() + keys_.end, weights.end(), kNothing);
    const AttentionSlice& slice = *row_.slice;
    slice.editor->EditScores(row_.head, row_.query, weights);
    Softmax(weights);
    slice.editor->EditWeights(row_.head, row_.query, weights);
    Mix(weights);
    if (Contains(slice.watched, row_.head, row_.query)) {
      slice.sink->OnRow(row_.head, row_.query, weights);
    }
  }

 private:
  static int64_t PageEnd(int64_t keys) {
    return (keys + kPageTokens - 1) / kPageTokens * kPageTokens;
  }
  int64_t RowOffset() const { return int64_t{row_.head} * shape_.head_dim; }
  int64_t SliceRow() const { return row_.query - row_.slice->first_position; }

  // Scores of whole pages, so that the inner loop is over the lanes of a vector.
  void Score(float* scores) const {
    const float* const query = row_.slice->query.Row(SliceRow()).data() + RowOffset();
    const float slope = shape_.slopes.empty() ? 0.0f : shape_.slopes[row_.head];
    for (int64_t j = keys_.begin / kPageTokens * kPageTokens; j < keys_.end; j += kPageTokens) {
      const float* keys = row_.slice->pages[j / kPageTokens] + key_offset_;
      float sum[kPageTokens] = {};
      for (int64_t d = 0; d < shape_.head_dim; ++d, keys += kPageTokens) {
        for (int64_t lane = 0; lane < kPageTokens; ++lane) sum[lane] += query[d] * keys[lane];
      }
      for (int64_t lane = 0; lane < kPageTokens; ++lane) {
        float score = sum[lane] * shape_.scale;
        if (shape_.soft_cap != 0) score = shape_.soft_cap * std::tanh(score / shape_.soft_cap);
        if (slope != 0) score -= static_cast<float>(SlopeOver(slope, row_.query - j - lane));
        scores[j + lane] = score;
      }
    }
  }

  // Keys of weight 0 add nothing, whatever their values.
  void Mix(absl::Span<const float> weights) const {
    float* const output = row_.slice->output.Row(SliceRow()).data() + RowOffset();
    std::fill_n(output, shape_.head_dim, 0.0f);
    for (int64_t j = keys_.begin; j < keys_.end; ++j) {
      const float weight = weights[j];
      if (weight == 0) continue;
      const float* const value =
          row_.slice->pages[j / kPageTokens] + value_offset_ + j % kPageTokens * shape_.head_dim;
      for (int64_t d = 0; d < shape_.head_dim; ++d) output[d] += weight * value[d];
    }
  }

  const AttentionShape& shape_;
  const EditedRow& row_;
  const RowKeys keys_;
  int64_t key_offset_, value_offset_;
};

}  // namespace

bool IsEdited(const AttentionSlice& slice, int head, int64_t query) {
  return !slice.edited.empty() && Contains(slice.edited, head, query) &&
         slice.editor->Edits(head, query);
}

void AttendEdited(const AttentionShape& shape, absl::Span<const AttentionSlice> slices) {
  const std::vector<EditedRow> rows = EditedRows(slices);
  ParallelFor(static_cast<int64_t>(rows.size()), rows.size() > 16,
              [&](int64_t i) { RowAttention(shape, rows[i]).Run(); });
}

}  // namespace heed
