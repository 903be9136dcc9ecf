// One prompt run again and again under different edits: what each does to some metrics.
#ifndef HEED_MODEL_INSPECT_INTERVENE_H_
#define HEED_MODEL_INSPECT_INTERVENE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/aligned_buffer.h"
#include "model/base/stop_signal.h"
#include "model/inspect/intervention.h"
#include "model/inspect/intervention_set.h"
#include "model/inspect/metric.h"
#include "model/inspect/trace.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/language_model.h"

namespace heed {

// One edited run: a set over what the base was edited with.
using EditedCell = std::shared_ptr<InterventionSet>;

// Errors as InterventionSet::Create; positions are those of the whole trace, which must have been
// edited with an InterventionSet if at all.
absl::StatusOr<EditedCell> MakeCell(const Trace& base, absl::Span<const Intervention> interventions,
                                    const ModelConfig& config,
                                    absl::string_view field = "interventions");

// What a cell's run came to.
struct CellResult {
  // INVALID_ARGUMENT (NONFINITE_LOGITS) when the edits made logits that are no numbers; there are
  // no values then.
  absl::Status status;
  std::vector<double> values;  // by metric
  std::vector<double> deltas;  // values - the base's
  bool counterfactual_mask = false;
};

// Receives results on the calling thread.
class CellSink {
 public:
  virtual ~CellSink() = default;
  // The logits [vocab_size] of one of the reader's positions, ascending, before the result of their
  // run; valid during the call. `cell` -1: the base.
  virtual void OnLogits(int64_t /*cell*/, int64_t /*position*/,
                        absl::Span<const float> /*logits*/) {}
  virtual void OnCell(int64_t cell, const CellResult& result) = 0;
};

struct EditedRunsOptions {
  // Rows of one Forward call, at least one cell's; also bounded by the pages that are free.
  int64_t max_batch_tokens = 512;
};

// Edited runs start at the first layer and position that they change: from the base's stream, if
// its trace has kept that at every layer (Site::kResidual), and from its keys and values.
//
// Not thread-safe. What is borrowed must outlive this.
class EditedRuns {
 public:
  // The model is the base's; `pool` is one of its caches. `stop` may be null.
  EditedRuns(const LanguageModel* model, KvPool* pool, std::shared_ptr<const Trace> base,
             MetricReader metrics, const StopSignal* stop = nullptr,
             EditedRunsOptions options = {});

  // Reads the base's metrics; before any cell. FAILED_PRECONDITION when the base's logits are no
  // numbers.
  absl::Status ReadBase(CellSink* sink = nullptr);
  const std::vector<double>& base_values() const { return base_values_; }

  // Runs the first of `cells`, and with it as many of the next ones as start at the same layer and
  // fit in one Forward call. Their numbers, for the sink, count from `first_cell`. Returns how many
  // they were. CANCELLED or DEADLINE_EXCEEDED when the stop signal says so, RESOURCE_EXHAUSTED when
  // the pool has no room for one cell; the sink has not heard of the cells then.
  absl::StatusOr<int64_t> RunNext(absl::Span<const EditedCell> cells, int64_t first_cell,
                                  Workspace* workspace, CellSink& sink);

  // All of them, in the order of where they start. `cells` may be in any order.
  absl::Status RunAll(absl::Span<const EditedCell> cells, Workspace* workspace, CellSink& sink);

  // One cell's whole run, for reads: a trace of kTraceSites that shares with the base what is the
  // same in both. The base itself for a cell that does not differ. Errors as RunNext, and
  // INVALID_ARGUMENT (NONFINITE_LOGITS) when the edits made a stream that holds no numbers.
  absl::StatusOr<std::shared_ptr<const Trace>> RunTraced(const EditedCell& cell,
                                                         Workspace* workspace);

  // Where a cell's run begins: {n_layers, size()} for one that does not differ.
  struct Start {
    int layer;
    int64_t position;
    friend bool operator==(const Start&, const Start&) = default;
    friend auto operator<=>(const Start&, const Start&) = default;
  };
  Start StartOf(const EditedCell& cell) const;

  // How many of the first cells RunNext may take at once: at least one of any.
  int64_t CountTogether(absl::Span<const EditedCell> cells) const;

  const ModelConfig& config() const { return model_.config(); }
  int64_t size() const { return base_->size(); }

 private:
  class FinalRows;
  // A row of the final stream, [width], whose logits are read for a cell.
  struct FinalRow {
    int64_t cell;
    int64_t position;
    absl::Span<const float> stream;
  };

  std::vector<std::unique_ptr<KvCache>> MakeCaches(absl::Span<const EditedCell> cells,
                                                   absl::Status* status) const;
  void FillCache(const Start& start, KvCache* cache) const;
  absl::Status Forward(absl::Span<const EditedCell> cells,
                       absl::Span<ForwardObserver* const> observers,
                       absl::Span<const std::unique_ptr<KvCache>> caches, Workspace* workspace);
  // Of a cell, from what its run left or else from the base.
  void AppendFinalRows(int64_t cell, const FinalRows* own, std::vector<FinalRow>* rows) const;
  void ReadLogits(absl::Span<const FinalRow> rows,
                  absl::FunctionRef<void(const FinalRow&, absl::Span<const float>)> fn);
  void ReadCells(absl::Span<const EditedCell> cells, int64_t first_cell,
                 absl::Span<const FinalRow> rows, CellSink& sink);

  const LanguageModel& model_;
  KvPool* const pool_;
  const std::shared_ptr<const Trace> base_;
  ConstMatrixRef final_stream_;  // the base's, [tokens, width]
  MetricReader metrics_;
  const StopSignal* const stop_;
  const EditedRunsOptions options_;
  std::vector<double> base_values_;
  AlignedBuffer stream_, logits_, scratch_;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_INTERVENE_H_
