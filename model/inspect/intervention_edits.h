// The parts of an InterventionSet: validated edits with everything resolved. Users of sets need not
// read this.
#ifndef HEED_MODEL_INSPECT_INTERVENTION_EDITS_H_
#define HEED_MODEL_INSPECT_INTERVENTION_EDITS_H_

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "model/base/matrix.h"
#include "model/inspect/intervention.h"
#include "model/inspect/intervention_set.h"

namespace heed {

// Neighbouring columns of a site.
struct ColumnRange {
  int64_t begin, count;
};

struct SiteEdit {
  struct Scale {
    float factor;
  };
  struct Mean {};
  struct Patch {
    std::shared_ptr<const SiteSource> source;
    ConstMatrixRef rows;           // of the source, at the edit's layer
    std::vector<int64_t> sources;  // by place in positions.list
  };
  struct Add {
    std::vector<float> vector;  // [SiteWidth], scaled
  };
  struct ProjectOut {
    std::vector<double> direction;  // [SiteWidth], of length 1 over the columns
  };

  PositionSet positions;
  std::vector<ColumnRange> columns;
  std::variant<Scale, Mean, Patch, Add, ProjectOut> op;

  // Edits those of `rows`, of positions from `first_position` on, that are among the positions.
  void Apply(int64_t first_position, MatrixRef rows) const;
};

struct AttentionEdit {
  struct Weights {
    std::vector<float> weights;  // of sum 1; 0 past its end
  };

  std::vector<bool> heads;  // [n_heads]
  PositionSet queries, keys;
  std::variant<ScaleScores, AddToScores, KnockOut, Weights, WeightPreset, AttentionMask> op;

  bool Touches(int head, int64_t query) const { return heads[head] && queries.Contains(query); }
  void EditScores(absl::Span<float> scores) const;
  // `query` sees the keys [begin, end).
  void EditWeights(int64_t query, int64_t begin, int64_t end, absl::Span<float> weights) const;
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_INTERVENTION_EDITS_H_
