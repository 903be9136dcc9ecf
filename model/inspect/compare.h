// Two runs beside each other: where their tokens, predictions and heads differ.
#ifndef HEED_MODEL_INSPECT_COMPARE_H_
#define HEED_MODEL_INSPECT_COMPARE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/stop_signal.h"
#include "model/inspect/prediction.h"
#include "model/inspect/trace.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/language_model.h"

namespace heed {

// Positions of two sequences that belong together.
struct AlignedPair {
  int64_t a = 0;
  int64_t b = 0;
  bool same_token = false;

  friend bool operator==(const AlignedPair&, const AlignedPair&) = default;
};

// Pairs, ascending in both, of an alignment with the fewest tokens inserted, left out or replaced
// (Levenshtein 1966); of several, one that replaces late. What was replaced is a pair too.
// Sequences whose middles, without what is equal at both ends, are longer than 4096 tokens each on
// average are paired there from the beginning.
std::vector<AlignedPair> AlignTokens(absl::Span<const TokenId> a, absl::Span<const TokenId> b);

// One side of a comparison. The model is the trace's; borrowed.
struct CompareSide {
  const LanguageModel* model = nullptr;
  const Trace* trace = nullptr;
};

struct ProbabilityChange {
  TokenId token = 0;
  double a = 0;
  double b = 0;
};

// What both predict after an aligned pair.
struct PredictionChange {
  double kl = 0;  // KL(a || b), nats
  LensToken top_a, top_b;
  std::vector<ProbabilityChange> changes;  // largest |a - b| first, equal ones by smaller token
};

struct Comparison {
  std::vector<AlignedPair> pairs;
  // By pair; empty when a model has no head or the vocabularies differ.
  std::vector<PredictionChange> predictions;
  // Of pairs: the first whose most probable tokens differ.
  std::optional<int64_t> first_divergence;
  // [layers, heads]: the Jensen-Shannon divergence (Lin 1991) of the two rows of a pair, in nats,
  // [0, ln 2], its mean over the pairs. A key without a counterpart is another's 0. Empty when the
  // models' layers or heads differ in number.
  std::vector<double> head_divergence;
};

struct CompareOptions {
  int64_t top_k = 5;            // changes of each pair
  bool same_vocabulary = true;  // whether a token means the same in both
};

// Compares the traces. FAILED_PRECONDITION (NONFINITE_LOGITS) when one predicts no numbers;
// CANCELLED or DEADLINE_EXCEEDED when `stop`, which may be null, says so.
absl::StatusOr<Comparison> Compare(const CompareSide& a, const CompareSide& b,
                                   const CompareOptions& options, const StopSignal* stop = nullptr);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_COMPARE_H_
