// Generate from the wire, validated and with every default filled in, and its messages back.
#ifndef HEED_SERVER_CONVERT_GENERATE_H_
#define HEED_SERVER_CONVERT_GENERATE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "heed/v1/prediction.pb.h"
#include "model/inspect/trace.h"
#include "server/convert/intervention.h"
#include "server/convert/prompt.h"
#include "server/convert/request_limits.h"
#include "server/engine/generate_task.h"
#include "server/engine/registry.h"
#include "server/engine/trace_store.h"

namespace heed {

struct ResolvedGenerate {
  ResolvedPrompt prompt;
  GenerateJob job;
  std::optional<int64_t> seed;  // to report; absent when greedy
  std::vector<Intervention> interventions;
  std::shared_ptr<InterventionSet> edits;  // null: none
  bool keep_trace = false;
  int64_t source_bytes = 0;  // held by the traces that patches come from
  SiteSet sites;             // that the trace keeps besides those of every trace
  absl::Duration trace_ttl;
};

// FAILED_PRECONDITION (NOT_GENERATIVE) for a bidirectional model. All wrong fields come back in one
// INVALID_ARGUMENT. Then the errors of ResolvePrompt and InterventionSet::Create, and
// RESOURCE_EXHAUSTED (ATTENTION_BUDGET, REPLY_TOO_LARGE).
absl::StatusOr<ResolvedGenerate> ConvertGenerate(const v1::GenerateRequest& request,
                                                 const ServedModel& model,
                                                 const RequestLimits& limits,
                                                 TraceStore* traces = nullptr);

// Of the rows of attention that a whole generation sends.
int64_t AttentionBytes(const AttentionChoice& choice, int64_t prompt_length, int64_t max_tokens);

void FillGenerateStart(const ResolvedGenerate& resolved, const ServedModel& model,
                       v1::GenerateStart* out);
void FillGeneratedToken(const TokenEvent& event, const ServedModel& model, v1::GeneratedToken* out);
void FillGenerateEnd(const EndEvent& event, absl::Duration tokenize_time, v1::GenerateEnd* out);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_GENERATE_H_
