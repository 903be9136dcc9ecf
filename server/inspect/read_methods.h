// The reads of a run that have one answer: what each checks, and how its answer is made of the
// core's. Each is a Method of ReadCall.
#ifndef HEED_SERVER_INSPECT_READ_METHODS_H_
#define HEED_SERVER_INSPECT_READ_METHODS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heed/v1/inspection.pb.h"
#include "model/base/stop_signal.h"
#include "model/inspect/trace.h"
#include "server/convert/violations.h"
#include "server/inspect/run_source.h"

namespace heed {

// NAMEMethod for the RPC NAME.
#define HEED_READ_METHOD(NAME, REQUEST, RESPONSE)                                          \
  struct NAME##Method {                                                                    \
    using Request = v1::REQUEST;                                                           \
    using Response = v1::RESPONSE;                                                         \
    static absl::StatusOr<SiteSet> Check(const Request& request, const ServedModel& model, \
                                         Violations* violations);                          \
    static absl::Status CheckLength(const Request& request, const ModelConfig& config,     \
                                    int64_t n_tokens);                                     \
    static absl::Status Answer(const Request& request, const ReadableRun& run,             \
                               const StopSignal& stop, Response* response);                \
  }

HEED_READ_METHOD(ExplainRow, ExplainRowRequest, ExplainRowResponse);
HEED_READ_METHOD(HeadStats, GetHeadStatsRequest, GetHeadStatsResponse);
HEED_READ_METHOD(DetectHeads, DetectHeadsRequest, DetectHeadsResponse);
HEED_READ_METHOD(LogitLens, LogitLensRequest, LogitLensResponse);
HEED_READ_METHOD(AttributeLogits, AttributeLogitsRequest, AttributeLogitsResponse);
HEED_READ_METHOD(Rollout, RolloutRequest, RolloutResponse);
HEED_READ_METHOD(DecomposeAttention, DecomposeAttentionRequest, DecomposeAttentionResponse);

#undef HEED_READ_METHOD

// ExplainRow of a request that passed its checks: all of the response but provenance, prompt and
// timings.
absl::Status FillExplanation(const v1::ExplainRowRequest& request, const ServedModel& model,
                             const Trace& trace, v1::ExplainRowResponse* response);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_READ_METHODS_H_
