#include "server/estimate_cost.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "server/attention_stream.h"
#include "server/convert_indices.h"
#include "server/experiment_methods.h"
#include "server/read_methods.h"
#include "server/run_source.h"
#include "server/trace_calls.h"

namespace heed {
namespace {

// What is known of a run before it is made.
struct Run {
  std::shared_ptr<const ServedModel> model;
  int64_t n_tokens = 0;
  bool traced = false;  // it is there already
  SiteSet sites;

  const ModelConfig& config() const { return model->model->config(); }
};

// Each weight multiplies each token once; scores and blends, of half the pairs where rows see no
// later ones.
double ForwardFlops(const Run& run) {
  const ModelConfig& config = run.config();
  const double n = static_cast<double>(run.n_tokens);
  const double table = static_cast<double>(config.vocab_size) * static_cast<double>(config.width);
  const double weights = static_cast<double>(run.model->model->parameter_count()) - table;
  const double pairs = config.causal ? n * (n + 1) / 2 : n * n;
  return 2 * std::max(weights, 0.0) * n +
         4 * pairs * static_cast<double>(config.query_width()) * config.n_layers;
}

double UnembedFlops(const Run& run) {
  return 2.0 * static_cast<double>(run.config().vocab_size) *
         static_cast<double>(run.config().width);
}

// The run of a request, validated as the call would. RESOURCE_EXHAUSTED means that it would be
// refused for its size.
template <typename Request>
absl::StatusOr<Run> PlanOf(const ServiceContext& context, const RunInput& input,
                           const Request& request,
                           SiteSet (*check)(const Request&, const ServedModel&, Violations*),
                           absl::Status (*check_length)(const Request&, const ModelConfig&,
                                                        int64_t)) {
  Run run;
  const auto fields = [&](const ServedModel& model, Violations* violations) {
    return run.sites = check(request, model, violations);
  };
  const auto length = [&](const ModelConfig& config, int64_t n_tokens) {
    return check_length(request, config, n_tokens);
  };
  if (!input.trace_id.empty()) {
    HEED_ASSIGN_OR_RETURN(ReadableRun found, FindRun(context, input, {fields, length}));
    run.model = found.model;
    run.n_tokens = found.run->prompt.size();
    run.traced = true;
    return run;
  }
  HEED_ASSIGN_OR_RETURN(PlannedRun plan, PlanRun(context, input, {fields, length}));
  run.model = plan.model;
  run.n_tokens = plan.prompt.size();
  return run;
}

// The run's own part.
void FillRun(const Run& run, v1::EstimateCostResponse* out) {
  if (run.traced) return;
  out->set_flops(ForwardFlops(run));
  out->set_held_bytes(TraceBytes(run.config(), run.sites, run.n_tokens));
}

SiteSet CheckOpenTrace(const v1::OpenTraceRequest& request, const ServedModel& model,
                       Violations* violations) {
  return SitesToKeep("keep", request.keep(), model.model->config(), violations);
}

absl::Status AnyLength(const v1::OpenTraceRequest&, const ModelConfig&, int64_t) {
  return absl::OkStatus();
}

absl::Status EstimateAttention(const ServiceContext& context,
                               const v1::GetAttentionRequest& request,
                               v1::EstimateCostResponse* out) {
  HEED_ASSIGN_OR_RETURN(const Run run,
                        PlanOf(context, RunInputOf(request), request, &AttentionStream::Check,
                               &AttentionStream::CheckLength));
  FillRun(run, out);
  HEED_ASSIGN_OR_RETURN(const int64_t bytes,
                        AttentionStream::AnswerBytes(request, run.config(), run.n_tokens));
  out->set_sent_bytes(bytes);
  if (IsPlainAttention(request)) out->set_held_bytes(bytes);
  return absl::OkStatus();
}

absl::Status EstimateLens(const ServiceContext& context, const v1::LogitLensRequest& request,
                          v1::EstimateCostResponse* out) {
  HEED_ASSIGN_OR_RETURN(const Run run,
                        PlanOf(context, RunInputOf(request), request, &LogitLensMethod::Check,
                               &LogitLensMethod::CheckLength));
  FillRun(run, out);
  const auto layers = ResolveIndices(request.layers(), run.config().n_layers + 1).size();
  const double positions = std::max(request.positions_size(), 1);
  out->set_flops(out->flops() + static_cast<double>(layers + 1) * positions * UnembedFlops(run));
  return absl::OkStatus();
}

// Cells of an experiment each take at most a forward pass.
void FillExperiment(const Run& run, int64_t cells, v1::EstimateCostResponse* out) {
  FillRun(run, out);
  out->set_flops(out->flops() +
                 static_cast<double>(cells) * (ForwardFlops(run) + UnembedFlops(run)));
  out->set_held_bytes(out->held_bytes() + ExperimentBench::CacheBytes(run.config(), run.n_tokens));
}

int64_t CellsOf(const v1::SweepRequest& request, const Run& run) {
  const ModelConfig& config = run.config();
  const auto count = [](int chosen, int64_t all) { return chosen > 0 ? chosen : all; };
  if (request.has_head_ablation()) {
    return count(request.head_ablation().layers_size(), config.n_layers) *
           count(request.head_ablation().heads_size(), config.n_heads);
  }
  if (request.has_edge_knock_out()) {
    return count(request.edge_knock_out().layers_size(), config.n_layers) * run.n_tokens;
  }
  if (request.has_activation_patching()) {
    const v1::ActivationPatching& grid = request.activation_patching();
    return count(grid.layers_size(), config.n_layers + 1) *
           (grid.by_head() ? count(grid.heads_size(), config.n_heads) : run.n_tokens);
  }
  return request.focus_dial().betas_size();
}

absl::Status Estimate(const ServiceContext& context, const v1::EstimateCostRequest& request,
                      v1::EstimateCostResponse* out) {
  switch (request.call_case()) {
    case v1::EstimateCostRequest::kOpenTrace: {
      const v1::OpenTraceRequest& call = request.open_trace();
      HEED_ASSIGN_OR_RETURN(const Run run,
                            PlanOf(context, RunInputOf(call), call, &CheckOpenTrace, &AnyLength));
      FillRun(run, out);
      break;
    }
    case v1::EstimateCostRequest::kGetAttention:
      HEED_RETURN_IF_ERROR(EstimateAttention(context, request.get_attention(), out));
      break;
    case v1::EstimateCostRequest::kLogitLens:
      HEED_RETURN_IF_ERROR(EstimateLens(context, request.logit_lens(), out));
      break;
    case v1::EstimateCostRequest::kIntervene: {
      const v1::InterveneRequest& call = request.intervene();
      HEED_ASSIGN_OR_RETURN(const Run run,
                            PlanOf(context, RunInputOf(call), call, &InterveneMethod::Check,
                                   &InterveneMethod::CheckLength));
      FillExperiment(run, call.sets_size(), out);
      break;
    }
    case v1::EstimateCostRequest::kSweep: {
      const v1::SweepRequest& call = request.sweep();
      HEED_ASSIGN_OR_RETURN(const Run run, PlanOf(context, RunInputOf(call), call,
                                                  &SweepStream::Check, &SweepStream::CheckLength));
      FillExperiment(run, CellsOf(call, run), out);
      break;
    }
    case v1::EstimateCostRequest::CALL_NOT_SET:
      return InvalidFields(
          {{"call",
            "is missing; set one of open_trace, get_attention, logit_lens, intervene, "
            "sweep"}});
  }
  return context.traces->CheckBytes(out->held_bytes());
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
