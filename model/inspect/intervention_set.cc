#include "model/inspect/intervention_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/inspect/intervention_edits.h"

namespace heed {
namespace {

constexpr float kCut = -std::numeric_limits<float>::infinity();

// Of a row's scores, which stay finite by far. Several dials may come to more.
constexpr double kLargestFactor = 1e6;

template <typename... Fns>
struct Overloaded : Fns... {
  using Fns::operator()...;
};
template <typename... Fns>
Overloaded(Fns...) -> Overloaded<Fns...>;

// Calls fn(row) for the rows of the edited positions.
template <typename Fn>
void ForEachRow(const PositionSet& positions, int64_t first_position, int64_t rows, const Fn& fn) {
  if (positions.all) {
    for (int64_t row = 0; row < rows; ++row) fn(row);
    return;
  }
  const auto& list = positions.list;
  auto at = std::lower_bound(list.begin(), list.end(), first_position);
  for (; at != list.end() && *at < first_position + rows; ++at) fn(*at - first_position);
}

// Calls fn(column) for each of the columns.
template <typename Fn>
void ForEachColumn(const std::vector<ColumnRange>& columns, const Fn& fn) {
  for (const ColumnRange& range : columns) {
    for (int64_t i = range.begin; i < range.begin + range.count; ++i) fn(i);
  }
}

// Sums in double, in the order of the positions.
std::vector<float> MeanRow(ConstMatrixRef rows) {
  std::vector<double> sum(rows.cols);
  for (int64_t r = 0; r < rows.rows; ++r) {
    for (int64_t i = 0; i < rows.cols; ++i) sum[i] += rows.Row(r)[i];
  }
  std::vector<float> mean;
  for (double value : sum)
    mean.push_back(static_cast<float>(value / static_cast<double>(rows.rows)));
  return mean;
}

void RemoveDirection(const std::vector<ColumnRange>& columns, const std::vector<double>& direction,
                     absl::Span<float> row) {
  double along = 0;
  ForEachColumn(columns, [&](int64_t i) { along += row[i] * direction[i]; });
  ForEachColumn(columns,
                [&](int64_t i) { row[i] = static_cast<float>(row[i] - along * direction[i]); });
}

// Calls fn(score) for the chosen keys that are not masked or cut.
template <typename Fn>
void ForEachScore(const PositionSet& keys, absl::Span<float> scores, const Fn& fn) {
  ForEachRow(keys, 0, static_cast<int64_t>(scores.size()), [&](int64_t key) {
    if (scores[key] != kCut) fn(scores[key]);
  });
}

AttentionShape MaskOfLayer(const ModelConfig& config, int layer) {
  AttentionShape shape;
  shape.causal = config.causal;
  shape.window = config.mixing == MixingPattern::kLastWord ? 1 : config.window_of(layer);
  return shape;
}

}  // namespace

void SiteEdit::Apply(int64_t first_position, MatrixRef rows) const {
  const auto for_each = [&](const auto& fn) {
    ForEachRow(positions, first_position, rows.rows, [&](int64_t r) { fn(r, rows.Row(r)); });
  };
  std::visit(Overloaded{
                 [&](const Scale& scale) {
                   for_each([&](int64_t, absl::Span<float> row) {
                     ForEachColumn(columns, [&](int64_t i) {
                       row[i] = scale.factor == 0 ? 0.0f : row[i] * scale.factor;
                     });
                   });
                 },
                 [&](const Mean&) {
                   const std::vector<float> mean = MeanRow(rows);
                   for_each([&](int64_t, absl::Span<float> row) {
                     ForEachColumn(columns, [&](int64_t i) { row[i] = mean[i]; });
                   });
                 },
                 [&](const Patch& patch) {
                   for_each([&](int64_t r, absl::Span<float> row) {
                     const auto at = std::lower_bound(positions.list.begin(), positions.list.end(),
                                                      first_position + r);
                     const auto from = patch.rows.Row(patch.sources[at - positions.list.begin()]);
                     ForEachColumn(columns, [&](int64_t i) { row[i] = from[i]; });
                   });
                 },
                 [&](const Add& add) {
                   for_each([&](int64_t, absl::Span<float> row) {
                     ForEachColumn(columns, [&](int64_t i) { row[i] += add.vector[i]; });
                   });
                 },
                 [&](const ProjectOut& project) {
                   for_each([&](int64_t, absl::Span<float> row) {
                     RemoveDirection(columns, project.direction, row);
                   });
                 },
             },
             op);
}

void AttentionEdit::EditScores(absl::Span<float> scores) const {
  if (const auto* scale = std::get_if<ScaleScores>(&op)) {
    const float beta = static_cast<float>(scale->beta);
    ForEachScore(keys, scores, [&](float& score) { score = beta == 0 ? 0 : score * beta; });
  } else if (const auto* add = std::get_if<AddToScores>(&op)) {
    ForEachScore(keys, scores, [&](float& score) { score += static_cast<float>(add->bias); });
  } else if (std::holds_alternative<KnockOut>(op)) {
    ForEachScore(keys, scores, [](float& score) { score = kCut; });
  }
}

void AttentionEdit::EditWeights(int64_t query, int64_t begin, int64_t end,
                                absl::Span<float> weights) const {
  const auto one_on = [&](int64_t key) {
    std::fill(weights.begin(), weights.end(), 0.0f);
    weights[key] = 1;
  };
  if (const auto* set = std::get_if<Weights>(&op)) {
    std::fill(weights.begin(), weights.end(), 0.0f);
    std::copy_n(set->weights.begin(), std::min(set->weights.size(), weights.size()),
                weights.begin());
  }
  const auto* const preset = std::get_if<WeightPreset>(&op);
  if (preset == nullptr) return;
  switch (*preset) {
    case WeightPreset::kLastWord:
      return one_on(end - 1);
    case WeightPreset::kFirstWord:
      return one_on(begin);
    case WeightPreset::kIdentity:
      return one_on(query);
    case WeightPreset::kUniform:
      std::fill(weights.begin(), weights.end(), 0.0f);
      std::fill(weights.begin() + begin, weights.begin() + end,
                1.0f / static_cast<float>(end - begin));
  }
}

InterventionSet::InterventionSet(const ModelConfig& config, EditedRun run)
    : run_(run), attention_(config.n_layers), first_layer_(config.n_layers + 1) {
  for (int layer = 0; layer < config.n_layers; ++layer) {
    shapes_.push_back(MaskOfLayer(config, layer));
  }
}

RowKeys InterventionSet::KeysOf(int layer, AttentionMask mask, int64_t query) const {
  return KeysOfRow(shapes_[layer], mask, query, std::max(run_.prompt_tokens, query + 1));
}

bool InterventionSet::EditsSite(Site site, int layer) const {
  return sites_.find({site, layer}) != sites_.end();
}

void InterventionSet::EditSite(Site site, int layer, int64_t first_position, MatrixRef rows) const {
  for (const auto& edit : sites_.at({site, layer})) edit->Apply(first_position, rows);
}

AttentionRows InterventionSet::EditedAttention(int layer, int64_t begin, int64_t end) {
  const LayerAttention& edited = attention_[layer];
  const auto first = std::lower_bound(edited.queries.begin(), edited.queries.end(), begin);
  const auto last = std::lower_bound(first, edited.queries.end(), end);
  return {
      edited.heads,
      absl::MakeConstSpan(edited.queries).subspan(first - edited.queries.begin(), last - first)};
}

// Whether the row sees other keys than those that the model shows it.
bool InterventionSet::IsMaskedAnew(int layer, int head, int64_t query) const {
  const AttentionMask mask = MaskOf(layer, head, query);
  if (mask == AttentionMask::kOwn) return false;
  const RowKeys own = KeysOf(layer, AttentionMask::kOwn, query), keys = KeysOf(layer, mask, query);
  return own.begin != keys.begin || own.end != keys.end;
}

// Calls fn(edit), in order, for those that touch the row and keys that it sees, until one call
// returns false.
template <typename Fn>
bool InterventionSet::AllEditsOf(int layer, int head, int64_t query, const Fn& fn) const {
  const RowKeys keys = KeysOf(layer, MaskOf(layer, head, query), query);
  const auto& edits = attention_[layer].edits;
  return std::all_of(edits.begin(), edits.end(), [&](const auto& edit) {
    return !edit->Touches(head, query) || std::holds_alternative<AttentionMask>(edit->op) ||
           !edit->keys.Meets(keys.begin, keys.end) || fn(*edit);
  });
}

bool InterventionSet::EditsRow(int layer, int head, int64_t query) const {
  return IsMaskedAnew(layer, head, query) ||
         !AllEditsOf(layer, head, query, [](const AttentionEdit&) { return false; });
}

// Only dials may turn the row, and those of all its keys. Edits that change nothing must not
// matter, or a run with them would have other bits than one without.
std::optional<float> InterventionSet::ScoreFactor(int layer, int head, int64_t query) const {
  if (IsMaskedAnew(layer, head, query)) return std::nullopt;
  double factor = 1;
  const bool all_dials = AllEditsOf(layer, head, query, [&](const AttentionEdit& edit) {
    const auto* const scale = std::get_if<ScaleScores>(&edit.op);
    if (scale != nullptr) factor *= scale->beta;
    return scale != nullptr && edit.keys.all;
  });
  if (!all_dials || factor > kLargestFactor) return std::nullopt;
  return static_cast<float>(factor);
}

AttentionMask InterventionSet::MaskOf(int layer, int head, int64_t query) const {
  const auto& masks = attention_[layer].masks;
  return masks.empty() ? AttentionMask::kOwn : masks[head * positions() + query];
}

void InterventionSet::EditScores(int layer, int head, int64_t query,
                                 absl::Span<float> scores) const {
  for (const auto& edit : attention_[layer].edits) {
    if (edit->Touches(head, query)) edit->EditScores(scores);
  }
}

void InterventionSet::EditWeights(int layer, int head, int64_t query,
                                  absl::Span<float> weights) const {
  const RowKeys keys = KeysOf(layer, MaskOf(layer, head, query), query);
  for (const auto& edit : attention_[layer].edits) {
    if (edit->Touches(head, query)) edit->EditWeights(query, keys.begin, keys.end, weights);
  }
}

}  // namespace heed
