// The engine's side of Predict: logits in, numbers out.
#ifndef HEED_SERVER_ENGINE_PREDICT_TASK_H_
#define HEED_SERVER_ENGINE_PREDICT_TASK_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/generate/distribution.h"
#include "server/engine/scheduler.h"

namespace heed {

// Which tokens to report from each distribution.
struct CandidateChoice {
  enum class Kind { kTopK, kIds, kFull };
  Kind kind = Kind::kTopK;
  int64_t top_k = 10;
  std::vector<TokenId> ids;  // in the order to report them
};

// The distribution at one position, as far as it was asked for.
struct PredictedPosition {
  int64_t position = 0;
  std::vector<ScoredToken> candidates;
  std::vector<float> log_probabilities;  // [vocab_size] for kFull
  double entropy = 0;
  std::optional<ScoredToken> actual;
};

// Evaluates `choice` on one row of logits. `actual`: the token that really stands there, if there
// is one.
PredictedPosition EvaluatePosition(int64_t position, absl::Span<const float> logits,
                                   const CandidateChoice& choice, std::optional<TokenId> actual);

// A sequence that answers Predict.
class PredictTask final : public SequenceTask {
 public:
  struct Outcome {
    absl::Status status;
    EngineTimings timings;
    std::vector<PredictedPosition>
        positions;  // ascending, no repeats; complete when the status is OK
  };
  using DoneCallback = std::function<void(Outcome outcome)>;

  // `prompt` as given to the engine. `done` is called once, on the engine thread.
  PredictTask(std::vector<TokenId> prompt, bool causal, CandidateChoice choice, DoneCallback done);

  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t> positions,
                                                  ConstMatrixRef logits) override;
  void OnDone(const absl::Status& status, const EngineTimings& timings) override;

 private:
  const std::vector<TokenId> prompt_;
  const bool causal_;
  const CandidateChoice choice_;
  const DoneCallback done_;
  std::vector<PredictedPosition> positions_;
};

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_PREDICT_TASK_H_
