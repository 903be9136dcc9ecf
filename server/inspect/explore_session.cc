#include "server/inspect/explore_session.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/finite.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/logit_lens.h"
#include "model/inspect/prediction.h"
#include "server/convert/attention.h"
#include "server/convert/metric.h"
#include "server/convert/model.h"
#include "server/inspect/call_cost.h"
#include "server/inspect/read_methods.h"
#include "server/inspect/read_parts.h"

namespace heed {
namespace {

constexpr int64_t kMaxPositions = 64;
constexpr int64_t kMaxTopK = 100;
constexpr int64_t kMaxMetrics = 16;
constexpr int64_t kMaxRowChoices = 64;
constexpr size_t kMaxVectors = size_t{256} << 10;  // bytes of a row's keys or values
// Positions whose logits are in memory at once.
constexpr int64_t kLogitRows = 32;

// True when all may be read.
bool CheckWatchCounts(const v1::ExploreWatch& watch, Violations* violations) {
  bool ok = true;
  const auto check = [&](absl::string_view field, int64_t count, int64_t limit) {
    ok &= CheckCount(field, count, limit, violations);
    return ok;
  };
  check("watch.positions", watch.positions_size(), kMaxPositions);
  check("watch.tokens", watch.tokens_size(), kMaxTokensToFollow);
  check("watch.metrics", watch.metrics_size(), kMaxMetrics);
  if (!check("watch.rows", watch.rows_size(), kMaxRowChoices)) return false;
  int64_t listed = 0;
  for (const v1::ExploreRowChoice& rows : watch.rows()) {
    listed += rows.layers_size() + rows.heads_size() + rows.queries_size();
  }
  if (listed <= kMaxListed) return true;
  violations->Add(
      "watch.rows",
      absl::StrCat("name ", listed, " layers, heads and queries in all; at most ", kMaxListed));
  return false;
}

void CheckWatch(const v1::ExploreWatch& watch, const ServedModel& model, Violations* violations) {
  if (!CheckWatchCounts(watch, violations)) return;
  const ModelConfig& config = ConfigOf(model);
  CheckInRange<int64_t>("watch.top_k", watch.top_k(), 0, std::min(kMaxTopK, config.vocab_size),
                        violations);
  ResolveTokens("watch.tokens", watch.tokens(), model, violations);
  for (int i = 0; i < watch.metrics_size(); ++i) {
    ReadMetric(Element("watch.metrics", i), watch.metrics(i), model, violations);
  }
  for (int i = 0; i < watch.rows_size(); ++i) {
    const std::string field = Element("watch.rows", i);
    CheckIndices(absl::StrCat(field, ".layers"), watch.rows(i).layers(), config.n_layers,
                 violations);
    CheckIndices(absl::StrCat(field, ".heads"), watch.rows(i).heads(), config.n_heads, violations);
  }
}

void CheckHover(const v1::ExploreHover& hover, const ServedModel& model, Violations* violations) {
  if (hover.off()) return;
  const ModelConfig& config = ConfigOf(model);
  CheckInRange<int64_t>("hover.layer", hover.layer(), -config.n_layers, config.n_layers - 1,
                        violations);
  CheckInRange<int64_t>("hover.head", hover.head(), -config.n_heads, config.n_heads - 1,
                        violations);
  ResolveTokens("hover.tokens", hover.tokens(), model, violations);
}

// The rows of one choice, resolved.
struct RowGroup {
  std::vector<int> layers, heads;
  std::vector<int64_t> queries;

  int64_t size() const {
    return static_cast<int64_t>(layers.size() * heads.size() * queries.size());
  }
};

absl::StatusOr<std::vector<RowGroup>> ResolveRows(const v1::ExploreWatch& watch,
                                                  const ModelConfig& config, int64_t n_tokens) {
  std::vector<RowGroup> groups;
  for (int i = 0; i < watch.rows_size(); ++i) {
    const v1::ExploreRowChoice& wire = watch.rows(i);
    RowGroup& group = groups.emplace_back();
    group.layers = ResolveIndices(wire.layers(), config.n_layers);
    group.heads = ResolveIndices(wire.heads(), config.n_heads);
    HEED_ASSIGN_OR_RETURN(group.queries,
                          ResolvePositions(absl::StrCat(Element("watch.rows", i), ".queries"),
                                           wire.queries(), n_tokens, {n_tokens - 1}));
  }
  return groups;
}

absl::StatusOr<std::vector<int64_t>> ResolveWatched(const v1::ExploreWatch& watch,
                                                    const ModelConfig& config, int64_t n_tokens) {
  std::vector<int64_t> fallback;
  if (config.has_head) fallback.push_back(n_tokens - 1);
  return ResolvePositions("watch.positions", watch.positions(), n_tokens, std::move(fallback));
}

absl::Status CheckWatchLength(const v1::ExploreWatch& watch, const ModelConfig& config,
                              int64_t n_tokens) {
  const bool predicts =
      !watch.positions().empty() || !watch.tokens().empty() || !watch.metrics().empty();
  if (predicts && !config.has_head) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_HEAD",
                     "the model has no language-model head, so there are no predictions to watch; "
                     "leave out watch.positions, watch.tokens and watch.metrics");
  }
  HEED_RETURN_IF_ERROR(ResolveWatched(watch, config, n_tokens).status());
  for (int i = 0; i < watch.metrics_size(); ++i) {
    HEED_RETURN_IF_ERROR(
        CheckMetricPosition(Element("watch.metrics", i), watch.metrics(i), n_tokens));
  }
  HEED_ASSIGN_OR_RETURN(const std::vector<RowGroup> groups, ResolveRows(watch, config, n_tokens));
  int64_t rows = 0;
  for (const RowGroup& group : groups) rows += group.size();
  return CheckFloats(2 * rows * n_tokens, "watch fewer layers, heads or queries");
}

// Leaves out vectors that were not asked for, or are too long to be sent again and again.
void KeepVectors(bool wanted, v1::ExplainRowResponse* row) {
  const auto is_long = [](const v1::Tensor& tensor) { return tensor.data().size() > kMaxVectors; };
  if (!wanted) row->clear_query_vector();
  if (!wanted || is_long(row->key_vectors())) row->clear_key_vectors();
  if (!wanted || is_long(row->value_vectors())) row->clear_value_vectors();
}

v1::ExplainRowRequest ToExplainRow(const v1::ExploreHover& hover) {
  v1::ExplainRowRequest request;
  request.set_layer(hover.layer());
  request.set_head(hover.head());
  request.set_query(hover.query());
  *request.mutable_tokens() = hover.tokens();
  return request;
}

// The rows of a group in one layer of a trace, [heads, queries].
void ReadLayerRows(const LanguageModel& model, const Trace& trace, int layer, const RowGroup& group,
                   v1::Tensor* (*tensor_of)(v1::ExploreRow*), absl::Span<v1::ExploreRow> rows,
                   std::vector<double>* entropies) {
  const LayerAttention attention(model, trace, layer);
  entropies->assign(rows.size(), 0);
  // From several threads, each for rows of its own.
  attention.Read(AttentionStage::kWeights, group.heads, group.queries,
                 [&](int head, int64_t query, absl::Span<const float> weights) {
                   const size_t h = std::lower_bound(group.heads.begin(), group.heads.end(), head) -
                                    group.heads.begin();
                   const size_t q =
                       std::lower_bound(group.queries.begin(), group.queries.end(), query) -
                       group.queries.begin();
                   const size_t at = h * group.queries.size() + q;
                   v1::ExploreRow& row = rows[at];
                   row.set_layer(layer);
                   row.set_head(head);
                   row.set_query(query);
                   FillVector(weights.subspan(0, attention.KeyCount(head, query)), tensor_of(&row));
                   (*entropies)[at] = StatsOf(query, weights).entropy;
                 });
}

}  // namespace

struct ExploreSession::Watch {
  std::vector<int64_t> positions;
  int64_t top_k = ExploreSession::kDefaultTopK;
  std::vector<TokenId> followed;
  std::vector<RowGroup> rows;
  std::optional<MetricReader> metrics;  // none for a model without a head
  // Of the base.
  std::vector<double> base_values;
  std::vector<float> base_logits;  // [positions, vocab_size]
  int64_t held_bytes = 0;
  TraceStore::Reservation memory;

  // All whose logits are needed, ascending.
  std::vector<int64_t> LogitPositions() const {
    std::vector<int64_t> all = positions;
    if (metrics.has_value() && metrics->size() > 0) {
      all.insert(all.end(), metrics->positions().begin(), metrics->positions().end());
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }
};

struct ExploreSession::Hover {
  v1::ExplainRowRequest request;
  bool vectors = false;
  v1::ExplainRowResponse base;
};

// All that is watched, as it is now.
struct ExploreSession::Reading {
  bool predictions_read = false;
  std::vector<v1::ExplorePrediction> predictions;  // by position
  v1::ExploreMetrics metrics;
  // Of all groups, [layers, heads, queries] each; of those that were not read nothing is set.
  std::vector<v1::ExploreRow> rows;
  std::vector<bool> row_read;
  v1::ExplainRowResponse hovered;
};

namespace {

// Calls fn(position, logits) for each of the positions.
template <typename Fn>
absl::Status ForEachLogits(const LanguageModel& model, const Trace& trace,
                           absl::Span<const int64_t> positions, const Fn& fn) {
  const int64_t vocab = model.config().vocab_size;
  for (size_t begin = 0; begin < positions.size(); begin += kLogitRows) {
    const auto some = positions.subspan(begin, kLogitRows);
    HEED_ASSIGN_OR_RETURN(const std::vector<float> logits, TraceLogits(model, trace, some));
    for (size_t i = 0; i < some.size(); ++i) {
      HEED_RETURN_IF_ERROR(fn(some[i], absl::MakeConstSpan(logits).subspan(i * vocab, vocab)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

// ---- What requests say --------------------------------------------------------------------------

SiteSet ExploreSession::Check(const v1::ExploreRequest& request, const ServedModel& model,
                              Violations* violations) {
  if (request.has_edits()) {
    // Without a store nothing fails but what goes to `violations`.
    ReadInterventions("edits.interventions", request.edits().interventions(), ConfigOf(model),
                      nullptr, violations)
        .IgnoreError();
  }
  if (request.has_watch()) CheckWatch(request.watch(), model, violations);
  if (request.has_hover()) CheckHover(request.hover(), model, violations);
  return {Site::kResidual};
}

absl::Status ExploreSession::CheckLength(const v1::ExploreRequest& request,
                                         const ModelConfig& config, int64_t n_tokens) {
  if (request.has_watch()) {
    HEED_RETURN_IF_ERROR(CheckWatchLength(request.watch(), config, n_tokens));
  }
  if (request.has_hover() && !request.hover().off()) {
    HEED_RETURN_IF_ERROR(
        ResolvePosition("hover.query", request.hover().query(), n_tokens).status());
  }
  return absl::OkStatus();
}

absl::Status ExploreSession::CheckForm(const v1::ExploreRequest& request) {
  Violations violations;
  if (request.has_open()) {
    violations.Add("open", "is for the first request; end this call and begin another");
  } else if (!request.has_edits() && !request.has_watch() && !request.has_hover()) {
    violations.Add("edits", "is missing, and so are watch and hover; set one of them at least");
  }
  CheckWatchCounts(request.watch(), &violations);
  CheckCount("hover.tokens", request.hover().tokens_size(), kMaxTokensToFollow, &violations);
  return violations.ToStatus();
}

ExploreSession::~ExploreSession() = default;

int64_t ExploreSession::EditedBytes(const ModelConfig& config, int64_t n_tokens) {
  return 2 * TraceBytes(config, {}, n_tokens) + ExperimentBench::CacheBytes(config, n_tokens);
}

absl::StatusOr<std::unique_ptr<ExploreSession>> ExploreSession::Create(ReadableRun run,
                                                                       const StopSignal* stop) {
  std::unique_ptr<ExploreSession> session(new ExploreSession(std::move(run)));
  const ReadableRun& base = session->run_;
  HEED_ASSIGN_OR_RETURN(MetricReader no_metrics,
                        MetricReader::Create({}, base.run->trace->tokens(), session->config()));
  HEED_ASSIGN_OR_RETURN(session->bench_,
                        ExperimentBench::Create(base, std::move(no_metrics), stop));
  session->held_bytes_ = base.cost.held_bytes;
  if (base.trace_id.empty()) session->held_bytes_ += base.run->held_bytes;
  session->state_.trace = base.run->trace;
  HEED_RETURN_IF_ERROR(session->SetEdits({}, &session->state_));
  return session;
}

absl::Status ExploreSession::Take(const v1::ExploreRequest& request) {
  Violations violations;
  Check(request, *run_.model, &violations);
  HEED_RETURN_IF_ERROR(violations.ToStatus());
  HEED_RETURN_IF_ERROR(CheckLength(request, config(), base().size()));
  State next = state_;
  if (request.has_watch() || next.watch == nullptr) {
    HEED_RETURN_IF_ERROR(SetWatch(request.watch(), &next));
  }
  if (request.has_hover()) HEED_RETURN_IF_ERROR(SetHover(request.hover(), &next));
  if (request.has_edits()) HEED_RETURN_IF_ERROR(SetEdits(request.edits(), &next));
  edits_replaced_ |= request.has_edits();
  state_ = std::move(next);
  return absl::OkStatus();
}

absl::Status ExploreSession::SetEdits(const v1::InterventionSet& wire, State* next) {
  Violations none;
  HEED_ASSIGN_OR_RETURN(
      const std::vector<Intervention> interventions,
      ReadInterventions("edits.interventions", wire.interventions(), config(), run_.traces, &none));
  HEED_ASSIGN_OR_RETURN(const EditedCell cell,
                        MakeCell(base(), interventions, config(), "edits.interventions"));
  HEED_ASSIGN_OR_RETURN(next->trace, bench_->runs().RunTraced(cell, bench_->workspace()));
  const EditedRuns::Start start = bench_->runs().StartOf(cell);
  next->edits.set_name(wire.name());
  next->edits.set_intervention_count(wire.interventions_size());
  next->edits.set_counterfactual_mask(cell->counterfactual_mask());
  next->edits.set_first_layer(start.layer);
  next->edits.set_first_position(start.position);
  return absl::OkStatus();
}

absl::Status ExploreSession::SetWatch(const v1::ExploreWatch& wire, State* next) const {
  auto watch = std::make_shared<Watch>();
  HEED_ASSIGN_OR_RETURN(watch->positions, ResolveWatched(wire, config(), base().size()));
  HEED_ASSIGN_OR_RETURN(watch->rows, ResolveRows(wire, config(), base().size()));
  watch->top_k =
      wire.has_top_k() ? wire.top_k() : std::min<int64_t>(kDefaultTopK, config().vocab_size);
  watch->followed = ResolveCheckedTokens(wire.tokens(), *run_.model);
  if (config().has_head) {
    std::vector<Metric> metrics;
    Violations none;
    for (const v1::Metric& metric : wire.metrics()) {
      metrics.push_back(ReadMetric("", metric, *run_.model, &none));
    }
    HEED_ASSIGN_OR_RETURN(
        watch->metrics, MetricReader::Create(metrics, base().tokens(), config(), "watch.metrics"));
    watch->base_values.assign(metrics.size(), 0);
    watch->held_bytes = WatchBytes(config(), static_cast<int64_t>(watch->positions.size()),
                                   static_cast<int64_t>(metrics.size()));
    HEED_ASSIGN_OR_RETURN(watch->memory, run_.traces->Reserve(run_.client, watch->held_bytes));
    HEED_RETURN_IF_ERROR(ForEachLogits(
        *run_.model->model, base(), watch->LogitPositions(),
        [&](int64_t position, absl::Span<const float> logits) -> absl::Status {
          if (!AllFinite(logits)) {
            return NonfiniteLogits(absl::StatusCode::kFailedPrecondition, "the base's", position);
          }
          watch->metrics->SetBase(position, logits);
          watch->metrics->Read(position, logits, absl::MakeSpan(watch->base_values));
          if (std::binary_search(watch->positions.begin(), watch->positions.end(), position)) {
            watch->base_logits.insert(watch->base_logits.end(), logits.begin(), logits.end());
          }
          return absl::OkStatus();
        }));
  }
  next->watch = std::move(watch);
  return absl::OkStatus();
}

absl::Status ExploreSession::SetHover(const v1::ExploreHover& wire, State* next) const {
  next->hover.reset();
  if (wire.off()) return absl::OkStatus();
  auto hover = std::make_shared<Hover>();
  hover->request = ToExplainRow(wire);
  hover->vectors = wire.vectors();
  HEED_RETURN_IF_ERROR(FillExplanation(hover->request, *run_.model, base(), &hover->base));
  KeepVectors(hover->vectors, &hover->base);
  next->hover = std::move(hover);
  return absl::OkStatus();
}

// ---- What is answered ---------------------------------------------------------------------------

void ExploreSession::FillCandidate(const Prediction& base, const Prediction& now, TokenId id,
                                   v1::ExploreCandidate* out) const {
  const LensToken token = now.Follow(id);
  const LensToken before = base.Follow(id);
  v1::Candidate* const candidate = out->mutable_candidate();
  FillTokenOf(run_, id, candidate->mutable_token());
  candidate->set_log_probability(token.log_probability);
  candidate->set_probability(std::exp(token.log_probability));
  candidate->set_rank(static_cast<int32_t>(token.rank));
  out->set_logit(token.logit);
  out->set_logit_delta(token.logit - before.logit);
  out->set_base_probability(std::exp(before.log_probability));
  out->set_base_rank(static_cast<int32_t>(before.rank));
}

absl::Status ExploreSession::ReadPredictions(Reading* reading) const {
  const Watch& watch = *state_.watch;
  const int64_t vocab = config().vocab_size;
  reading->predictions_read = true;
  std::vector<double> values(watch.base_values.size(), 0);
  HEED_RETURN_IF_ERROR(ForEachLogits(
      *run_.model->model, *state_.trace, watch.LogitPositions(),
      [&](int64_t position, absl::Span<const float> logits) -> absl::Status {
        if (!AllFinite(logits)) {
          return NonfiniteLogits(absl::StatusCode::kInvalidArgument, "the edited run's", position);
        }
        watch.metrics->Read(position, logits, absl::MakeSpan(values));
        const auto at = std::lower_bound(watch.positions.begin(), watch.positions.end(), position);
        if (at == watch.positions.end() || *at != position) return absl::OkStatus();
        const int64_t row = at - watch.positions.begin();
        const Prediction base(absl::MakeConstSpan(watch.base_logits).subspan(row * vocab, vocab));
        const Prediction now(logits);
        v1::ExplorePrediction& out = reading->predictions.emplace_back();
        out.set_position(position);
        for (const LensToken& token : now.Top(watch.top_k)) {
          FillCandidate(base, now, token.id, out.add_candidates());
        }
        for (const LensToken& token : base.Top(watch.top_k)) {
          FillCandidate(base, now, token.id, out.add_base_candidates());
        }
        for (TokenId id : watch.followed) FillCandidate(base, now, id, out.add_followed());
        out.set_entropy(now.Entropy());
        out.set_base_entropy(base.Entropy());
        out.set_kl_from_base(base.DivergenceFrom(now));
        return absl::OkStatus();
      }));
  for (size_t i = 0; i < values.size(); ++i) {
    reading->metrics.add_values(values[i]);
    reading->metrics.add_deltas(values[i] - watch.base_values[i]);
  }
  return absl::OkStatus();
}

// Layers below both the last run's first one and this one's are the base's in both.
void ExploreSession::ReadRows(Reading* reading) const {
  const bool is_new = state_.watch != reported_.watch;
  const int same_layers = std::min(state_.edits.first_layer(), reported_.edits.first_layer());
  const LanguageModel& model = *run_.model->model;
  size_t at = 0;
  for (const RowGroup& group : state_.watch->rows) {
    const size_t of_layer = group.heads.size() * group.queries.size();
    reading->rows.resize(at + of_layer * group.layers.size());
    reading->row_read.resize(reading->rows.size());
    for (int layer : group.layers) {
      if (is_new || (state_.trace != reported_.trace && layer >= same_layers)) {
        const auto rows = absl::MakeSpan(reading->rows).subspan(at, of_layer);
        std::vector<double> entropies;
        ReadLayerRows(
            model, *state_.trace, layer, group,
            [](v1::ExploreRow* row) { return row->mutable_weights(); }, rows, &entropies);
        for (size_t i = 0; i < of_layer; ++i) {
          rows[i].set_entropy(entropies[i]);
          reading->row_read[at + i] = true;
        }
        if (is_new) {
          ReadLayerRows(
              model, base(), layer, group,
              [](v1::ExploreRow* row) { return row->mutable_base_weights(); }, rows, &entropies);
          for (size_t i = 0; i < of_layer; ++i) rows[i].set_base_entropy(entropies[i]);
        }
      }
      at += of_layer;
    }
  }
}

absl::Status ExploreSession::Read(Reading* reading) const {
  const bool moved = state_.trace != reported_.trace;
  if (moved || state_.watch != reported_.watch) HEED_RETURN_IF_ERROR(ReadPredictions(reading));
  ReadRows(reading);
  if (state_.hover == nullptr) return absl::OkStatus();
  if (!moved && state_.hover == reported_.hover) return absl::OkStatus();
  HEED_RETURN_IF_ERROR(
      FillExplanation(state_.hover->request, *run_.model, *state_.trace, &reading->hovered));
  KeepVectors(state_.hover->vectors, &reading->hovered);
  return absl::OkStatus();
}

absl::Status ExploreSession::Report(v1::ExploreResponse* response) {
  Reading reading;
  Sent sent = state_.watch == reported_.watch
                  ? sent_
                  : Sent{std::vector<std::string>(state_.watch->positions.size())};
  if (state_.watch != reported_.watch) sent.hovered = sent_.hovered;
  const absl::Status status = [&]() -> absl::Status {
    HEED_RETURN_IF_ERROR(Read(&reading));
    // True when the message is another one than was sent last.
    const auto is_news = [](const google::protobuf::Message& message, std::string* last) {
      std::string bytes = message.SerializeAsString();
      if (bytes == *last) return false;
      *last = std::move(bytes);
      return true;
    };
    if (reading.predictions_read) {
      for (size_t i = 0; i < reading.predictions.size(); ++i) {
        if (is_news(reading.predictions[i], &sent.predictions[i])) {
          *response->add_predictions() = std::move(reading.predictions[i]);
        }
      }
      if (is_news(reading.metrics, &sent.metrics)) {
        *response->mutable_metrics() = std::move(reading.metrics);
      }
    }
    sent.rows.resize(reading.rows.size());
    for (size_t i = 0; i < reading.rows.size(); ++i) {
      if (!reading.row_read[i]) continue;
      v1::ExploreRow plain = reading.rows[i];
      plain.clear_base_weights();
      plain.clear_base_entropy();
      if (is_news(plain, &sent.rows[i])) *response->add_rows() = std::move(reading.rows[i]);
    }
    const bool new_hover = state_.hover != reported_.hover;
    if (new_hover) sent.hovered.clear();
    if (state_.hover != nullptr && reading.hovered.key_count() > 0 &&
        is_news(reading.hovered, &sent.hovered)) {
      *response->mutable_hovered()->mutable_row() = std::move(reading.hovered);
      if (new_hover) *response->mutable_hovered()->mutable_base() = state_.hover->base;
    }
    if (edits_replaced_) *response->mutable_edits() = state_.edits;
    if (reports_ == 0) FillOpened(response->mutable_opened());
    return CheckReplyBytes(static_cast<int64_t>(response->ByteSizeLong()));
  }();
  edits_replaced_ = false;
  if (!status.ok()) {
    state_ = reported_;
    response->Clear();
    return status;
  }
  sent_ = std::move(sent);
  reported_ = state_;
  ++reports_;
  return absl::OkStatus();
}

void ExploreSession::FillOpened(v1::ExploreOpened* out) const {
  FillProvenance(run_, out->mutable_provenance());
  out->mutable_provenance()->set_definition("KL_NATS");
  FillPromptInfo(run_.run->prompt, *run_.model, out->mutable_prompt());
  out->set_layer_count(config().n_layers);
  out->set_head_count(config().n_heads);
  out->set_head_dim(static_cast<int32_t>(config().head_dim));
  out->set_causal(config().causal);
  out->set_held_bytes(held_bytes_ + state_.watch->held_bytes);
}

}  // namespace heed
