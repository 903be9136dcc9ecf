#include "model/inspect/intervention_builder.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/finite.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

// The name of an edit's field, as on the wire.
absl::string_view EditName(const Intervention& intervention) {
  constexpr absl::string_view kNames[] = {
      "scale_scores", "add_to_scores", "knock_out",  "set_weights", "weight_preset", "replace_mask",
      "scale_site",   "mean_site",     "patch_site", "add_vector",  "project_out"};
  return kNames[intervention.edit.index()];
}

// The site that an intervention edits; none for those of attention.
std::optional<Site> SiteOf(const Intervention& intervention) {
  return std::visit(
      [](const auto& edit) -> std::optional<Site> {
        if constexpr (requires { edit.site; }) {
          return edit.site;
        } else {
          return std::nullopt;
        }
      },
      intervention.edit);
}

bool UsesKeys(const Intervention& intervention) {
  return std::holds_alternative<ScaleScores>(intervention.edit) ||
         std::holds_alternative<AddToScores>(intervention.edit) ||
         std::holds_alternative<KnockOut>(intervention.edit);
}

int HeadsAt(const ModelConfig& config, std::optional<Site> site) {
  if (!site || *site == Site::kQuery || *site == Site::kMixed) return config.n_heads;
  return *site == Site::kKey || *site == Site::kValue ? config.n_kv_heads : 0;
}

// Euclidean, over the columns.
double Length(const std::vector<float>& vector, const std::vector<ColumnRange>& columns) {
  double squares = 0;
  for (const ColumnRange& range : columns) {
    for (int64_t i = range.begin; i < range.begin + range.count; ++i) {
      squares += double{vector[i]} * vector[i];
    }
  }
  return std::sqrt(squares);
}

}  // namespace

absl::Status CheckEditableSite(const ModelConfig& config, Site site, absl::string_view field) {
  const auto refuse = [&](absl::string_view why) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_IN_MODEL",
                     absl::StrCat(field, " is ", SiteName(site), "; ", why));
  };
  if (!HasSite(config, site)) return refuse("this model has no feed-forward halves");
  if (site == Site::kResidualMid && config.parallel_residual) {
    return refuse(
        "both halves of this model's layers read the same stream, so nothing flows between them");
  }
  return absl::OkStatus();
}

InterventionBuilder::InterventionBuilder(const ModelConfig& config, EditedRun run,
                                         const InterventionSet* base)
    : config_(config), run_(run), set_(new InterventionSet(config, run)) {
  if (base == nullptr) return;
  set_->sites_ = base->sites_;
  set_->empty_ = base->empty_;
  set_->needs_whole_prompt_ = base->needs_whole_prompt_;
  set_->counterfactual_mask_ = base->counterfactual_mask_;
  for (int layer = 0; layer < config.n_layers; ++layer) {
    InterventionSet::LayerAttention& own = set_->attention_[layer];
    own.edits = base->attention_[layer].edits;
    own.base_edits = own.edits.size();
  }
}

void InterventionBuilder::Add(const Intervention& intervention, const std::string& path) {
  path_ = path;
  edit_ = absl::StrCat(path, ".", EditName(intervention));
  const int64_t problems = errors_.count();
  const std::optional<Site> site = SiteOf(intervention);
  if (site && !CheckSite(*site)) return;
  Place place;
  place.layers = ResolveIndices(absl::StrCat(path, ".layers"), intervention.layers,
                                site ? SiteLayers(config_, *site) : config_.n_layers, &errors_);
  place.heads = Heads(intervention, site);
  CheckValues(intervention, site, place.heads);
  if (!UsesKeys(intervention) && !intervention.keys.empty()) {
    errors_.Violation(
        absl::StrCat(path, ".keys"),
        absl::StrCat("are given; ", EditName(intervention), " edits whole rows and takes none"));
  }
  place.positions = Positions(absl::StrCat(path, ".positions"), intervention.positions);
  place.keys = Positions(absl::StrCat(path, ".keys"), intervention.keys);
  if (errors_.count() != problems || IsNull(intervention, place)) return;
  if (site) {
    AddSiteEdits(intervention, *site, place);
  } else {
    AddAttentionEdit(intervention, place);
  }
}

absl::StatusOr<std::shared_ptr<InterventionSet>> InterventionBuilder::Finish() {
  for (int layer = 0; layer < config_.n_layers; ++layer) FinishAttention(layer);
  CheckWeights();
  HEED_RETURN_IF_ERROR(errors_.ToStatus());
  HEED_RETURN_IF_ERROR(CheckWholePrompt());
  if (!config_.causal || set_->needs_whole_prompt_) set_->first_position_ = 0;
  return std::move(set_);
}

bool InterventionBuilder::CheckSite(Site site) {
  const absl::Status status = CheckEditableSite(config_, site, absl::StrCat(edit_, ".site"));
  if (!status.ok()) errors_.Error(status);
  return status.ok();
}

std::vector<int> InterventionBuilder::Heads(const Intervention& intervention,
                                            std::optional<Site> site) {
  const int count = HeadsAt(config_, site);
  const std::string field = absl::StrCat(path_, ".heads");
  if (count > 0) return ResolveIndices(field, intervention.heads, count, &errors_);
  if (!intervention.heads.empty()) {
    errors_.Violation(field, absl::StrCat("are given; ", SiteName(*site), " has no heads"));
  }
  return {};
}

PositionSet InterventionBuilder::Positions(const std::string& field,
                                           const std::vector<PositionSpan>& spans) {
  return {spans.empty(), ResolveSpans(field, spans, run_.prompt_tokens, &errors_)};
}

void InterventionBuilder::CheckRange(absl::string_view name, double value, double low,
                                     double high) {
  if (value >= low && value <= high) return;
  errors_.Violation(absl::StrCat(edit_, ".", name),
                    absl::StrCat("is ", value, "; must be in [", low, ", ", high, "]"));
}

void InterventionBuilder::CheckVector(absl::string_view name, const std::vector<float>& vector,
                                      Site site) {
  const std::string field = absl::StrCat(edit_, ".", name);
  const int64_t width = SiteWidth(config_, site);
  if (static_cast<int64_t>(vector.size()) != width) {
    errors_.Violation(field, absl::StrCat("has ", vector.size(), " values; ", SiteName(site),
                                          " is ", width, " wide"));
    return;
  }
  for (int64_t i = 0; i < width; ++i) {
    if (std::isfinite(vector[i])) continue;
    errors_.Violation(absl::StrCat(field, "[", i, "]"),
                      absl::StrCat("is ", vector[i], "; must be finite"));
    return;
  }
}

void InterventionBuilder::CheckValues(const Intervention& intervention, std::optional<Site> site,
                                      const std::vector<int>& heads) {
  const auto& edit = intervention.edit;
  if (const auto* scale = std::get_if<ScaleScores>(&edit)) {
    CheckRange("beta", scale->beta, 0, 1000);
  } else if (const auto* add = std::get_if<AddToScores>(&edit)) {
    CheckRange("bias", add->bias, -10000, 10000);
  } else if (const auto* scale = std::get_if<ScaleSite>(&edit)) {
    CheckRange("factor", scale->factor, -1000, 1000);
  } else if (const auto* vector = std::get_if<AddVector>(&edit)) {
    CheckRange("scale", vector->scale, -10000, 10000);
    CheckVector("vector", vector->vector, *site);
  } else if (const auto* project = std::get_if<ProjectOut>(&edit)) {
    CheckVector("direction", project->direction, *site);
    if (errors_.count() == 0 && Length(project->direction, Columns(*site, heads)) == 0) {
      errors_.Violation(absl::StrCat(edit_, ".direction"),
                        "is all zeros where it applies; a direction has a length");
    }
  } else if (const auto* patch = std::get_if<PatchSite>(&edit); patch && !patch->source) {
    errors_.Violation(absl::StrCat(edit_, ".source"),
                      "is missing; patching takes rows of another run");
  }
}

std::vector<ColumnRange> InterventionBuilder::Columns(Site site,
                                                      const std::vector<int>& heads) const {
  if (HeadsAt(config_, site) == 0) return {{0, SiteWidth(config_, site)}};
  std::vector<ColumnRange> columns;
  for (int head : heads) {
    columns.push_back({int64_t{head} * config_.head_dim, config_.head_dim});
  }
  return columns;
}

bool InterventionBuilder::IsNull(const Intervention& intervention, const Place& place) const {
  const auto& edit = intervention.edit;
  if (const auto* scale = std::get_if<ScaleScores>(&edit)) return scale->beta == 1;
  // The same on every key makes no difference to the softmax.
  if (const auto* add = std::get_if<AddToScores>(&edit)) return add->bias == 0 || place.keys.all;
  if (const auto* mask = std::get_if<ReplaceMask>(&edit)) return mask->causal == config_.causal;
  if (const auto* scale = std::get_if<ScaleSite>(&edit)) return scale->factor == 1;
  const auto* const add = std::get_if<AddVector>(&edit);
  return add != nullptr &&
         (add->scale == 0 || Length(add->vector, Columns(add->site, place.heads)) == 0);
}

void InterventionBuilder::AddSiteEdits(const Intervention& intervention, Site site,
                                       const Place& place) {
  for (int layer : place.layers) {
    auto edit = std::make_shared<SiteEdit>();
    edit->positions = place.positions;
    edit->columns = Columns(site, place.heads);
    if (!FillSiteEdit(intervention, site, layer, *edit)) return;
    Touch(layer, edit->positions.first());
    set_->sites_[{site, layer}].push_back(std::move(edit));
  }
}

bool InterventionBuilder::FillSiteEdit(const Intervention& intervention, Site site, int layer,
                                       SiteEdit& edit) {
  const auto& op = intervention.edit;
  if (const auto* scale = std::get_if<ScaleSite>(&op)) {
    edit.op = SiteEdit::Scale{static_cast<float>(scale->factor)};
  } else if (const auto* add = std::get_if<AddVector>(&op)) {
    SiteEdit::Add scaled;
    for (float value : add->vector) {
      scaled.vector.push_back(static_cast<float>(value * add->scale));
    }
    edit.op = std::move(scaled);
  } else if (const auto* project = std::get_if<ProjectOut>(&op)) {
    SiteEdit::ProjectOut unit;
    const double length = Length(project->direction, edit.columns);
    for (float value : project->direction) unit.direction.push_back(value / length);
    edit.op = std::move(unit);
  } else if (const auto* patch = std::get_if<PatchSite>(&op)) {
    return FillPatch(*patch, site, layer, edit);
  } else {
    edit.op = SiteEdit::Mean{};
    whole_prompt_edit_ = edit_;
    set_->needs_whole_prompt_ = true;
  }
  return true;
}

bool InterventionBuilder::FillPatch(const PatchSite& patch, Site site, int layer, SiteEdit& edit) {
  const ConstMatrixRef rows = patch.source->SiteRows(site, layer);
  if (rows.cols != SiteWidth(config_, site)) {
    const bool is_kept = rows.cols > 0;
    errors_.Error(MakeError(absl::StatusCode::kFailedPrecondition, "SITE_NOT_KEPT",
                            absl::StrCat(edit_, " needs ", SiteName(site), " of layer ", layer,
                                         is_kept ? ", which has another width in its source"
                                                 : ", which its source did not keep"),
                            {{is_kept ? "other_width" : "site", std::string(SiteName(site))}}));
    return false;
  }
  if (edit.positions.all) {  // of the prompt: a source has nothing for tokens to come
    edit.positions.all = false;
    edit.positions.list.resize(run_.prompt_tokens);
    std::iota(edit.positions.list.begin(), edit.positions.list.end(), int64_t{0});
  }
  return FillPatchRows({patch.source, rows, SourcePositions(patch, rows, edit.positions.list)},
                       edit);
}

// One for each of the positions that are edited, or some with an error.
std::vector<int64_t> InterventionBuilder::SourcePositions(const PatchSite& patch,
                                                          ConstMatrixRef rows,
                                                          const std::vector<int64_t>& edited) {
  if (patch.source_positions.empty()) return edited;
  const std::string field = absl::StrCat(edit_, ".source_positions");
  const auto needed = static_cast<int64_t>(edited.size());
  std::vector<int64_t> sources;
  int64_t count = 0;
  for (size_t i = 0; i < patch.source_positions.size(); ++i) {
    const ResolvedSpan span = ResolveSpan(absl::StrCat(field, "[", i, "]"),
                                          patch.source_positions[i], rows.rows, &errors_);
    count += span.end - span.begin;
    if (count > needed) continue;
    for (int64_t p = span.begin; p < span.end; ++p) sources.push_back(p);
  }
  if (errors_.count() == 0 && count != needed) {
    errors_.Violation(field, absl::StrCat("are ", count, "; ", needed,
                                          " positions are edited and each needs one"));
  }
  return sources;
}

bool InterventionBuilder::FillPatchRows(SiteEdit::Patch patch, SiteEdit& edit) {
  if (errors_.count() > 0) return false;
  for (int64_t source : patch.sources) {
    if (source >= patch.rows.rows) {
      errors_.Error(MakeError(
          absl::StatusCode::kOutOfRange, "POSITION_OUT_OF_RANGE",
          absl::StrCat(edit_, " needs position ", source, " of its source, which has ",
                       CountTokens(patch.rows.rows), "; say which of them in source_positions")));
      return false;
    }
    if (!AllFinite(patch.rows.Row(source))) {
      errors_.Violation(edit_, absl::StrCat("takes position ", source,
                                            " of its source, which holds a NaN or an infinity"));
      return false;
    }
  }
  edit.op = std::move(patch);
  return true;
}

void InterventionBuilder::Touch(int layer, int64_t position) {
  set_->first_position_ = set_->differs() ? std::min(set_->first_position_, position) : position;
  set_->first_layer_ = std::min(set_->first_layer_, layer);
  set_->empty_ = false;
}

absl::Status InterventionBuilder::CheckWholePrompt() const {
  if (!set_->needs_whole_prompt_ || run_.appended_tokens == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "WHOLE_SEQUENCE_NEEDED",
                   absl::StrCat(whole_prompt_edit_,
                                " needs all of a sequence's tokens at once, and here tokens may "
                                "follow the prompt; it works where nothing is generated"));
}

absl::StatusOr<std::shared_ptr<InterventionSet>> InterventionSet::Create(
    absl::Span<const Intervention> interventions, const ModelConfig& config, EditedRun run,
    absl::string_view field, const InterventionSet* base) {
  InterventionBuilder builder(config, run, base);
  for (size_t i = 0; i < interventions.size(); ++i) {
    builder.Add(interventions[i], absl::StrCat(field, "[", i, "]"));
  }
  return builder.Finish();
}

}  // namespace heed
