#include "model/inspect/intervene.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/finite.h"
#include "model/base/status_macros.h"
#include "model/inspect/prediction.h"
#include "model/transformer/model_parts.h"

namespace heed {
namespace {

// Rows whose logits are made at once.
constexpr int64_t kUnembedRows = 64;

// Only models with feed-forward halves can start at a later layer (SequenceSlice::first_layer).
bool CanResume(const ModelConfig& config) {
  return config.ffn_width > 0;
}

// Tells another sink about cells under other numbers.
class RenumberedSink : public CellSink {
 public:
  RenumberedSink(const std::vector<int64_t>& numbers, CellSink& sink)
      : numbers_(numbers), sink_(sink) {}
  void OnLogits(int64_t cell, int64_t position, absl::Span<const float> logits) override {
    sink_.OnLogits(numbers_[cell], position, logits);
  }
  void OnCell(int64_t cell, const CellResult& result) override {
    sink_.OnCell(numbers_[cell], result);
  }

 private:
  const std::vector<int64_t>& numbers_;
  CellSink& sink_;
};

}  // namespace

// Keeps the final stream of some positions.
class EditedRuns::FinalRows : public ForwardObserver {
 public:
  FinalRows(const ModelConfig& config, const std::vector<int64_t>& positions, int64_t first)
      : last_layer_(config.n_layers), width_(config.width) {
    std::copy_if(positions.begin(), positions.end(), std::back_inserter(positions_),
                 [first](int64_t position) { return position >= first; });
    rows_.resize(positions_.size() * width_);
  }

  AttentionRows WantAttention(int, int64_t, int64_t) override { return {}; }
  void OnAttentionRow(int, int, int64_t, absl::Span<const float>) override {}
  bool WantSite(Site site, int layer) override {
    return site == Site::kResidual && layer == last_layer_;
  }
  int64_t FirstPositionBehindAttention() const override {
    return positions_.empty() ? std::numeric_limits<int64_t>::max() : positions_.front();
  }
  void OnSite(Site, int, int64_t first_position, ConstMatrixRef rows) override {
    for (size_t i = 0; i < positions_.size(); ++i) {
      const absl::Span<const float> row = rows.Row(positions_[i] - first_position);
      std::copy(row.begin(), row.end(), rows_.begin() + i * width_);
    }
  }

  // Empty for a position that the run did not compute.
  absl::Span<const float> Row(int64_t position) const {
    const auto at = std::lower_bound(positions_.begin(), positions_.end(), position);
    if (at == positions_.end() || *at != position) return {};
    return absl::MakeConstSpan(rows_).subspan((at - positions_.begin()) * width_, width_);
  }

 private:
  const int last_layer_;
  const int64_t width_;
  std::vector<int64_t> positions_;
  std::vector<float> rows_;  // [positions, width]
};

absl::StatusOr<EditedCell> MakeCell(const Trace& base, absl::Span<const Intervention> interventions,
                                    const ModelConfig& config, absl::string_view field) {
  const auto* const edits = dynamic_cast<const InterventionSet*>(base.editor());
  if (base.editor() != nullptr && edits == nullptr) {
    return absl::InternalError("a trace was edited by what is no set of interventions");
  }
  return InterventionSet::Create(interventions, config, {.prompt_tokens = base.size()}, field,
                                 edits);
}

EditedRuns::EditedRuns(const LanguageModel* model, KvPool* pool, std::shared_ptr<const Trace> base,
                       MetricReader metrics, const StopSignal* stop, EditedRunsOptions options)
    : model_(*model),
      pool_(pool),
      base_(std::move(base)),
      final_stream_(base_->SiteRows(Site::kResidual, model_.config().n_layers)),
      metrics_(std::move(metrics)),
      stop_(stop),
      options_(options) {}

absl::Status EditedRuns::ReadBase(CellSink* sink) {
  absl::Status status;
  std::vector<FinalRow> rows;
  AppendFinalRows(-1, nullptr, &rows);
  base_values_.assign(metrics_.size(), 0);
  ReadLogits(rows, [&](const FinalRow& row, absl::Span<const float> logits) {
    if (!status.ok()) return;
    if (!AllFinite(logits)) {
      status = NonfiniteLogits(absl::StatusCode::kFailedPrecondition, "the base's", row.position);
      return;
    }
    metrics_.SetBase(row.position, logits);
    metrics_.Read(row.position, logits, absl::MakeSpan(base_values_));
    if (sink != nullptr) sink->OnLogits(-1, row.position, logits);
  });
  return status;
}

// The stream of a layer whose entry the base edits holds that edit already, and would be edited
// again.
EditedRuns::Start EditedRuns::StartOf(const EditedCell& cell) const {
  if (!cell->differs()) return {config().n_layers, size()};
  const ForwardEditor* const editor = base_->editor();
  const auto can_start = [&](int layer) {
    if (editor != nullptr && editor->EditsSite(Site::kResidual, layer)) return false;
    return CanResume(config()) && base_->Has(Site::kResidual, layer);
  };
  int layer = std::min(cell->first_layer(), config().n_layers);
  while (layer > 0 && !can_start(layer)) --layer;
  return {layer, cell->first_position()};
}

int64_t EditedRuns::CountTogether(absl::Span<const EditedCell> cells) const {
  if (!cells.front()->differs()) return 1;
  const int layer = StartOf(cells.front()).layer;
  int64_t count = 0, rows = 0;
  for (const EditedCell& cell : cells) {
    if (!cell->differs()) break;
    const Start start = StartOf(cell);
    rows += size() - start.position;
    if (count > 0 && (start.layer != layer || rows > options_.max_batch_tokens)) break;
    ++count;
  }
  return count;
}

// As many as the pool has room for.
std::vector<std::unique_ptr<KvCache>> EditedRuns::MakeCaches(absl::Span<const EditedCell> cells,
                                                             absl::Status* status) const {
  std::vector<std::unique_ptr<KvCache>> caches;
  for (const EditedCell& cell : cells) {
    auto cache = std::make_unique<KvCache>(pool_);
    *status = cache->Reserve(size());
    if (!status->ok()) break;
    FillCache(StartOf(cell), cache.get());
    caches.push_back(std::move(cache));
  }
  return caches;
}

// With what the base computed of the positions before the start, in the layers that read it.
void EditedRuns::FillCache(const Start& start, KvCache* cache) const {
  if (start.position == 0) return;
  std::vector<char*> room;
  for (int layer = start.layer; layer < config().n_layers; ++layer) {
    const KvPages pages = cache->LayerPages(layer, &room);
    model_.parts().backend->StoreKeysValues(
        base_->SiteRows(Site::kKey, layer).Rows(0, start.position),
        base_->SiteRows(Site::kValue, layer).Rows(0, start.position), config().head_dim,
        /*first_position=*/0, pages);
  }
  cache->Commit(start.position);
}

absl::Status EditedRuns::Forward(absl::Span<const EditedCell> cells,
                                 absl::Span<ForwardObserver* const> observers,
                                 absl::Span<const std::unique_ptr<KvCache>> caches,
                                 Workspace* workspace) {
  std::vector<ForwardPlan> plans(cells.size());
  std::vector<SequenceSlice> slices(cells.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    const Start start = StartOf(cells[i]);
    plans[i] = {observers[i], cells[i].get()};
    SequenceSlice& slice = slices[i];
    slice.tokens = absl::MakeConstSpan(base_->tokens()).subspan(start.position);
    slice.cache = caches[i].get();
    slice.plan = &plans[i];
    slice.stop = stop_;
    slice.prompt_tokens = base_->prompt_tokens();
    slice.first_layer = start.layer;
    if (start.layer == 0) continue;
    slice.residual =
        base_->SiteRows(Site::kResidual, start.layer).Rows(start.position, size() - start.position);
  }
  HEED_RETURN_IF_ERROR(model_.Forward(absl::MakeSpan(slices), MatrixRef(), workspace));
  return CheckStop(stop_);
}

void EditedRuns::AppendFinalRows(int64_t cell, const FinalRows* own,
                                 std::vector<FinalRow>* rows) const {
  for (int64_t position : metrics_.positions()) {
    absl::Span<const float> stream =
        own == nullptr ? absl::Span<const float>() : own->Row(position);
    if (stream.empty()) stream = final_stream_.Row(position);
    rows->push_back({cell, position, stream});
  }
}

void EditedRuns::ReadLogits(absl::Span<const FinalRow> rows,
                            absl::FunctionRef<void(const FinalRow&, absl::Span<const float>)> fn) {
  const int64_t n = static_cast<int64_t>(rows.size());
  const int64_t most = std::min(n, kUnembedRows);
  stream_.Grow(most * config().width);
  logits_.Grow(most * config().vocab_size);
  for (int64_t begin = 0; begin < n; begin += most) {
    const int64_t count = std::min(most, n - begin);
    const MatrixRef x(stream_.data(), count, config().width);
    const MatrixRef logits(logits_.data(), count, config().vocab_size);
    for (int64_t i = 0; i < count; ++i) {
      std::copy(rows[begin + i].stream.begin(), rows[begin + i].stream.end(), x.Row(i).begin());
    }
    Unembed(model_.parts(), x, logits, scratch_);
    for (int64_t i = 0; i < count; ++i) fn(rows[begin + i], logits.Row(i));
  }
}

void EditedRuns::ReadCells(absl::Span<const EditedCell> cells, int64_t first_cell,
                           absl::Span<const FinalRow> rows, CellSink& sink) {
  const int64_t last_position = metrics_.positions().back();
  CellResult result;
  ReadLogits(rows, [&](const FinalRow& row, absl::Span<const float> logits) {
    if (row.position == metrics_.positions().front()) {
      result = {.values = std::vector<double>(metrics_.size())};
      result.counterfactual_mask = cells[row.cell]->counterfactual_mask();
    }
    const int64_t cell = first_cell + row.cell;
    if (result.status.ok() && !AllFinite(logits)) {
      result.status =
          NonfiniteLogits(absl::StatusCode::kInvalidArgument, "the edited run's", row.position);
      result.values.clear();
    }
    if (result.status.ok()) {
      metrics_.Read(row.position, logits, absl::MakeSpan(result.values));
      sink.OnLogits(cell, row.position, logits);
    }
    if (row.position != last_position) return;
    for (size_t i = 0; i < result.values.size(); ++i) {
      result.deltas.push_back(result.values[i] - base_values_[i]);
    }
    sink.OnCell(cell, result);
  });
}

absl::StatusOr<int64_t> EditedRuns::RunNext(absl::Span<const EditedCell> cells, int64_t first_cell,
                                            Workspace* workspace, CellSink& sink) {
  HEED_RETURN_IF_ERROR(CheckStop(stop_));
  std::vector<FinalRow> rows;
  if (!cells.front()->differs()) {
    AppendFinalRows(0, nullptr, &rows);
    ReadCells(cells, first_cell, rows, sink);
    return 1;
  }
  absl::Status status;
  const auto caches = MakeCaches(cells.subspan(0, CountTogether(cells)), &status);
  if (caches.empty()) return status;
  const absl::Span<const EditedCell> batch = cells.subspan(0, caches.size());
  std::vector<FinalRows> final_rows;
  for (const EditedCell& cell : batch) {
    final_rows.emplace_back(config(), metrics_.positions(), StartOf(cell).position);
  }
  std::vector<ForwardObserver*> observers;
  for (FinalRows& of_cell : final_rows) observers.push_back(&of_cell);
  HEED_RETURN_IF_ERROR(Forward(batch, observers, caches, workspace));
  for (size_t i = 0; i < batch.size(); ++i) {
    AppendFinalRows(static_cast<int64_t>(i), &final_rows[i], &rows);
  }
  ReadCells(batch, first_cell, rows, sink);
  return static_cast<int64_t>(batch.size());
}

absl::StatusOr<std::shared_ptr<const Trace>> EditedRuns::RunTraced(const EditedCell& cell,
                                                                   Workspace* workspace) {
  HEED_RETURN_IF_ERROR(CheckStop(stop_));
  if (!cell->differs()) return base_;
  const Start start = StartOf(cell);
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<TraceRecorder> recorder,
                        TraceRecorder::CreateAfter(config(), *base_, start.layer, start.position));
  absl::Status status;
  const auto caches = MakeCaches({&cell, 1}, &status);
  if (caches.empty()) return status;
  ForwardObserver* const observer = recorder.get();
  HEED_RETURN_IF_ERROR(Forward({&cell, 1}, {&observer, 1}, caches, workspace));
  std::shared_ptr<const Trace> trace =
      recorder->Finish(base_->tokens(), cell, base_->prompt_tokens());
  const ConstMatrixRef stream = trace->SiteRows(Site::kResidual, config().n_layers);
  for (int64_t position = start.position; position < size(); ++position) {
    if (AllFinite(stream.Row(position))) continue;
    return NonfiniteLogits(absl::StatusCode::kInvalidArgument, "the edited run's", position);
  }
  return trace;
}

absl::Status EditedRuns::RunAll(absl::Span<const EditedCell> cells, Workspace* workspace,
                                CellSink& sink) {
  std::vector<int64_t> order(cells.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return StartOf(cells[a]) < StartOf(cells[b]); });
  std::vector<EditedCell> sorted;
  for (int64_t i : order) sorted.push_back(cells[i]);
  RenumberedSink renumbered(order, sink);
  for (size_t done = 0; done < sorted.size();) {
    HEED_ASSIGN_OR_RETURN(const int64_t count,
                          RunNext(absl::MakeConstSpan(sorted).subspan(done),
                                  static_cast<int64_t>(done), workspace, renumbered));
    done += count;
  }
  return absl::OkStatus();
}

}  // namespace heed
