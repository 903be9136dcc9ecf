// What to change during a forward pass, as data: a place and one edit. Made into something that
// runs by InterventionSet.
#ifndef HEED_MODEL_INSPECT_INTERVENTION_H_
#define HEED_MODEL_INSPECT_INTERVENTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "model/base/matrix.h"
#include "model/transformer/site.h"

namespace heed {

// Positions [begin, end) of a prompt; negative values count from its end, no `end` is that end.
struct PositionSpan {
  int64_t begin = 0;
  std::optional<int64_t> end;
};

// Edits of attention rows. The row of a query at position p sees the keys that the mask and the
// window allow. Those of scores come first and those of weights after the softmax, and what comes
// together applies in the order given.

// The focus dial: scores times beta. 0 spreads a row over all keys that it sees, a large one leaves
// the largest score alone.
struct ScaleScores {
  double beta = 1;  // [0, 1000]
};

struct AddToScores {
  double bias = 0;  // [-10000, 10000]
};

// Cuts edges: the scores become -inf. A row without keys is zeros.
struct KnockOut {};

// The caller's weights in place of the softmax.
struct SetWeights {
  // One for each token of the prompt or, for a single position, for each key up to what its row
  // sees. Non-negative, 0 where a row sees nothing, of sum 1 within kWeightSumTolerance.
  std::vector<double> weights;
  bool renormalize = false;  // then any sum above 0
};
inline constexpr double kWeightSumTolerance = 1e-5;

// Rows in place of the softmax: 1 on the last key that the row sees, 1/n on each of the n that it
// sees, 1 on its own position, 1 on the first key that it sees.
enum class WeightPreset { kLastWord, kUniform, kIdentity, kFirstWord };

// What rows see: not later positions, or all of the prompt. A mask that is not the model's own is a
// counterfactual. Bidirectional rows of a causal model need the whole prompt in one call and can
// not be gone on from.
struct ReplaceMask {
  bool causal = true;
};

// Edits of the rows of a site. Of sites that have heads only the chosen heads' columns are edited;
// vectors and rows have the whole site's width nonetheless.

struct ScaleSite {
  Site site = Site::kMixed;
  double factor = 1;  // [-1000, 1000]; 0: zero ablation
};

// Mean ablation: the chosen positions get the mean over all of the prompt's, of the same run. Needs
// the whole prompt in one call and can not be gone on from.
struct MeanSite {
  Site site = Site::kMixed;
};

// What another run held at its sites.
class SiteSource {
 public:
  virtual ~SiteSource() = default;
  // [positions, SiteWidth], valid as long as the source; without columns where it was not kept.
  virtual ConstMatrixRef SiteRows(Site site, int layer) const = 0;
};

// Activation patching: what the source held at the same site and layer.
struct PatchSite {
  Site site = Site::kResidual;
  std::shared_ptr<const SiteSource> source;
  // Where the edited positions come from, one for each, in their order. Empty: the same positions.
  std::vector<PositionSpan> source_positions;
};

// Steering: adds scale * vector.
struct AddVector {
  Site site = Site::kResidual;
  std::vector<float> vector;  // [SiteWidth]
  double scale = 1;           // [-10000, 10000]
};

// x - (x.d) d, d the direction at length 1. With heads: of their columns together.
struct ProjectOut {
  Site site = Site::kResidual;
  std::vector<float> direction;  // [SiteWidth], not all 0 in the edited columns
};

struct Intervention {
  // Below SiteLayers for edits of a site, n_layers for those of attention; negative values count
  // from the end. Empty: all.
  std::vector<int> layers;
  // Below n_heads (kKey, kValue: n_kv_heads); negative values count from the end. Empty: all. None
  // at sites of the model's width.
  std::vector<int> heads;
  // Positions of rows, queries for edits of attention. Empty: all, those of generated tokens too.
  std::vector<PositionSpan> positions;
  // ScaleScores, AddToScores and KnockOut only. Empty: all.
  std::vector<PositionSpan> keys;

  std::variant<ScaleScores, AddToScores, KnockOut, SetWeights, WeightPreset, ReplaceMask, ScaleSite,
               MeanSite, PatchSite, AddVector, ProjectOut>
      edit;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_INTERVENTION_H_
