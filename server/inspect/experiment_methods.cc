#include "server/inspect/experiment_methods.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/compare.h"
#include "model/inspect/prediction.h"
#include "server/calls/codec.h"
#include "server/convert/metric.h"
#include "server/convert/model.h"
#include "server/convert/reply_size.h"
#include "server/engine/catch_exceptions.h"
#include "server/inspect/call_cost.h"

namespace heed {
namespace {

constexpr int64_t kMaxSets = 256;
constexpr int64_t kMaxMetrics = 16;
constexpr int64_t kMaxTopK = 100;
constexpr int64_t kMaxBetas = 256;
// Caches that edited runs of one experiment may use at a time, if its prompt is short.
constexpr int64_t kMaxCaches = 16;
constexpr int64_t kBatchTokens = 512;

std::string SetField(int index) {
  return absl::StrCat(Element("sets", index), ".interventions");
}

absl::Status RequireHead(const ModelConfig& config) {
  if (config.has_head) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NO_HEAD",
                   "the model has no language-model head, so nothing can be measured on what it "
                   "predicts");
}

std::vector<int> Ints(const google::protobuf::RepeatedField<int32_t>& values) {
  return {values.begin(), values.end()};
}

void FillCandidates(const Prediction& prediction, int64_t count, const ServedModel& model,
                    v1::InterveneResult* out) {
  for (const LensToken& token : prediction.Top(count)) {
    v1::Candidate* const candidate = out->add_candidates();
    FillToken(model.tokenizer.get(), token.id, ByteRange{}, candidate->mutable_token());
    candidate->set_log_probability(token.log_probability);
    candidate->set_probability(std::exp(token.log_probability));
    candidate->set_rank(static_cast<int32_t>(token.rank));
  }
}

// Where InterveneRequest.top_k is read, from the first metric: a loss has no position of its own.
int64_t CandidatesPosition(const Metric& metric, int64_t n_tokens) {
  if (metric.kind == Metric::Kind::kLoss) return n_tokens - 1;
  return metric.position < 0 ? metric.position + n_tokens : metric.position;
}

// Puts the cells' results where the response has them.
class InterveneSink final : public CellSink {
 public:
  InterveneSink(const v1::InterveneRequest& request, const ServedModel& model, int64_t position,
                v1::InterveneResponse* response)
      : request_(request), model_(model), position_(position), response_(response) {}

  void OnLogits(int64_t cell, int64_t position, absl::Span<const float> logits) override {
    if (position != position_ || request_.top_k() == 0) return;
    FillCandidates(Prediction(logits), request_.top_k(), model_, ResultOf(cell));
  }

  void OnCell(int64_t cell, const CellResult& result) override {
    v1::InterveneResult* const out = ResultOf(cell);
    out->set_counterfactual_mask(result.counterfactual_mask);
    if (!result.status.ok()) {
      out->set_problem(std::string(result.status.message()));
      out->clear_candidates();
      return;
    }
    out->mutable_values()->Assign(result.values.begin(), result.values.end());
    out->mutable_deltas()->Assign(result.deltas.begin(), result.deltas.end());
  }

 private:
  v1::InterveneResult* ResultOf(int64_t cell) const {
    return cell < 0 ? response_->mutable_base()
                    : response_->mutable_results(static_cast<int>(cell));
  }

  const v1::InterveneRequest& request_;
  const ServedModel& model_;
  const int64_t position_;
  v1::InterveneResponse* const response_;
};

class SweepSink final : public CellSink {
 public:
  SweepSink(int64_t columns, v1::SweepCells* out) : columns_(columns), out_(out) {}

  void OnCell(int64_t cell, const CellResult& result) override {
    v1::SweepCell* const wire = out_->add_cells();
    wire->set_row(static_cast<int32_t>(cell / columns_));
    wire->set_column(static_cast<int32_t>(cell % columns_));
    if (!result.status.ok()) {
      wire->set_problem(std::string(result.status.message()));
      return;
    }
    wire->set_value(result.values[0]);
    wire->set_delta(result.deltas[0]);
  }

 private:
  const int64_t columns_;
  v1::SweepCells* const out_;
};

// The path of the grid that a request asks for.
std::string GridField(const v1::SweepRequest& request) {
  switch (request.grid_case()) {
    case v1::SweepRequest::kHeadAblation:
      return "head_ablation";
    case v1::SweepRequest::kEdgeKnockOut:
      return "edge_knock_out";
    case v1::SweepRequest::kActivationPatching:
      return "activation_patching";
    case v1::SweepRequest::kFocusDial:
      return "focus_dial";
    case v1::SweepRequest::GRID_NOT_SET:
      break;
  }
  return "grid";
}

absl::StatusOr<SweepGrid> ReadGrid(const v1::SweepRequest& request, TraceStore* traces) {
  if (request.has_head_ablation()) {
    const v1::HeadAblation& wire = request.head_ablation();
    return HeadAblation{Ints(wire.layers()), Ints(wire.heads()), wire.mean(),
                        ReadSpans(wire.positions())};
  }
  if (request.has_edge_knock_out()) {
    const v1::EdgeKnockOut& wire = request.edge_knock_out();
    EdgeKnockOut grid{Ints(wire.layers()), Ints(wire.heads())};
    if (!wire.queries().empty()) grid.queries = ReadSpans(wire.queries());
    grid.keys = ReadSpans(wire.keys());
    return grid;
  }
  if (request.has_activation_patching()) {
    const v1::ActivationPatching& wire = request.activation_patching();
    HEED_ASSIGN_OR_RETURN(const TraceStore::Found clean, traces->Find(wire.clean_trace_id()));
    ActivationPatching grid;
    grid.clean = SharedTrace(clean.run);
    grid.site = SiteOf(wire.site()).value_or(Site::kResidual);
    grid.layers = Ints(wire.layers());
    grid.positions = ReadSpans(wire.positions());
    grid.by_head = wire.by_head();
    grid.heads = Ints(wire.heads());
    return grid;
  }
  const v1::FocusDial& wire = request.focus_dial();
  return FocusDial{Ints(wire.layers()),
                   Ints(wire.heads()),
                   ReadSpans(wire.positions()),
                   {wire.betas().begin(), wire.betas().end()}};
}

// The same checkpoint, or vocabularies of one size that spell every token alike.
bool HaveSameVocabulary(const ServedModel& a, const ServedModel& b) {
  if (a.digest == b.digest) return true;
  const Tokenizer* const left = a.tokenizer.get();
  const Tokenizer* const right = b.tokenizer.get();
  if (left == nullptr || right == nullptr || left->vocab_size() != right->vocab_size()) {
    return false;
  }
  if (a.model->config().vocab_size != b.model->config().vocab_size) return false;
  for (TokenId id = 0; id < left->vocab_size(); ++id) {
    if (left->Piece(id) != right->Piece(id)) return false;
  }
  return true;
}

void FillCandidate(const LensToken& token, const Tokenizer* tokenizer, v1::Candidate* out) {
  FillToken(tokenizer, token.id, ByteRange{}, out->mutable_token());
  out->set_log_probability(token.log_probability);
  out->set_probability(std::exp(token.log_probability));
  out->set_rank(static_cast<int32_t>(token.rank));
}

// RESOURCE_EXHAUSTED (REPLY_TOO_LARGE), together with what `response` holds already.
absl::Status FillPairs(const Comparison& comparison, const ServedModel& a, const ServedModel& b,
                       v1::CompareResponse* response) {
  int64_t bytes = static_cast<int64_t>(response->ByteSizeLong());
  for (size_t i = 0; i < comparison.pairs.size(); ++i) {
    v1::AlignedPair* const pair = response->add_pairs();
    pair->set_position_a(comparison.pairs[i].a);
    pair->set_position_b(comparison.pairs[i].b);
    pair->set_same_token(comparison.pairs[i].same_token);
    if (i < comparison.predictions.size()) {
      const PredictionChange& change = comparison.predictions[i];
      pair->set_kl(change.kl);
      FillCandidate(change.top_a, a.tokenizer.get(), pair->mutable_top_a());
      FillCandidate(change.top_b, b.tokenizer.get(), pair->mutable_top_b());
      for (const ProbabilityChange& token : change.changes) {
        v1::ProbabilityChange* const out = pair->add_changes();
        FillToken(a.tokenizer.get(), token.token, ByteRange{}, out->mutable_token());
        out->set_probability_a(token.a);
        out->set_probability_b(token.b);
      }
    }
    bytes += static_cast<int64_t>(pair->ByteSizeLong());
    HEED_RETURN_IF_ERROR(CheckReplyBytes(bytes));
  }
  return absl::OkStatus();
}

}  // namespace

// ---- ExperimentBench ----------------------------------------------------------------------------

namespace {

int64_t CachePages(int64_t n_tokens) {
  const int64_t caches = std::clamp<int64_t>(kBatchTokens / n_tokens, 1, kMaxCaches);
  return caches * ((n_tokens + kPageTokens - 1) / kPageTokens);
}

}  // namespace

int64_t ExperimentBench::CacheBytes(const ModelConfig& config, int64_t n_tokens) {
  return CachePages(n_tokens) * KvLayout::For(config).page_bytes();
}

absl::StatusOr<std::unique_ptr<ExperimentBench>> ExperimentBench::Create(const ReadableRun& run,
                                                                         MetricReader metrics,
                                                                         const StopSignal* stop) {
  const LanguageModel& model = *run.model->model;
  const ModelConfig& config = model.config();
  const int64_t n_tokens = run.run->trace->size();
  std::unique_ptr<ExperimentBench> bench(new ExperimentBench);
  bench->base_ = run.run->trace;
  if (run.cost.held_bytes == 0) {
    HEED_ASSIGN_OR_RETURN(bench->memory_,
                          run.traces->Reserve(run.client, CacheBytes(config, n_tokens)));
  }
  bench->pool_ = std::make_unique<KvPool>(KvLayout::For(config), CachePages(n_tokens));
  bench->workspace_ = model.NewWorkspace();
  bench->runs_.emplace(&model, bench->pool_.get(), bench->base_, std::move(metrics), stop,
                       EditedRunsOptions{.max_batch_tokens = kBatchTokens});
  return bench;
}

// ---- Intervene ----------------------------------------------------------------------------------

SiteSet InterveneMethod::Check(const Request& request, const ServedModel& model,
                               Violations* violations) {
  const ModelConfig& config = model.model->config();
  if (request.sets().empty()) violations->Add("sets", "is empty; give at least one");
  if (CheckCount("sets", request.sets_size(), kMaxSets, violations)) {
    for (int i = 0; i < request.sets_size(); ++i) {
      // Without a store nothing fails but what goes to `violations`.
      ReadInterventions(SetField(i), request.sets(i).interventions(), config, nullptr, violations)
          .IgnoreError();
    }
  }
  if (request.metrics().empty()) violations->Add("metrics", "is empty; give at least one");
  if (CheckCount("metrics", request.metrics_size(), kMaxMetrics, violations)) {
    for (int i = 0; i < request.metrics_size(); ++i) {
      ReadMetric(Element("metrics", i), request.metrics(i), model, violations);
    }
  }
  CheckInRange<int64_t>("top_k", request.top_k(), 0, std::min(kMaxTopK, config.vocab_size),
                        violations);
  return {Site::kResidual};
}

absl::Status InterveneMethod::CheckLength(const Request& request, const ModelConfig& config,
                                          int64_t n_tokens) {
  HEED_RETURN_IF_ERROR(RequireHead(config));
  for (int i = 0; i < request.metrics_size(); ++i) {
    HEED_RETURN_IF_ERROR(CheckMetricPosition(Element("metrics", i), request.metrics(i), n_tokens));
  }
  return CheckReplyBytes((request.sets_size() + 1) * request.top_k() * kMinCandidateBytes);
}

absl::Status InterveneMethod::Answer(const Request& request, const ReadableRun& run,
                                     const StopSignal& stop, Response* response) {
  const ModelConfig& config = run.model->model->config();
  Violations none;
  std::vector<Metric> metrics;
  for (const v1::Metric& wire : request.metrics()) {
    metrics.push_back(ReadMetric("", wire, *run.model, &none));
  }
  HEED_ASSIGN_OR_RETURN(MetricReader reader,
                        MetricReader::Create(metrics, run.run->trace->tokens(), config, "metrics"));
  const int64_t position = CandidatesPosition(metrics[0], run.run->trace->size());
  if (request.top_k() > 0) reader.AddPosition(position);
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<ExperimentBench> bench,
                        ExperimentBench::Create(run, std::move(reader), &stop));
  std::vector<EditedCell> cells;
  for (int i = 0; i < request.sets_size(); ++i) {
    HEED_ASSIGN_OR_RETURN(
        const std::vector<Intervention> interventions,
        ReadInterventions(SetField(i), request.sets(i).interventions(), config, run.traces, &none));
    HEED_ASSIGN_OR_RETURN(EditedCell cell,
                          MakeCell(*bench->base(), interventions, config, SetField(i)));
    cells.push_back(std::move(cell));
    response->add_results()->set_name(request.sets(i).name());
  }
  InterveneSink sink(request, *run.model, position, response);
  HEED_RETURN_IF_ERROR(bench->runs().ReadBase(&sink));
  const std::vector<double>& base = bench->runs().base_values();
  response->mutable_base()->mutable_values()->Assign(base.begin(), base.end());
  response->mutable_base()->set_counterfactual_mask(run.run->counterfactual_mask);
  return bench->runs().RunAll(cells, bench->workspace(), sink);
}

// ---- Sweep --------------------------------------------------------------------------------------

SiteSet SweepStream::Check(const Request& request, const ServedModel& model,
                           Violations* violations) {
  ReadMetric("metric", request.metric(), model, violations);
  if (request.grid_case() == Request::GRID_NOT_SET) {
    violations->Add("grid",
                    "is missing; set one of head_ablation, edge_knock_out, activation_patching, "
                    "focus_dial");
  }
  if (request.has_activation_patching()) {
    const v1::ActivationPatching& patching = request.activation_patching();
    ReadSite("activation_patching.site", patching.site(), Site::kResidual, violations);
    if (patching.clean_trace_id().empty()) {
      violations->Add("activation_patching.clean_trace_id",
                      "is empty; name a trace of the clean prompt");
    }
  }
  CheckCount("focus_dial.betas", request.focus_dial().betas_size(), kMaxBetas, violations);
  CheckSpans("head_ablation.positions", request.head_ablation().positions(), violations);
  CheckSpans("edge_knock_out.queries", request.edge_knock_out().queries(), violations);
  CheckSpans("edge_knock_out.keys", request.edge_knock_out().keys(), violations);
  CheckSpans("activation_patching.positions", request.activation_patching().positions(),
             violations);
  CheckSpans("focus_dial.positions", request.focus_dial().positions(), violations);
  return {Site::kResidual};
}

absl::Status SweepStream::CheckLength(const Request& request, const ModelConfig& config,
                                      int64_t n_tokens) {
  HEED_RETURN_IF_ERROR(RequireHead(config));
  return CheckMetricPosition("metric", request.metric(), n_tokens);
}

absl::StatusOr<std::unique_ptr<SweepStream>> SweepStream::Create(const Request& request,
                                                                 ReadableRun* run,
                                                                 const StopSignal* stop) {
  Violations none;
  const Metric metric = ReadMetric("metric", request.metric(), *run->model, &none);
  std::unique_ptr<SweepStream> stream(new SweepStream(run));
  HEED_ASSIGN_OR_RETURN(MetricReader reader,
                        MetricReader::Create({metric}, run->run->trace->tokens(),
                                             run->model->model->config(), "metric"));
  HEED_ASSIGN_OR_RETURN(stream->bench_, ExperimentBench::Create(*run, std::move(reader), stop));
  HEED_ASSIGN_OR_RETURN(SweepGrid grid, ReadGrid(request, run->traces));
  HEED_ASSIGN_OR_RETURN(stream->sweep_,
                        Sweep::Create(std::move(grid), stream->bench_->base(),
                                      run->model->model->config(), GridField(request)));
  HEED_RETURN_IF_ERROR(stream->bench_->runs().ReadBase());
  return stream;
}

absl::StatusOr<bool> SweepStream::Next(Response* out) {
  if (!header_sent_) {
    header_sent_ = true;
    FillHeader(out->mutable_header());
    return true;
  }
  const SweepAxes& axes = sweep_->axes();
  if (next_cell_ < axes.cells()) {
    v1::SweepCells* const cells = out->mutable_cells();
    SweepSink sink(static_cast<int64_t>(axes.columns.size()), cells);
    HEED_ASSIGN_OR_RETURN(const int64_t ran,
                          RunSweep(*sweep_, next_cell_, bench_->runs(), bench_->workspace(), sink));
    next_cell_ += ran;
    cells->set_done_count(next_cell_);
    cells->set_total_count(axes.cells());
    return true;
  }
  if (end_sent_) return false;
  end_sent_ = true;
  FillTimings(run_->tokenize_time, run_->timings, out->mutable_end()->mutable_timings());
  return true;
}

void SweepStream::FillHeader(v1::SweepHeader* out) const {
  const SweepAxes& axes = sweep_->axes();
  FillProvenance(*run_, out->mutable_provenance());
  FillPromptInfo(run_->run->prompt, *run_->model, out->mutable_prompt());
  out->mutable_rows()->Assign(axes.rows.begin(), axes.rows.end());
  out->mutable_columns()->Assign(axes.columns.begin(), axes.columns.end());
  out->set_row_name(axes.row_name);
  out->set_column_name(axes.column_name);
  out->set_base(bench_->runs().base_values()[0]);
}

// ---- Compare ------------------------------------------------------------------------------------

absl::Status CompareCall::Submit(const grpc::ByteBuffer& request_bytes) {
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request_));
  if (request_.has_top_k()) {
    Violations violations;
    CheckInRange<int64_t>("top_k", request_.top_k(), 0, kMaxTopK, &violations);
    HEED_RETURN_IF_ERROR(violations.ToStatus());
  }
  HEED_RETURN_IF_ERROR(Prepare(request_.a(), "a.", &a_));
  HEED_RETURN_IF_ERROR(Prepare(request_.b(), "b.", &b_));
  if (a_.plan.has_value() && b_.plan.has_value()) {
    a_.plan->cost.held_bytes = b_.plan->held_bytes();
    b_.plan->is_reserved = true;
  }
  return GoOn(/*continues_call=*/false);
}

absl::Status CompareCall::Prepare(const v1::CompareSide& wire, const std::string& prefix,
                                  Side* side) {
  RunInput input = RunInputOf(wire);
  input.prefix = prefix;
  const auto fields = [](const ServedModel&, Violations*) { return SiteSet(); };
  const auto length = [](const ModelConfig&, int64_t) { return absl::OkStatus(); };
  const RunChecks checks{fields, length};
  if (!wire.trace_id().empty()) {
    HEED_ASSIGN_OR_RETURN(side->run, FindRun(context(), input, checks));
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(side->plan, PlanRun(context(), input, checks));
  return absl::OkStatus();
}

absl::Status CompareCall::GoOn(bool continues_call) {
  for (Side* const side : {&a_, &b_}) {
    if (!side->plan.has_value()) continue;
    PlannedRun plan = *std::move(side->plan);
    side->plan.reset();
    return SubmitRun(
        context(), std::move(plan), client(), stop(),
        [this, self = shared_from_this(), side](absl::StatusOr<ReadableRun> run) {
          OnRun(side, std::move(run));
        },
        continues_call);
  }
  const double flops = CompareCost(*a_.run.model->model, a_.run.run->prompt.size(),
                                   *b_.run.model->model, b_.run.run->prompt.size())
                           .flops;
  return context().workers->Post(
      [this, self = shared_from_this()] {
        absl::StatusOr<grpc::ByteBuffer> reply = CatchExceptions([&] { return Answer(); });
        a_.run = b_.run = ReadableRun();  // given back before the client may ask for more
        PostReply([reply = std::move(reply)] { return reply; });
      },
      {client(), flops > kLongFlops});
}

void CompareCall::OnRun(Side* side, absl::StatusOr<ReadableRun> run) {
  if (!run.ok()) return Fail(run.status());
  side->run = *std::move(run);
  const absl::Status status = GoOn(/*continues_call=*/true);
  if (!status.ok()) Fail(status);
}

void CompareCall::Fail(const absl::Status& status) {
  PostReply([status]() -> absl::StatusOr<grpc::ByteBuffer> { return status; });
}

absl::StatusOr<grpc::ByteBuffer> CompareCall::Answer() const {
  const absl::Time start = absl::Now();
  CompareOptions options;
  if (request_.has_top_k()) options.top_k = request_.top_k();
  options.same_vocabulary = HaveSameVocabulary(*a_.run.model, *b_.run.model);
  HEED_ASSIGN_OR_RETURN(
      const Comparison comparison,
      Compare({a_.run.model->model.get(), a_.run.run->trace.get()},
              {b_.run.model->model.get(), b_.run.run->trace.get()}, options, stop().get()));
  v1::CompareResponse response;
  FillProvenance(a_.run, response.mutable_a());
  FillProvenance(b_.run, response.mutable_b());
  response.mutable_a()->set_definition("KL_NATS, JENSEN_SHANNON_NATS");
  FillPromptInfo(a_.run.run->prompt, *a_.run.model, response.mutable_prompt_a());
  FillPromptInfo(b_.run.run->prompt, *b_.run.model, response.mutable_prompt_b());
  HEED_RETURN_IF_ERROR(FillPairs(comparison, *a_.run.model, *b_.run.model, &response));
  if (!comparison.head_divergence.empty()) {
    const ModelConfig& config = a_.run.model->model->config();
    const std::vector<float> divergence(comparison.head_divergence.begin(),
                                        comparison.head_divergence.end());
    FillTensor(divergence, {config.n_layers, config.n_heads}, response.mutable_head_divergence());
  }
  if (comparison.first_divergence.has_value()) {
    response.set_first_divergence(static_cast<int32_t>(*comparison.first_divergence));
  }
  EngineTimings timings;
  for (const Side* side : {&a_, &b_}) {
    timings.queue += side->run.timings.queue;
    timings.compute += side->run.timings.compute;
  }
  timings.compute += absl::Now() - start;
  FillTimings(a_.run.tokenize_time + b_.run.tokenize_time, timings, response.mutable_timings());
  return SerializeReply(response);
}

}  // namespace heed
