#include "server/inspect/run_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "server/convert/model.h"

namespace heed {
namespace {

// A sequence that is run only to be traced.
class TraceTask final : public SequenceTask {
 public:
  TraceTask(ReadableRun run, std::unique_ptr<TracedRun> traced,
            std::unique_ptr<TraceRecorder> recorder, std::shared_ptr<InterventionSet> edits,
            RunCallback done)
      : run_(std::move(run)),
        traced_(std::move(traced)),
        recorder_(std::move(recorder)),
        edits_(std::move(edits)),
        done_(std::move(done)) {}

  absl::StatusOr<std::optional<TokenId>> OnLogits(absl::Span<const int64_t>,
                                                  ConstMatrixRef) override {
    return std::nullopt;
  }

  void OnDone(const absl::Status& status, const EngineTimings& timings) override {
    if (!status.ok()) return done_(status);
    traced_->trace = recorder_->Finish(traced_->prompt.ids, edits_);
    traced_->held_bytes += traced_->trace->bytes();
    run_.run = std::move(traced_);
    run_.timings = timings;
    done_(std::move(run_));
  }

 private:
  ReadableRun run_;
  std::unique_ptr<TracedRun> traced_;
  const std::unique_ptr<TraceRecorder> recorder_;
  const std::shared_ptr<InterventionSet> edits_;
  const RunCallback done_;
};

}  // namespace

absl::StatusOr<ReadableRun> FindRun(const ServiceContext& context, const RunInput& input,
                                    const RunChecks& checks) {
  // A prompt is refused by the engine.
  HEED_RETURN_IF_ERROR(context.scheduler->CheckServing());
  HEED_ASSIGN_OR_RETURN(TraceStore::Found found, context.traces->Find(input.trace_id));
  Violations violations;
  if (input.has_prompt)
    violations.Add(input.prefix + "prompt", "is set beside trace_id; give one of the two");
  if (!input.interventions->empty()) {
    violations.Add(input.prefix + "interventions",
                   "are set beside trace_id; a trace has those that it was opened with");
  }
  if (!input.model.empty() && input.model != found.model->name) {
    violations.Add(input.prefix + "model",
                   absl::StrCat("is \"", input.model, "\", and the trace is of \"",
                                found.model->name, "\"; leave it out"));
  }
  const absl::Status answerable = checks.fields(*found.model, &violations).status();
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_RETURN_IF_ERROR(answerable);
  HEED_RETURN_IF_ERROR(checks.length(found.model->model->config(), found.run->prompt.size()));
  if (checks.kept != nullptr) {
    HEED_RETURN_IF_ERROR(checks.kept(*found.model->model, *found.run->trace));
  }
  ReadableRun run;
  run.model = std::move(found.model);
  run.run = std::move(found.run);
  run.trace_id = input.trace_id;
  run.traces = context.traces;
  return run;
}

absl::Status StartRun(const ServiceContext& context, const RunInput& input, const RunChecks& checks,
                      const std::string& client, const std::shared_ptr<StopSignal>& stop,
                      RunCallback done) {
  if (!input.trace_id.empty()) {
    HEED_ASSIGN_OR_RETURN(ReadableRun run, FindRun(context, input, checks));
    run.client = client;
    if (checks.cost != nullptr) {
      run.cost = checks.cost(*run.model->model, run.run->prompt.size());
    }
    if (run.cost.held_bytes > 0) {
      HEED_ASSIGN_OR_RETURN(TraceStore::Reservation memory,
                            context.traces->Reserve(client, run.cost.held_bytes));
      run.memory = std::make_shared<TraceStore::Reservation>(std::move(memory));
    }
    done(std::move(run));
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(PlannedRun plan, PlanRun(context, input, checks));
  return SubmitRun(context, std::move(plan), client, stop, std::move(done));
}

absl::StatusOr<PlannedRun> PlanRun(const ServiceContext& context, const RunInput& input,
                                   const RunChecks& checks) {
  PlannedRun plan;
  HEED_ASSIGN_OR_RETURN(plan.model, context.registry->Find(input.model));
  const ModelConfig& config = plan.model->model->config();
  Violations violations;
  CheckPrompt(*input.prompt, *plan.model, context.limits, &violations, input.prefix + "prompt");
  const absl::StatusOr<SiteSet> sites = checks.fields(*plan.model, &violations);
  HEED_ASSIGN_OR_RETURN(plan.interventions,
                        ReadInterventions(input.prefix + "interventions", *input.interventions,
                                          config, context.traces, &violations, &plan.source_bytes));
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_RETURN_IF_ERROR(sites.status());
  HEED_ASSIGN_OR_RETURN(
      plan.prompt, ResolvePrompt(*input.prompt, *plan.model, /*room=*/0, input.prefix + "prompt"));
  HEED_RETURN_IF_ERROR(checks.length(config, plan.prompt.size()));
  HEED_ASSIGN_OR_RETURN(
      plan.edits, MakeInterventionSet(input.prefix + "interventions", plan.interventions, config,
                                      {.prompt_tokens = plan.prompt.size()}));
  plan.sites = SitesUnderEdits(config, *sites, plan.edits.get());
  if (checks.cost != nullptr) plan.cost = checks.cost(*plan.model->model, plan.prompt.size());
  return plan;
}

int64_t PlannedRun::held_bytes() const {
  return TraceBytes(model->model->config(), sites, prompt.size()) + source_bytes + cost.held_bytes;
}

absl::Status SubmitRun(const ServiceContext& context, PlannedRun plan, const std::string& client,
                       const std::shared_ptr<StopSignal>& stop, RunCallback done,
                       bool continues_call) {
  const ModelConfig& config = plan.model->model->config();
  ReadableRun run;
  run.model = plan.model;
  run.traces = context.traces;
  run.client = client;
  run.tokenize_time = plan.prompt.tokenize_time;
  run.cost = plan.cost;
  HEED_ASSIGN_OR_RETURN(TraceStore::Reservation memory,
                        context.traces->Reserve(client, plan.is_reserved ? 0 : plan.held_bytes()));
  run.memory = std::make_shared<TraceStore::Reservation>(std::move(memory));
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<TraceRecorder> recorder,
                        TraceRecorder::Create(config, plan.sites, plan.prompt.size()));

  EngineRequest engine;
  engine.model = plan.model;
  engine.prompt = plan.prompt.ids;
  engine.plan.observer = recorder.get();
  engine.plan.editor = plan.edits.get();
  engine.continues_call = continues_call;
  engine.stop = stop;
  auto traced = std::make_unique<TracedRun>();
  traced->prompt = std::move(plan.prompt);
  traced->held_bytes = plan.source_bytes;
  traced->interventions = std::move(plan.interventions);
  traced->counterfactual_mask = plan.edits != nullptr && plan.edits->counterfactual_mask();
  engine.whole_prompt = plan.edits != nullptr && plan.edits->needs_whole_prompt();
  engine.task = std::make_unique<TraceTask>(std::move(run), std::move(traced), std::move(recorder),
                                            std::move(plan.edits), std::move(done));
  return context.scheduler->Submit(std::move(engine));
}

void FillProvenance(const ReadableRun& run, v1::Provenance* out) {
  FillModelProvenance(*run.model, out);
  out->set_intervention_count(static_cast<int>(run.run->interventions.size()));
  out->set_counterfactual_mask(run.run->counterfactual_mask);
  out->set_trace_id(run.trace_id);
}

}  // namespace heed
