#include "model/inspect/sweep.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/intervention_builder.h"
#include "model/inspect/selection.h"

namespace heed {
namespace {

using EditFn = std::function<Intervention(int64_t row, int64_t column)>;

template <typename T>
std::vector<double> Numbers(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

PositionSpan At(int64_t position) {
  return {position, position + 1};
}

int HeadsOf(const ModelConfig& config, Site site) {
  return site == Site::kKey || site == Site::kValue ? config.n_kv_heads : config.n_heads;
}

bool HasHeads(Site site) {
  return site == Site::kQuery || site == Site::kKey || site == Site::kValue || site == Site::kMixed;
}

// Resolves a grid's own lists, and says what each cell edits.
class GridReader {
 public:
  GridReader(const ModelConfig& config, int64_t tokens, absl::string_view field)
      : config_(config), tokens_(tokens), field_(field) {}

  EditFn operator()(const HeadAblation& grid) {
    const auto layers = Layers(grid.layers, config_.n_layers);
    const auto heads = Heads(grid.heads, config_.n_heads);
    Positions("positions", grid.positions);
    SetAxes("layer", Numbers(layers), "head", Numbers(heads));
    return [=](int64_t row, int64_t column) {
      Intervention cell{{layers[row]}, {heads[column]}, grid.positions};
      cell.edit = ScaleSite{.factor = 0};
      if (grid.mean) cell.edit = MeanSite{};
      return cell;
    };
  }

  EditFn operator()(const EdgeKnockOut& grid) {
    const auto layers = Layers(grid.layers, config_.n_layers);
    const auto heads = Heads(grid.heads, config_.n_heads);
    const auto keys = Positions("keys", grid.keys);
    Positions("queries", grid.queries);
    SetAxes("layer", Numbers(layers), "key", Numbers(keys));
    return [=](int64_t row, int64_t column) {
      return Intervention{{layers[row]}, heads, grid.queries, {At(keys[column])}, KnockOut{}};
    };
  }

  EditFn operator()(const ActivationPatching& grid) {
    const auto layers = Layers(grid.layers, SiteLayers(config_, grid.site));
    const auto positions = Positions("positions", grid.positions);
    CheckClean(grid, layers);
    const PatchSite patch{grid.site, grid.clean};
    if (!grid.by_head) {
      if (!grid.heads.empty()) Heads(grid.heads, HeadsOf(config_, grid.site));
      SetAxes("layer", Numbers(layers), "position", Numbers(positions));
      return [=](int64_t row, int64_t column) {
        return Intervention{{layers[row]}, grid.heads, {At(positions[column])}, {}, patch};
      };
    }
    const auto heads = Heads(grid.heads, HeadsOf(config_, grid.site));
    SetAxes("layer", Numbers(layers), "head", Numbers(heads));
    return [=](int64_t row, int64_t column) {
      return Intervention{{layers[row]}, {heads[column]}, grid.positions, {}, patch};
    };
  }

  EditFn operator()(const FocusDial& grid) {
    const auto layers = Layers(grid.layers, config_.n_layers);
    const auto heads = Heads(grid.heads, config_.n_heads);
    Positions("positions", grid.positions);
    for (size_t i = 0; i < grid.betas.size(); ++i) {
      if (grid.betas[i] >= 0 && grid.betas[i] <= 1000) continue;
      errors_.Violation(absl::StrCat(field_, ".betas[", i, "]"),
                        absl::StrCat("is ", grid.betas[i], "; must be in [0, 1000]"));
    }
    if (grid.betas.empty()) {
      errors_.Violation(absl::StrCat(field_, ".betas"), "are none; name at least one");
    }
    SetAxes("beta", grid.betas, "", {0});
    return [=](int64_t row, int64_t) {
      return Intervention{layers, heads, grid.positions, {}, ScaleScores{grid.betas[row]}};
    };
  }

  SweepAxes TakeAxes() { return std::move(axes_); }
  absl::Status status() const { return errors_.ToStatus(); }

 private:
  std::vector<int> Layers(const std::vector<int>& values, int count) {
    return ResolveIndices(absl::StrCat(field_, ".layers"), values, count, &errors_);
  }
  std::vector<int> Heads(const std::vector<int>& values, int count) {
    return ResolveIndices(absl::StrCat(field_, ".heads"), values, count, &errors_);
  }
  // Empty: all.
  std::vector<int64_t> Positions(absl::string_view name, const std::vector<PositionSpan>& spans) {
    const std::vector<PositionSpan> all = {PositionSpan()};
    return ResolveSpans(absl::StrCat(field_, ".", name), spans.empty() ? all : spans, tokens_,
                        &errors_);
  }

  void CheckClean(const ActivationPatching& grid, const std::vector<int>& layers) {
    const std::string field = absl::StrCat(field_, ".clean");
    if (const absl::Status status =
            CheckEditableSite(config_, grid.site, absl::StrCat(field_, ".site"));
        !status.ok()) {
      errors_.Error(status);
      return;
    }
    if (grid.clean == nullptr) {
      errors_.Violation(field, "is missing; patching takes what another run held");
    } else if (grid.clean->size() != tokens_) {
      errors_.Violation(field, absl::StrCat("has ", CountTokens(grid.clean->size()),
                                            "; must have as many as the other prompt, ", tokens_));
    }
    for (size_t i = 0; grid.clean != nullptr && i < layers.size(); ++i) {
      const int64_t width = grid.clean->SiteRows(grid.site, layers[i]).cols;
      if (width == SiteWidth(config_, grid.site)) continue;
      errors_.Error(width == 0 ? SiteNotKept("the clean trace", grid.site, layers[i])
                               : MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_KEPT",
                                           "the clean trace is of a model of another width"));
      break;
    }
    if (HasHeads(grid.site)) return;
    if (grid.by_head || !grid.heads.empty()) {
      errors_.Violation(absl::StrCat(field_, ".heads"),
                        absl::StrCat("are asked for; ", SiteName(grid.site), " has no heads"));
    }
  }

  void SetAxes(absl::string_view row_name, std::vector<double> rows, absl::string_view column_name,
               std::vector<double> columns) {
    axes_ = {std::string(row_name), std::string(column_name), std::move(rows), std::move(columns)};
  }

  const ModelConfig& config_;
  const int64_t tokens_;
  const std::string field_;
  SweepAxes axes_;
  SelectionErrors errors_;
};

}  // namespace

absl::StatusOr<Sweep> Sweep::Create(SweepGrid grid, std::shared_ptr<const Trace> base,
                                    const ModelConfig& config, absl::string_view field) {
  GridReader reader(config, base->size(), field);
  Sweep sweep;
  sweep.edit_ = std::visit([&](const auto& kind) { return reader(kind); }, grid);
  HEED_RETURN_IF_ERROR(reader.status());
  sweep.axes_ = reader.TakeAxes();
  sweep.base_ = std::move(base);
  sweep.config_ = &config;
  sweep.field_ = std::string(field);
  // What a site or a trace lacks, it lacks in every cell.
  HEED_RETURN_IF_ERROR(sweep.Cell(0).status());
  return sweep;
}

absl::StatusOr<EditedCell> Sweep::Cell(int64_t cell) const {
  const int64_t columns = static_cast<int64_t>(axes_.columns.size());
  const Intervention intervention = edit_(cell / columns, cell % columns);
  return MakeCell(*base_, absl::MakeConstSpan(&intervention, 1), *config_, field_);
}

absl::StatusOr<int64_t> RunSweep(const Sweep& sweep, int64_t first_cell, EditedRuns& runs,
                                 Workspace* workspace, CellSink& sink) {
  std::vector<EditedCell> cells;
  for (int64_t cell = first_cell; cell < sweep.axes().cells(); ++cell) {
    HEED_ASSIGN_OR_RETURN(EditedCell next, sweep.Cell(cell));
    cells.push_back(std::move(next));
    if (runs.CountTogether(cells) < static_cast<int64_t>(cells.size())) break;
  }
  if (cells.empty()) return 0;
  return runs.RunNext(cells, first_cell, workspace, sink);
}

}  // namespace heed
