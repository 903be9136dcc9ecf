// The run that a call reads: one of its own prompt, which the engine makes for it, or a trace.
#ifndef HEED_SERVER_INSPECT_RUN_SOURCE_H_
#define HEED_SERVER_INSPECT_RUN_SOURCE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "heed/v1/inspection.pb.h"
#include "server/calls/service_context.h"
#include "server/convert/intervention.h"
#include "server/convert/traced_run.h"
#include "server/convert/violations.h"
#include "server/engine/trace_store.h"
#include "server/inspect/call_cost.h"

namespace heed {

// Where the request says what to read. Borrows from it.
struct RunInput {
  std::string model;
  const v1::Prompt* prompt = nullptr;
  bool has_prompt = false;
  const WireInterventions* interventions = nullptr;
  std::string trace_id;
  std::string prefix;  // of the fields' paths: "a."
};

using FieldCheck = absl::FunctionRef<absl::StatusOr<SiteSet>(const ServedModel&, Violations*)>;

// What the rest of the request has to say.
struct RunChecks {
  // Adds what is wrong with it, as far as the prompt's length does not matter, and says which sites
  // the run must keep besides those of every trace. An error, which comes after all that is wrong:
  // the model has no answer.
  FieldCheck fields;
  // Errors that the number of tokens leads to.
  absl::FunctionRef<absl::Status(const ModelConfig&, int64_t n_tokens)> length;
  // What the call takes besides the run; the memory is reserved with it. Null: nothing.
  std::function<CallCost(const LanguageModel&, int64_t n_tokens)> cost = nullptr;
  // Errors of a trace that lacks what the call reads. Null: it reads what each keeps.
  std::function<absl::Status(const LanguageModel&, const Trace&)> kept = nullptr;
};

template <typename Request>
RunInput RunInputOf(const Request& request) {
  return {request.model(),          &request.prompt(),  request.has_prompt(),
          &request.interventions(), request.trace_id(), ""};
}

// It has neither trace_id nor any other input.
inline RunInput RunInputOf(const v1::OpenTraceRequest& request) {
  return {
      request.model(), &request.prompt(), request.has_prompt(), &request.interventions(), "", ""};
}

struct ReadableRun {
  std::shared_ptr<const ServedModel> model;
  std::shared_ptr<const TracedRun> run;
  std::string trace_id;  // empty: the run is this call's own
  TraceStore* traces = nullptr;
  std::string client;
  // The memory of this call's own run, and the cost's besides.
  std::shared_ptr<TraceStore::Reservation> memory;
  CallCost cost;  // RunChecks::cost
  absl::Duration tokenize_time;
  EngineTimings timings;
};

using RunCallback = std::function<void(absl::StatusOr<ReadableRun> run)>;

// Validates the input, together with `checks`, and finds the trace or hands the prompt to
// the engine; on OK `done` is called once, from this thread or the engine's, and must not block.
absl::Status StartRun(const ServiceContext& context, const RunInput& input, const RunChecks& checks,
                      const std::string& client, const std::shared_ptr<StopSignal>& stop,
                      RunCallback done);

// A trace, validated as StartRun does.
absl::StatusOr<ReadableRun> FindRun(const ServiceContext& context, const RunInput& input,
                                    const RunChecks& checks);

// A run that was validated.
struct PlannedRun {
  std::shared_ptr<const ServedModel> model;
  ResolvedPrompt prompt;
  std::vector<Intervention> interventions;
  std::shared_ptr<InterventionSet> edits;  // null: none
  SiteSet sites;
  int64_t source_bytes = 0;  // held by the traces that patches come from
  CallCost cost;             // RunChecks::cost
  bool is_reserved = false;  // another run of the call takes the memory for this one

  int64_t held_bytes() const;
};

// FAILED_PRECONDITION and OUT_OF_RANGE as ResolvePrompt and InterventionSet::Create. The input has
// a prompt.
absl::StatusOr<PlannedRun> PlanRun(const ServiceContext& context, const RunInput& input,
                                   const RunChecks& checks);

// RESOURCE_EXHAUSTED (TRACE_QUOTA), and as Scheduler::Submit, to which `continues_call` goes.
absl::Status SubmitRun(const ServiceContext& context, PlannedRun plan, const std::string& client,
                       const std::shared_ptr<StopSignal>& stop, RunCallback done,
                       bool continues_call = false);

// Which model and format answered, and what changed the run.
void FillProvenance(const ReadableRun& run, v1::Provenance* out);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_RUN_SOURCE_H_
