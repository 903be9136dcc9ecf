// From interventions to an InterventionSet: validation, negative indices, and leaving out what
// changes nothing.
#ifndef HEED_MODEL_INSPECT_INTERVENTION_BUILDER_H_
#define HEED_MODEL_INSPECT_INTERVENTION_BUILDER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/intervention_edits.h"
#include "model/inspect/intervention_set.h"
#include "model/inspect/selection.h"

namespace heed {

// FAILED_PRECONDITION (SITE_NOT_IN_MODEL) where nothing flows by that could be changed. `field` is
// the site's path.
absl::Status CheckEditableSite(const ModelConfig& config, Site site, absl::string_view field);

// One for each call of Create. Each step adds to what is wrong and goes on, so that one answer
// names it all.
class InterventionBuilder {
 public:
  // `base` may be null.
  InterventionBuilder(const ModelConfig& config, EditedRun run, const InterventionSet* base);

  // Appends one intervention. `path` is its field's.
  void Add(const Intervention& intervention, const std::string& path);
  absl::StatusOr<std::shared_ptr<InterventionSet>> Finish();

 private:
  struct Place {
    std::vector<int> layers, heads;
    PositionSet positions, keys;
  };
  // Weights whose rows must be looked at once the masks are known.
  struct PendingWeights {
    std::string field;
    std::vector<int> layers;
    std::shared_ptr<const AttentionEdit> edit;
    int64_t given;        // how many
    int64_t first, last;  // that are not 0
  };

  // What one intervention says.
  bool CheckSite(Site site);
  std::vector<int> Heads(const Intervention& intervention, std::optional<Site> site);
  PositionSet Positions(const std::string& field, const std::vector<PositionSpan>& spans);
  void CheckRange(absl::string_view name, double value, double low, double high);
  void CheckVector(absl::string_view name, const std::vector<float>& vector, Site site);
  void CheckValues(const Intervention& intervention, std::optional<Site> site,
                   const std::vector<int>& heads);
  bool IsNull(const Intervention& intervention, const Place& place) const;
  // Something is edited there that the base does not edit.
  void Touch(int layer, int64_t position);
  absl::Status CheckWholePrompt() const;

  // Edits of sites.
  std::vector<ColumnRange> Columns(Site site, const std::vector<int>& heads) const;
  void AddSiteEdits(const Intervention& intervention, Site site, const Place& place);
  bool FillSiteEdit(const Intervention& intervention, Site site, int layer, SiteEdit& edit);
  bool FillPatch(const PatchSite& patch, Site site, int layer, SiteEdit& edit);
  std::vector<int64_t> SourcePositions(const PatchSite& patch, ConstMatrixRef rows,
                                       const std::vector<int64_t>& edited);
  bool FillPatchRows(SiteEdit::Patch patch, SiteEdit& edit);

  // Edits of attention rows, in intervention_rows.cc.
  void AddAttentionEdit(const Intervention& intervention, const Place& place);
  void AddPendingWeights(const AttentionEdit::Weights& set, std::vector<int> layers,
                         std::shared_ptr<const AttentionEdit> edit);
  // Divided by their sum where asked for. Nothing, with an error, where they are no weights.
  std::optional<AttentionEdit::Weights> ReadWeights(const SetWeights& set);
  // The rows of a layer that its edits may make a difference to.
  struct TouchedRows {
    std::vector<bool> heads, queries;
  };
  void FinishAttention(int layer);
  // By row; the last edit of it counts. Nothing where there is none.
  std::vector<AttentionMask> MasksOf(int layer, bool base_only) const;
  // Under one of the masks that rows of the layer have.
  bool MayMeetKeys(const AttentionEdit& edit, int layer, int64_t query) const;
  void NoteEdit(const AttentionEdit& edit, int layer, bool is_base, TouchedRows* touched);
  // The rows whose masks show or hide keys.
  void NoteMasks(int layer, TouchedRows* touched);
  void CheckWeights();
  bool CheckRow(const PendingWeights& pending, int layer, int head, int64_t query);

  const ModelConfig& config_;
  const EditedRun run_;
  std::shared_ptr<InterventionSet> set_;
  std::string path_, edit_;  // of the current intervention and its edit
  std::string mask_edit_, whole_prompt_edit_;
  std::vector<PendingWeights> weights_;
  SelectionErrors errors_;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_INTERVENTION_BUILDER_H_
