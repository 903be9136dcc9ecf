#include "model/kernels/edited_attention.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/base/ascending.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct EditedRow {
  const AttentionSlice* slice;
  int head;
  int64_t query;
};

// Those without a factor.
std::vector<EditedRow> EditedRows(const AttentionShape& shape,
                                  absl::Span<const AttentionSlice> slices) {
  std::vector<EditedRow> rows;
  for (const AttentionSlice& slice : slices) {
    for (int head : slice.edited.heads) {
      for (int64_t query : slice.edited.queries) {
        if (!FactorOf(shape, slice, head, query)) rows.push_back({&slice, head, query});
      }
    }
  }
  return rows;
}

bool Contains(const AttentionRows& rows, int head, int64_t query) {
  return FindAscending(rows.heads, head) >= 0 && FindAscending(rows.queries, query) >= 0;
}

// The largest of at least one score, in parts that a compiler makes vectors of.
float Largest(absl::Span<const float> scores) {
  constexpr size_t kParts = 16;
  float max[kParts];
  std::fill_n(max, kParts, scores.front());
  size_t i = 0;
  for (; i + kParts <= scores.size(); i += kParts) {
    for (size_t k = 0; k < kParts; ++k) max[k] = scores[i + k] > max[k] ? scores[i + k] : max[k];
  }
  for (; i < scores.size(); ++i) max[0] = scores[i] > max[0] ? scores[i] : max[0];
  return *std::max_element(max, max + kParts);
}

// Scores become their softmax. Where all are -inf, as when every edge is cut, all weights are 0;
// where some are inf, these share equally.
void Softmax(const RowKernels& kernels, absl::Span<float> scores) {
  const float max = Largest(scores);
  if (std::isinf(max)) {
    const bool any = max > 0;
    const auto share = [&](float score) { return any && score == max ? 1.0f : 0.0f; };
    std::transform(scores.begin(), scores.end(), scores.begin(), share);
    const float count = std::accumulate(scores.begin(), scores.end(), 0.0f);
    for (float& score : scores) score /= std::max(count, 1.0f);
    return;
  }
  const float sum = kernels.exponentials(scores.data(), static_cast<int64_t>(scores.size()), max);
  for (float& score : scores) score /= sum;
}

// One row against one head's keys and values.
class RowAttention {
 public:
  RowAttention(const RowKernels& kernels, const AttentionShape& shape, const EditedRow& row)
      : kernels_(kernels),
        shape_(shape),
        row_(row),
        keys_(KeysOfRow(shape, row.slice->editor->MaskOf(row.head, row.query), row.query,
                        row.slice->first_position + row.slice->query.rows)) {
    const int64_t kv_head = row.head / (shape.n_heads / shape.n_kv_heads);
    const KvPages& kept = row.slice->pages;
    head_ = {kept.pages.data(), kept.type,
             PlaceOfKvHead(kept.type, shape.n_kv_heads, shape.head_dim, kv_head), shape.head_dim,
             nullptr};
  }

  void Run() {
    thread_local AlignedBuffer scratch;
    scratch.Grow(PageEnd(keys_.reported) + RowRoomFloats(shape_.head_dim));
    head_.room = scratch.data() + PageEnd(keys_.reported);
    const absl::Span<float> weights(scratch.data(), static_cast<size_t>(keys_.reported));
    Score(scratch.data());
    std::fill_n(weights.begin(), keys_.begin, kNothing);
    std::fill(weights.begin() + keys_.end, weights.end(), kNothing);
    const AttentionSlice& slice = *row_.slice;
    slice.editor->EditScores(row_.head, row_.query, weights);
    Softmax(kernels_, weights);
    slice.editor->EditWeights(row_.head, row_.query, weights);
    kernels_.mix(head_, weights.data(), keys_.begin, keys_.end,
                 slice.output.Row(SliceRow()).data() + RowOffset());
    if (Contains(slice.watched, row_.head, row_.query)) {
      const WatchedRow watched{row_.head, row_.query, weights};
      slice.sink->OnRows({&watched, 1});
    }
  }

 private:
  static int64_t PageEnd(int64_t keys) {
    return (keys + kPageTokens - 1) / kPageTokens * kPageTokens;
  }
  int64_t RowOffset() const { return int64_t{row_.head} * shape_.head_dim; }
  int64_t SliceRow() const { return row_.query - row_.slice->first_position; }

  // Of whole pages: some before and behind what the row sees come along.
  void Score(float* scores) const {
    kernels_.score(head_, row_.slice->query.Row(SliceRow()).data() + RowOffset(), shape_.scale,
                   keys_.begin / kPageTokens, PageEnd(keys_.end) / kPageTokens, scores);
    const float slope = shape_.slopes.empty() ? 0.0f : shape_.slopes[row_.head];
    if (shape_.soft_cap == 0 && slope == 0) return;
    for (int64_t j = keys_.begin; j < keys_.end; ++j) {
      float& score = scores[j];
      if (shape_.soft_cap != 0) score = shape_.soft_cap * std::tanh(score / shape_.soft_cap);
      if (slope != 0) score -= static_cast<float>(SlopeOver(slope, row_.query - j));
    }
  }

  const RowKernels& kernels_;
  const AttentionShape& shape_;
  const EditedRow& row_;
  const RowKeys keys_;
  RowPages head_;
};

}  // namespace

bool IsEdited(const AttentionSlice& slice, int head, int64_t query) {
  return !slice.edited.empty() && Contains(slice.edited, head, query) &&
         slice.editor->Edits(head, query);
}

std::optional<float> FactorOf(const AttentionShape& shape, const AttentionSlice& slice, int head,
                              int64_t query) {
  if (!IsEdited(slice, head, query)) return 1.0f;
  if (shape.soft_cap != 0 || !shape.slopes.empty()) return std::nullopt;
  return slice.editor->ScoreFactor(head, query);
}

void AttendEdited(const RowKernels& kernels, const AttentionShape& shape,
                  absl::Span<const AttentionSlice> slices) {
  const std::vector<EditedRow> rows = EditedRows(shape, slices);
  ParallelFor(static_cast<int64_t>(rows.size()), rows.size() > 16,
              [&](int64_t i) { RowAttention(kernels, shape, rows[i]).Run(); });
}

}  // namespace heed
