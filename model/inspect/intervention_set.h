// Interventions, validated against a model and a prompt and made into the editor of its forward
// passes.
#ifndef HEED_MODEL_INSPECT_INTERVENTION_SET_H_
#define HEED_MODEL_INSPECT_INTERVENTION_SET_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/intervention.h"
#include "model/kernels/backend.h"
#include "model/kernels/edited_attention.h"
#include "model/transformer/editor.h"

namespace heed {

struct AttentionEdit;
struct SiteEdit;

// Positions of a sequence.
struct PositionSet {
  bool all = true;
  std::vector<int64_t> list;  // ascending; used unless `all`

  bool Contains(int64_t position) const {
    return all || std::binary_search(list.begin(), list.end(), position);
  }
  // Whether one of [begin, end) is among them.
  bool Meets(int64_t begin, int64_t end) const {
    if (all) return begin < end;
    const auto first = std::lower_bound(list.begin(), list.end(), begin);
    return first != list.end() && *first < end;
  }
  int64_t first() const { return all ? 0 : list.front(); }
};

// The run that is edited.
struct EditedRun {
  int64_t prompt_tokens = 0;    // at least 1
  int64_t appended_tokens = 0;  // that may follow it in later calls
};

// Immutable and thread-safe: one set may edit any number of sequences of such runs at once. Edits
// that change nothing (a factor of 1, a bias of 0, edges that no row sees) are left out, so that
// what they would touch keeps its bits.
class InterventionSet final : public ForwardEditor {
 public:
  // Errors name every wrong field by its path: `field`, the index, the edit and its field, as in
  // "interventions[2].set_weights.weights[3]". INVALID_ARGUMENT for what no run could take;
  // FAILED_PRECONDITION for a site that the model or the source lacks and for edits that need the
  // whole sequence in one call where tokens may follow; OUT_OF_RANGE for positions past the prompt.
  // What `base` edits, if it is not null, applies first; it may be of a run whose prompt is the
  // beginning of this one's.
  static absl::StatusOr<std::shared_ptr<InterventionSet>> Create(
      absl::Span<const Intervention> interventions, const ModelConfig& config, EditedRun run,
      absl::string_view field = "interventions", const InterventionSet* base = nullptr);

  // Nothing is edited, by the base neither.
  bool empty() const { return empty_; }
  // Whether a run differs from one under the base alone: from which layer on, n_layers when only
  // what leaves the last one does; and from which position on, in every layer, which is 0 for a
  // model that is not causal.
  bool differs() const { return first_layer_ <= n_layers(); }
  int first_layer() const { return first_layer_; }
  int64_t first_position() const { return first_position_; }
  // The prompt must run in one call, from position 0 on.
  bool needs_whole_prompt() const { return needs_whole_prompt_; }
  // Rows see what the model never shows them.
  bool counterfactual_mask() const { return counterfactual_mask_; }

  bool EditsSite(Site site, int layer) const override;
  void EditSite(Site site, int layer, int64_t first_position, MatrixRef rows) const override;
  AttentionRows EditedAttention(int layer, int64_t begin, int64_t end) override;
  bool EditsRow(int layer, int head, int64_t query) const override;
  AttentionMask MaskOf(int layer, int head, int64_t query) const override;
  std::optional<float> ScoreFactor(int layer, int head, int64_t query) const override;
  void EditScores(int layer, int head, int64_t query, absl::Span<float> scores) const override;
  void EditWeights(int layer, int head, int64_t query, absl::Span<float> weights) const override;

 private:
  friend class InterventionBuilder;
  // The edits of one layer's attention, in order, and the rows that they may touch.
  struct LayerAttention {
    std::vector<std::shared_ptr<const AttentionEdit>> edits;
    size_t base_edits = 0;             // the first of them
    std::vector<int> heads;            // ascending
    std::vector<int64_t> queries;      // ascending
    std::vector<AttentionMask> masks;  // [n_heads, positions]; empty: all rows have their own
  };

  InterventionSet(const ModelConfig& config, EditedRun run);
  int n_layers() const { return static_cast<int>(shapes_.size()); }
  int64_t positions() const { return run_.prompt_tokens + run_.appended_tokens; }
  RowKeys KeysOf(int layer, AttentionMask mask, int64_t query) const;
  bool IsMaskedAnew(int layer, int head, int64_t query) const;
  template <typename Fn>
  bool AllEditsOf(int layer, int head, int64_t query, const Fn& fn) const;

  const EditedRun run_;
  std::vector<AttentionShape> shapes_;  // by layer: the facts of the mask
  std::map<std::pair<Site, int>, std::vector<std::shared_ptr<const SiteEdit>>> sites_;
  std::vector<LayerAttention> attention_;  // by layer
  bool empty_ = true;
  int first_layer_ = 0;
  int64_t first_position_ = 0;
  bool needs_whole_prompt_ = false;
  bool counterfactual_mask_ = false;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_INTERVENTION_SET_H_
