// Facts of attention heads: where their weights go, and how well they fit a pattern.
#ifndef HEED_MODEL_INSPECT_HEAD_STATS_H_
#define HEED_MODEL_INSPECT_HEAD_STATS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/inspect/trace.h"
#include "model/transformer/language_model.h"

namespace heed {

// Of one row of weights, or the mean over rows. A row of zeros has zeros.
struct RowStats {
  double entropy = 0;           // -sum w ln w, nats
  double effective_tokens = 0;  // e^entropy
  double max_weight = 0;
  double first_token = 0;     // weight on key 0: the attention sink
  double self = 0;            // on the row's own position
  double previous_token = 0;  // on the position before; 0 for the first row
  double mean_distance = 0;   // sum w |query - key|
};
RowStats StatsOf(int64_t query, absl::Span<const float> weights);

// Which heads and rows, ascending lists without repeats.
struct HeadChoice {
  std::vector<int> layers;
  std::vector<int> heads;
  std::vector<int64_t> queries;
};

// Of each row, [layers, heads, queries], computed in one pass that keeps no map.
std::vector<RowStats> HeadRowStats(const LanguageModel& model, const Trace& trace,
                                   const HeadChoice& choice);

// Means over groups of `per_group` consecutive ones: with the number of queries, [layers, heads].
std::vector<RowStats> MeanStats(absl::Span<const RowStats> rows, int64_t per_group);

// What heads are known for, as patterns D over query i and key j.
enum class HeadPattern {
  kPreviousToken,   // D = 1 at j = i - 1
  kDuplicateToken,  // at j < i of the same token
  kInduction,       // at j <= i behind such a one: token(j - 1) = token(i), 1 <= j
};

// TL_MUL: sum(A * D) / sum(A). TL_ABS: 1 - T * mean|A - D| (TransformerLens, head_detector; ours is
// not rounded). HEADVIS_V1 (HeadVis, compute-head-metrics.py): kPreviousToken: the mean of
// A[i, i-1] over T - 1; kInduction: the mean over queries whose token came before of the weights of
// at least 0.01 behind these earlier ones; not defined for the others.
enum class DetectionScore { kTlMul, kTlAbs, kHeadVis };
const char* DefinitionName(DetectionScore score);

struct DetectionOptions {
  HeadPattern pattern = HeadPattern::kPreviousToken;
  std::vector<float> custom;  // [size, size] in place of `pattern`; finite
  DetectionScore score = DetectionScore::kTlMul;
  // Take column 0, or the diagonal, out of A before both sums (TL_MUL) or out of |A - D| (TL_ABS);
  // its mean still divides by T * T. Not with HEADVIS_V1.
  bool exclude_first_token = false;
  bool exclude_current_token = false;
};

// The score of each chosen head over the whole prompt, [layers, heads]; choice.queries is not used.
// INVALID_ARGUMENT for fewer than two tokens and for a score that is not defined for the pattern.
absl::StatusOr<std::vector<double>> DetectHeads(const LanguageModel& model, const Trace& trace,
                                                const HeadChoice& choice,
                                                const DetectionOptions& options);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_HEAD_STATS_H_
