// Numbers to read off a run's predictions, by which edits are judged.
#ifndef HEED_MODEL_INSPECT_METRIC_H_
#define HEED_MODEL_INSPECT_METRIC_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"
#include "model/tokenizer/tokenizer.h"

namespace heed {

// A token that should follow a position.
struct NextToken {
  int64_t position = -1;
  TokenId token = 0;
};

struct Metric {
  enum class Kind {
    kLogit,            // of `token`
    kLogitDifference,  // of `token`, less that of `against`
    kProbability,      // of `token`
    kRank,             // of `token`: 1 for the largest logit, equal ones by smaller id
    kKlFromBase,       // KL(base || run) in nats, over the vocabulary
    kLoss,             // mean of -ln p over `targets`
  };
  Kind kind = Kind::kLogit;
  int64_t position = -1;  // all but kLoss; negative values count from the end
  TokenId token = 0;
  TokenId against = 0;
  // kLoss only; positions as above. Empty: the prompt's own next tokens, of a causal model.
  std::vector<NextToken> targets;
};

// Reads metrics of runs of one prompt. Sums are in double precision, in the order of the
// vocabulary. Const methods are thread-safe.
class MetricReader {
 public:
  // Errors name fields by their paths, as in "metrics[1].position". INVALID_ARGUMENT for tokens
  // outside the vocabulary; OUT_OF_RANGE for positions outside the prompt; FAILED_PRECONDITION for
  // metrics of a model without a head, and for a loss that has no targets.
  static absl::StatusOr<MetricReader> Create(absl::Span<const Metric> metrics,
                                             absl::Span<const TokenId> tokens,
                                             const ModelConfig& config,
                                             absl::string_view field = "metrics");

  int64_t size() const { return static_cast<int64_t>(metrics_.size()); }
  // Whose logits are needed, ascending; without metrics the last one, if the model has a head.
  const std::vector<int64_t>& positions() const { return positions_; }
  // One more of them, counted from the start: for who looks at the logits themselves.
  void AddPosition(int64_t position);

  // Tells what the base predicts at one of the positions, before anything is read there.
  void SetBase(int64_t position, absl::Span<const float> logits);

  // Adds one position's share to `values` [size], which begin as zeros. After all positions they
  // are the metrics.
  void Read(int64_t position, absl::Span<const float> logits, absl::Span<double> values) const;

 private:
  MetricReader() = default;

  std::vector<Metric> metrics_;  // with positions from the start, and targets
  std::vector<int64_t> positions_;
  std::map<int64_t, std::vector<float>> base_;  // logits, where a metric needs them
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_METRIC_H_
