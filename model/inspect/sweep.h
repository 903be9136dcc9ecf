// A grid of edits, one after another: which head, edge, place or sharpness matters.
#ifndef HEED_MODEL_INSPECT_SWEEP_H_
#define HEED_MODEL_INSPECT_SWEEP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/inspect/intervene.h"
#include "model/inspect/intervention.h"
#include "model/inspect/trace.h"

namespace heed {

// Layers, heads and positions as in Intervention: negative values count from the end, empty is all.

// [layers, heads]: what each head blends becomes zero, or its mean over the prompt's positions.
struct HeadAblation {
  std::vector<int> layers, heads;
  bool mean = false;
  std::vector<PositionSpan> positions;  // where
};

// [layers, keys]: the edges from the queries to each key are cut in all chosen heads of a layer.
struct EdgeKnockOut {
  std::vector<int> layers, heads;
  std::vector<PositionSpan> queries = {{-1, std::nullopt}};
  std::vector<PositionSpan> keys;
};

// What a site held in another run of as many tokens is put in: [layers, positions], or
// [layers, heads] at all of the positions.
struct ActivationPatching {
  std::shared_ptr<const Trace> clean;
  Site site = Site::kResidual;
  std::vector<int> layers;
  std::vector<PositionSpan> positions;
  bool by_head = false;  // sites that have heads only
  std::vector<int> heads;
};

// [betas, 1]: the scores of the chosen heads, all at once, multiplied.
struct FocusDial {
  std::vector<int> layers, heads;
  std::vector<PositionSpan> positions;
  std::vector<double> betas;  // each in [0, 1000]
};

using SweepGrid = std::variant<HeadAblation, EdgeKnockOut, ActivationPatching, FocusDial>;

// What the rows and columns of a grid are.
struct SweepAxes {
  std::string row_name,
      column_name;  // "layer", "head", "key", "position", "beta"; "" for one column
  std::vector<double> rows, columns;  // their numbers

  int64_t cells() const { return static_cast<int64_t>(rows.size() * columns.size()); }
};

// A validated grid over a base. Immutable; the config is borrowed.
class Sweep {
 public:
  // Errors as InterventionSet::Create, with paths that begin with `field`, as in
  // "head_ablation.heads[1]"; INVALID_ARGUMENT also for betas out of range and for runs of
  // different length.
  static absl::StatusOr<Sweep> Create(SweepGrid grid, std::shared_ptr<const Trace> base,
                                      const ModelConfig& config, absl::string_view field);

  const SweepAxes& axes() const { return axes_; }
  // Row by row: cell number row * columns + column.
  absl::StatusOr<EditedCell> Cell(int64_t cell) const;

 private:
  Sweep() = default;

  std::shared_ptr<const Trace> base_;
  const ModelConfig* config_ = nullptr;
  std::string field_;
  SweepAxes axes_;
  std::function<Intervention(int64_t row, int64_t column)> edit_;
};

// Runs the next of a sweep's cells, from number `first_cell` on, as many as one Forward call takes,
// and returns how many those were; 0 when there are none left. Errors as EditedRuns::RunNext.
absl::StatusOr<int64_t> RunSweep(const Sweep& sweep, int64_t first_cell, EditedRuns& runs,
                                 Workspace* workspace, CellSink& sink);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_SWEEP_H_
