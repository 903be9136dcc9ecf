// Predict from the wire, validated and with every default filled in, and its answer back.
#ifndef HEED_SERVER_CONVERT_PREDICT_H_
#define HEED_SERVER_CONVERT_PREDICT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "heed/v1/prediction.pb.h"
#include "server/convert/intervention.h"
#include "server/convert/prompt.h"
#include "server/convert/request_limits.h"
#include "server/engine/predict_task.h"
#include "server/engine/registry.h"

namespace heed {

struct ResolvedPredict {
  ResolvedPrompt prompt;
  std::vector<int64_t> positions;  // to answer, in the order of the answer; may repeat
  CandidateChoice candidates;
  int intervention_count = 0;
  std::shared_ptr<InterventionSet> edits;  // null: none

  // The positions the engine runs: ascending, no repeats.
  std::vector<int64_t> DistinctPositions() const;
};

// FAILED_PRECONDITION (NOT_PREDICTIVE) for a model without a head. All wrong fields come back in
// one INVALID_ARGUMENT. Then OUT_OF_RANGE (POSITION_OUT_OF_RANGE), FAILED_PRECONDITION as
// ResolvePrompt and InterventionSet::Create, and RESOURCE_EXHAUSTED: DISTRIBUTION_BUDGET for too
// many whole distributions, REPLY_TOO_LARGE when the answer could not be sent.
absl::StatusOr<ResolvedPredict> ConvertPredict(const v1::PredictRequest& request,
                                               const ServedModel& model,
                                               const RequestLimits& limits,
                                               TraceStore* traces = nullptr);

// `positions` are those of DistinctPositions(). RESOURCE_EXHAUSTED (REPLY_TOO_LARGE).
absl::Status FillPredictResponse(const ResolvedPredict& resolved, const ServedModel& model,
                                 absl::Span<const PredictedPosition> positions,
                                 const EngineTimings& timings, v1::PredictResponse* out);

// The token of a choice; nullopt, with a violation, when there is none. FAILED_PRECONDITION for a
// text without a tokenizer becomes a violation too.
std::optional<TokenId> ResolveToken(absl::string_view field, const v1::TokenChoice& choice,
                                    const ServedModel& model, Violations* violations);

void FillCandidate(const ScoredToken& scored, const Tokenizer* tokenizer, v1::Candidate* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_PREDICT_H_
