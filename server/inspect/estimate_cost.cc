#include "server/inspect/estimate_cost.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/convert/attention.h"
#include "server/convert/generate.h"
#include "server/convert/predict.h"
#include "server/convert/reply_size.h"
#include "server/convert/trace.h"
#include "server/inspect/activations_call.h"
#include "server/inspect/attention_stream.h"
#include "server/inspect/call_cost.h"
#include "server/inspect/experiment_methods.h"
#include "server/inspect/explore_session.h"
#include "server/inspect/kept_sites.h"
#include "server/inspect/read_methods.h"
#include "server/inspect/run_source.h"
#include "server/inspect/trace_calls.h"

namespace heed {
namespace {

// What a call needs of its run, before it is made, and what it does with it.
struct Plan {
  std::shared_ptr<const ServedModel> model;
  int64_t n_tokens = 0;
  bool is_traced = false;     // the run is there already
  int64_t run_bytes = 0;      // that it would reserve
  absl::Status size_problem;  // RESOURCE_EXHAUSTED: the call would be refused for its size

  const LanguageModel& language_model() const { return *model->model; }
};

using LengthCheck = absl::FunctionRef<absl::Status(const ModelConfig&, int64_t)>;
using KeptCheck = std::function<absl::Status(const LanguageModel&, const Trace&)>;

// As the call would be validated.
absl::StatusOr<Plan> PlanOf(const ServiceContext& context, const RunInput& input, FieldCheck check,
                            LengthCheck check_length, KeptCheck kept = nullptr) {
  Plan plan;
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    plan.size_problem = check_length(config, n_tokens);
    return absl::IsResourceExhausted(plan.size_problem) ? absl::OkStatus() : plan.size_problem;
  };
  if (!input.trace_id.empty()) {
    HEED_ASSIGN_OR_RETURN(
        const ReadableRun found,
        FindRun(context, input, {check, length, /*cost=*/nullptr, std::move(kept)}));
    plan.model = found.model;
    plan.n_tokens = found.run->prompt.size();
    plan.is_traced = true;
    return plan;
  }
  HEED_ASSIGN_OR_RETURN(const PlannedRun run, PlanRun(context, input, {check, length}));
  plan.model = run.model;
  plan.n_tokens = run.prompt.size();
  plan.run_bytes = run.held_bytes();
  return plan;
}

void AddRun(const Plan& plan, v1::EstimateCostResponse* out) {
  if (plan.is_traced) return;
  out->set_flops(out->flops() + ForwardFlops(plan.language_model(), plan.n_tokens));
  out->set_held_bytes(out->held_bytes() + plan.run_bytes);
}

void AddCost(const CallCost& cost, v1::EstimateCostResponse* out) {
  out->set_flops(out->flops() + cost.flops);
  out->set_held_bytes(out->held_bytes() + cost.held_bytes);
  out->set_sent_bytes(out->sent_bytes() + cost.sent_bytes);
}

// A call that reads one run, with a Method of ReadCall or ReadStreamCall.
template <typename Method>
absl::Status EstimateRead(const ServiceContext& context, const typename Method::Request& request,
                          v1::EstimateCostResponse* out) {
  const auto check = [&](const ServedModel& model,
                         Violations* violations) -> absl::StatusOr<SiteSet> {
    return Method::Check(request, model, violations);
  };
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    return Method::CheckLength(request, config, n_tokens);
  };
  const auto kept = [&](const LanguageModel& model, const Trace& trace) {
    return CheckKept(request, model, trace);
  };
  HEED_ASSIGN_OR_RETURN(const Plan plan, PlanOf(context, RunInputOf(request), check, length, kept));
  AddRun(plan, out);
  AddCost(CostOf(request, plan.language_model(), plan.n_tokens), out);
  HEED_RETURN_IF_ERROR(plan.size_problem);
  return context.traces->CheckBytes(out->held_bytes());
}

struct OpenTraceMethod {
  using Request = v1::OpenTraceRequest;
  static SiteSet Check(const Request& request, const ServedModel& model, Violations* violations) {
    return SitesToKeep("keep", request.keep(), model.model->config(), violations);
  }
  static absl::Status CheckLength(const Request&, const ModelConfig&, int64_t) {
    return absl::OkStatus();
  }
};

// What the forward pass hands out as it goes, which takes no trace and waits in memory; of what is
// more than a call may hold, a run.
absl::Status EstimatePlainAttention(const ServiceContext& context,
                                    const v1::GetAttentionRequest& request,
                                    v1::EstimateCostResponse* out) {
  const auto check = [&](const ServedModel& model, Violations* violations) {
    CheckSelection("selection", request.selection(), model.model->config(), violations);
    return SiteSet();
  };
  int64_t held_bytes = 0;
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) -> absl::Status {
    HEED_ASSIGN_OR_RETURN(const AttentionChoice choice,
                          ResolveSelection(request.selection(), config, n_tokens));
    held_bytes = SelectionBytes(choice, n_tokens);
    return CheckRowBytes(choice, n_tokens);
  };
  HEED_ASSIGN_OR_RETURN(Plan plan, PlanOf(context, RunInputOf(request), check, length));
  if (held_bytes > context.limits.max_attention_bytes) {
    return EstimateRead<AttentionStream>(context, request, out);
  }
  plan.run_bytes = 0;
  AddRun(plan, out);
  AddCost({.flops = 0, .held_bytes = held_bytes, .sent_bytes = held_bytes}, out);
  return plan.size_problem;
}

absl::Status EstimateCompare(const ServiceContext& context, const v1::CompareRequest& request,
                             v1::EstimateCostResponse* out) {
  const auto check = [](const ServedModel&, Violations*) { return SiteSet(); };
  const auto length = [](const ModelConfig&, int64_t) { return absl::OkStatus(); };
  const auto plan_side = [&](const v1::CompareSide& side, const std::string& prefix) {
    RunInput input = RunInputOf(side);
    input.prefix = prefix;
    return PlanOf(context, input, check, length);
  };
  HEED_ASSIGN_OR_RETURN(const Plan a, plan_side(request.a(), "a."));
  HEED_ASSIGN_OR_RETURN(const Plan b, plan_side(request.b(), "b."));
  AddRun(a, out);
  AddRun(b, out);
  AddCost(CompareCost(a.language_model(), a.n_tokens, b.language_model(), b.n_tokens), out);
  return context.traces->CheckBytes(out->held_bytes());
}

absl::Status EstimateExplore(const ServiceContext& context, const v1::ExploreRequest& request,
                             v1::EstimateCostResponse* out) {
  if (!request.has_open()) {
    return InvalidFields({{"open", "is missing; the first request opens the session"}});
  }
  const auto check = [&](const ServedModel& model, Violations* violations) {
    return ExploreSession::Check(request, model, violations);
  };
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    return ExploreSession::CheckLength(request, config, n_tokens);
  };
  RunInput input = RunInputOf(request.open());
  input.prefix = "open.";
  HEED_ASSIGN_OR_RETURN(const Plan plan, PlanOf(context, input, check, length));
  AddRun(plan, out);
  AddCost(CostOf(request, plan.language_model(), plan.n_tokens), out);
  v1::ExploreRequest edit = request;
  edit.mutable_edits();
  out->set_edit_flops(CostOf(edit, plan.language_model(), plan.n_tokens).flops);
  HEED_RETURN_IF_ERROR(plan.size_problem);
  return context.traces->CheckBytes(out->held_bytes());
}

// Predict and Generate refuse what is too large while they resolve it, and name the bytes.
void FillRefused(const absl::Status& status, v1::EstimateCostResponse* out) {
  for (const auto& [name, value] : GetErrorDetails(status).metadata) {
    int64_t bytes = 0;
    if ((name == "requested_bytes" || name == "reply_bytes") && absl::SimpleAtoi(value, &bytes)) {
      out->set_sent_bytes(bytes);
    }
  }
}

absl::Status EstimatePredict(const ServiceContext& context, const v1::PredictRequest& request,
                             v1::EstimateCostResponse* out) {
  using Kind = CandidateChoice::Kind;
  HEED_ASSIGN_OR_RETURN(const auto model, context.registry->Find(request.model()));
  const auto resolved = ConvertPredict(request, *model, context.limits, context.traces);
  FillRefused(resolved.status(), out);
  HEED_RETURN_IF_ERROR(resolved.status());
  const ModelConfig& config = model->model->config();
  const CandidateChoice& choice = resolved->candidates;
  const int64_t positions = static_cast<int64_t>(resolved->positions.size());
  const int64_t candidates =
      choice.kind == Kind::kTopK ? choice.top_k : static_cast<int64_t>(choice.ids.size());
  out->set_flops(ForwardFlops(*model->model, resolved->prompt.size()) +
                 static_cast<double>(resolved->DistinctPositions().size()) * UnembedFlops(config));
  // And the candidate that the position's own next token is.
  const int64_t bytes = choice.kind == Kind::kFull
                            ? config.vocab_size * static_cast<int64_t>(sizeof(float))
                            : candidates * kMinCandidateBytes;
  out->set_sent_bytes(positions * (bytes + kMinCandidateBytes));
  return absl::OkStatus();
}

absl::Status EstimateGenerate(const ServiceContext& context, const v1::GenerateRequest& request,
                              v1::EstimateCostResponse* out) {
  HEED_ASSIGN_OR_RETURN(const auto model, context.registry->Find(request.model()));
  const auto resolved = ConvertGenerate(request, *model, context.limits, context.traces);
  FillRefused(resolved.status(), out);
  HEED_RETURN_IF_ERROR(resolved.status());
  const ModelConfig& config = model->model->config();
  const GenerateJob& job = resolved->job;
  const int64_t prompt = resolved->prompt.size(), run = prompt + job.max_tokens - 1;
  out->set_flops(ForwardFlops(*model->model, run) +
                 static_cast<double>(job.max_tokens) * UnembedFlops(config));
  int64_t bytes = job.max_tokens * job.alternatives * kMinCandidateBytes;
  if (job.attention.has_value()) bytes += AttentionBytes(*job.attention, prompt, job.max_tokens);
  out->set_sent_bytes(bytes);
  if (!resolved->keep_trace) return absl::OkStatus();
  out->set_held_bytes(TraceBytes(config, resolved->sites, run) + resolved->source_bytes);
  return context.traces->CheckBytes(out->held_bytes());
}

absl::Status Estimate(const ServiceContext& context, const v1::EstimateCostRequest& request,
                      v1::EstimateCostResponse* out) {
  using Call = v1::EstimateCostRequest::CallCase;
  switch (request.call_case()) {
    case Call::kOpenTrace:
      return EstimateRead<OpenTraceMethod>(context, request.open_trace(), out);
    case Call::kGetAttention:
      return IsPlainAttention(request.get_attention())
                 ? EstimatePlainAttention(context, request.get_attention(), out)
                 : EstimateRead<AttentionStream>(context, request.get_attention(), out);
    case Call::kExplainRow:
      return EstimateRead<ExplainRowMethod>(context, request.explain_row(), out);
    case Call::kGetHeadStats:
      return EstimateRead<HeadStatsMethod>(context, request.get_head_stats(), out);
    case Call::kDetectHeads:
      return EstimateRead<DetectHeadsMethod>(context, request.detect_heads(), out);
    case Call::kGetActivations:
      return EstimateRead<ActivationsStream>(context, request.get_activations(), out);
    case Call::kLogitLens:
      return EstimateRead<LogitLensMethod>(context, request.logit_lens(), out);
    case Call::kAttributeLogits:
      return EstimateRead<AttributeLogitsMethod>(context, request.attribute_logits(), out);
    case Call::kRollout:
      return EstimateRead<RolloutMethod>(context, request.rollout(), out);
    case Call::kDecomposeAttention:
      return EstimateRead<DecomposeAttentionMethod>(context, request.decompose_attention(), out);
    case Call::kIntervene:
      return EstimateRead<InterveneMethod>(context, request.intervene(), out);
    case Call::kSweep:
      return EstimateRead<SweepStream>(context, request.sweep(), out);
    case Call::kCompare:
      return EstimateCompare(context, request.compare(), out);
    case Call::kPredict:
      return EstimatePredict(context, request.predict(), out);
    case Call::kGenerate:
      return EstimateGenerate(context, request.generate(), out);
    case Call::kExplore:
      return EstimateExplore(context, request.explore(), out);
    case Call::CALL_NOT_SET:
      break;
  }
  return InvalidFields({{"call", "is missing; set the call to estimate, such as open_trace"}});
}

// The error of a call as that of a request which has the call in the field `call`.
absl::Status UnderField(const absl::Status& status, absl::string_view call) {
  ErrorDetails details = GetErrorDetails(status);
  const std::string prefix = absl::StrCat(call, ".");
  if (!details.violations.empty()) {
    for (FieldViolation& violation : details.violations) violation.field.insert(0, prefix);
    return InvalidFields(std::move(details.violations));
  }
  for (auto& [name, value] : details.metadata) {
    if (name == "field") value.insert(0, prefix);
  }
  return MakeError(status.code(), details.reason, status.message(), std::move(details.metadata));
}

}  // namespace

absl::Status EstimateCost(const ServiceContext& context, const v1::EstimateCostRequest& request,
                          v1::EstimateCostResponse* response) {
  const absl::Status status = Estimate(context, request, response);
  if (!status.ok() && !absl::IsResourceExhausted(status)) {
    const auto* const call = request.GetDescriptor()->FindFieldByNumber(request.call_case());
    return call == nullptr ? status : UnderField(status, call->name());
  }
  response->set_allowed(status.ok());
  response->set_reason(std::string(status.message()));
  return absl::OkStatus();
}

}  // namespace heed
