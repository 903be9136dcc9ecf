#include "model/transformer/batch.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "model/base/finite.h"

namespace heed {
namespace {

// Tells a slice's observer about the watched rows of one layer.
class LayerSink : public AttentionRowSink {
 public:
  LayerSink(ForwardObserver* observer, int layer) : observer_(observer), layer_(layer) {}
  absl::Span<float> RoomFor(int head, int64_t query) override {
    return observer_->RoomForAttentionRow(layer_, head, query);
  }
  void OnRows(absl::Span<const WatchedRow> rows) override {
    observer_->OnAttentionRows(layer_, rows);
  }

 private:
  ForwardObserver* observer_;
  int layer_;
};

// A slice's editor at one layer.
class LayerEditor : public AttentionRowEditor {
 public:
  LayerEditor(const ForwardEditor* editor, int layer) : editor_(editor), layer_(layer) {}
  bool Edits(int head, int64_t query) const override {
    return editor_->EditsRow(layer_, head, query);
  }
  AttentionMask MaskOf(int head, int64_t query) const override {
    return editor_->MaskOf(layer_, head, query);
  }
  std::optional<float> ScoreFactor(int head, int64_t query) const override {
    return editor_->ScoreFactor(layer_, head, query);
  }
  void EditScores(int head, int64_t query, absl::Span<float> scores) const override {
    editor_->EditScores(layer_, head, query, scores);
  }
  void EditWeights(int head, int64_t query, absl::Span<float> weights) const override {
    editor_->EditWeights(layer_, head, query, weights);
  }

 private:
  const ForwardEditor* editor_;
  int layer_;
};

void MoveRows(MatrixRef matrix, int64_t from, int64_t to, int64_t count) {
  std::memmove(matrix.Row(to).data(), matrix.Row(from).data(), count * matrix.cols * sizeof(float));
}

void CopyRow(ConstMatrixRef from, int64_t row, MatrixRef to, int64_t to_row) {
  std::copy_n(from.Row(row).data(), from.cols, to.Row(to_row).data());
}

bool IsEdited(const LiveSlice& live, Site site, int layer) {
  return live.editor() != nullptr && live.editor()->EditsSite(site, layer);
}

bool IsObserved(const LiveSlice& live, Site site, int layer) {
  return live.observer() != nullptr && live.observer()->WantSite(site, layer);
}

// Of the rows before `count`, the first of slice `live` in x that is not finite; -1: none is.
int64_t FirstNonfinite(const LiveSlice& live, ConstMatrixRef x, int64_t count) {
  for (int64_t row = 0; row < count; ++row) {
    if (!AllFinite(x.Row(live.row + row))) return live.first + row;
  }
  return -1;
}

// Of a slice's rows, the first that is read after the last layer's attention.
int64_t FirstRead(const LiveSlice& live, int last_layer) {
  const auto& logits_rows = live.slice->logits_rows;
  int64_t first = logits_rows.empty() ? live.rows() : logits_rows.front() - live.first;
  for (const auto& [site, layer] :
       {std::pair(Site::kAttentionOut, last_layer), std::pair(Site::kResidualMid, last_layer),
        std::pair(Site::kMlpOut, last_layer), std::pair(Site::kResidual, last_layer + 1)}) {
    if (IsEdited(live, site, layer)) return 0;
    if (!IsObserved(live, site, layer)) continue;
    first =
        std::min(first, live.observer()->FirstPositionBehindAttention() - live.first_position());
  }
  if (ForwardObserver* const observer = live.observer()) {
    const int64_t begin = live.first_position();
    const auto wanted = observer->WantHiddenStates(begin, begin + live.rows());
    if (!wanted.empty()) first = std::min(first, wanted.front() - begin);
  }
  return std::max<int64_t>(first, 0);
}

}  // namespace

absl::Status LiveBatch::Start(absl::Span<SequenceSlice> batch, MatrixRef logits) {
  int64_t logits_row = 0;
  live_.clear();
  n_tokens_ = 0;
  first_layer_ = batch.empty() ? 0 : batch.front().first_layer;
  for (SequenceSlice& slice : batch) {
    slice.stopped = false;
    slice.nonfinite_row = -1;
    live_.push_back({&slice, n_tokens_, logits_row});
    n_tokens_ += static_cast<int64_t>(slice.tokens.size());
    logits_row += static_cast<int64_t>(slice.logits_rows.size());
    if (slice.cache->size() + static_cast<int64_t>(slice.tokens.size()) > slice.cache->capacity()) {
      return absl::InternalError("Forward was called without room in the KV cache");
    }
    if (slice.first_layer != first_layer_) {
      return absl::InternalError("Forward was given slices that start at different layers");
    }
  }
  if (logits_row == logits.rows) return absl::OkStatus();
  return absl::InternalError("Forward was given a logits matrix of the wrong height");
}

void LiveBatch::DropStopped(absl::Span<const MatrixRef> kept) {
  size_t n_live = 0;
  int64_t row = 0;
  for (LiveSlice live : live_) {
    live.slice->stopped = live.slice->stop != nullptr && live.slice->stop->ShouldStop();
    if (live.slice->stopped) continue;
    if (row != live.row) {
      for (MatrixRef matrix : kept) MoveRows(matrix, live.row, row, live.rows());
    }
    live.row = row;
    row += live.rows();
    live_[n_live++] = live;
  }
  live_.resize(n_live);
  n_tokens_ = row;
}

void LiveBatch::DropUnread(int last_layer, ConstMatrixRef x, absl::Span<const MatrixRef> kept) {
  int64_t row = 0;
  for (LiveSlice& live : live_) {
    const int64_t unread = FirstRead(live, last_layer), left = live.rows() - unread;
    live.slice->nonfinite_row = FirstNonfinite(live, x, unread);
    if (row != live.row + unread) {
      for (MatrixRef matrix : kept) MoveRows(matrix, live.row + unread, row, left);
    }
    live.first += unread;
    live.row = row;
    row += left;
  }
  n_tokens_ = row;
}

void LiveBatch::Attend(const Backend& backend, const AttentionShape& shape, int layer,
                       const AttentionInputs& inputs, MatrixRef mixed) {
  std::vector<LayerSink> sinks;
  std::vector<LayerEditor> editors;
  const auto planned = [](const LiveSlice& live) { return live.slice->plan != nullptr; };
  const auto plans = std::count_if(live_.begin(), live_.end(), planned);
  sinks.reserve(plans);
  editors.reserve(plans);
  if (pages_.size() < live_.size()) pages_.resize(live_.size());
  attention_.clear();
  for (size_t i = 0; i < live_.size(); ++i) {
    const LiveSlice& live = live_[i];
    const int64_t row = live.row, rows = live.rows(), first = live.first_position();
    const KvPages pages = live.slice->cache->LayerPages(layer, &pages_[i]);
    backend.StoreKeysValues(inputs.keys.Rows(row, rows), inputs.values.Rows(row, rows),
                            shape.head_dim, first, pages);
    AttentionSlice slice{
        inputs.queries.Rows(row, rows), mixed.Rows(row, rows), pages, first, {}, nullptr};
    if (ForwardObserver* const observer = live.observer()) {
      slice.watched = observer->WantAttention(layer, first, first + rows);
      slice.sink = &sinks.emplace_back(observer, layer);
    }
    if (ForwardEditor* const editor = live.editor()) {
      slice.edited = editor->EditedAttention(layer, first, first + rows);
      slice.editor = &editors.emplace_back(editor, layer);
    }
    attention_.push_back(slice);
  }
  backend.Attend(shape, attention_);
}

void LiveBatch::Visit(Site site, int layer, MatrixRef rows,
                      absl::FunctionRef<void(MatrixRef rows)> settle) const {
  for (const LiveSlice& live : live_) {
    if (live.slice->plan == nullptr) continue;
    const MatrixRef own = rows.Rows(live.row, live.rows());
    if (IsEdited(live, site, layer)) {
      live.editor()->EditSite(site, layer, live.first_position(), own);
    }
    if (IsObserved(live, site, layer)) {
      settle(own);
      live.observer()->OnSite(site, layer, live.first_position(), own);
    }
  }
}

bool LiveBatch::IsVisited(Site site, int layer) const {
  return std::any_of(live_.begin(), live_.end(), [&](const LiveSlice& live) {
    return live.slice->plan != nullptr &&
           (IsEdited(live, site, layer) || IsObserved(live, site, layer));
  });
}

void LiveBatch::FindNonfinite(ConstMatrixRef x) const {
  for (const LiveSlice& live : live_) {
    if (live.slice->nonfinite_row >= 0) continue;
    live.slice->nonfinite_row = FirstNonfinite(live, x, live.rows());
  }
}

void LiveBatch::ReportHiddenStates(ConstMatrixRef x, MatrixRef scratch,
                                   absl::FunctionRef<void(MatrixRef rows)> finish) const {
  for (const LiveSlice& live : live_) {
    ForwardObserver* const observer = live.observer();
    if (observer == nullptr) continue;
    const int64_t first = live.first_position();
    const absl::Span<const int64_t> wanted = observer->WantHiddenStates(first, first + live.rows());
    if (wanted.empty()) continue;
    const MatrixRef rows = scratch.Rows(0, static_cast<int64_t>(wanted.size()));
    for (int64_t i = 0; i < rows.rows; ++i) CopyRow(x, live.row + wanted[i] - first, rows, i);
    finish(rows);
    for (int64_t i = 0; i < rows.rows; ++i) observer->OnHiddenState(wanted[i], rows.Row(i));
  }
}

void LiveBatch::Unembed(ConstMatrixRef x, MatrixRef scratch, MatrixRef logits,
                        absl::FunctionRef<void(MatrixRef rows, MatrixRef logits)> unembed) const {
  int64_t next = 0;
  for (size_t i = 0; i < live_.size();) {
    const int64_t first_row = next, first_logits = live_[i].logits_row;
    do {  // neighbours in the caller's matrix
      for (int64_t row : live_[i].slice->logits_rows)
        CopyRow(x, live_[i].row + row - live_[i].first, scratch, next++);
      ++i;
    } while (i < live_.size() && live_[i].logits_row == first_logits + next - first_row);
    const int64_t count = next - first_row;
    if (count > 0) unembed(scratch.Rows(first_row, count), logits.Rows(first_logits, count));
  }
}

void LiveBatch::Commit() const {
  for (const LiveSlice& live : live_) live.slice->cache->Commit(live.tokens());
}

}  // namespace heed
