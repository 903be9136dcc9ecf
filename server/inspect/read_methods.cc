#include "server/inspect/read_methods.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/attribution.h"
#include "model/inspect/decompose.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/rollout.h"
#include "server/convert/attention.h"
#include "server/convert/indices.h"
#include "server/convert/model.h"
#include "server/convert/predict.h"
#include "server/convert/reply_size.h"
#include "server/convert/request_limits.h"
#include "server/inspect/read_parts.h"

namespace heed {
namespace {

// One layer or head.
void CheckIndex(absl::string_view field, int value, int count, Violations* violations) {
  CheckInRange<int64_t>(field, value, -count, count - 1, violations);
}

template <typename Request>
void CheckLayersAndHeads(const Request& request, const ModelConfig& config,
                         Violations* violations) {
  CheckIndices("layers", request.layers(), config.n_layers, violations);
  CheckIndices("heads", request.heads(), config.n_heads, violations);
}

template <typename Field>
std::vector<float> Pick(absl::Span<const RowStats> stats, Field field) {
  std::vector<float> values;
  values.reserve(stats.size());
  for (const RowStats& row : stats) values.push_back(static_cast<float>(row.*field));
  return values;
}

std::optional<HeadPattern> PatternOf(v1::HeadPattern pattern) {
  switch (pattern) {
    case v1::HEAD_PATTERN_PREVIOUS_TOKEN:
      return HeadPattern::kPreviousToken;
    case v1::HEAD_PATTERN_DUPLICATE_TOKEN:
      return HeadPattern::kDuplicateToken;
    case v1::HEAD_PATTERN_INDUCTION:
      return HeadPattern::kInduction;
    default:
      return std::nullopt;
  }
}

DetectionScore ScoreOf(v1::DetectionScore score) {
  switch (score) {
    case v1::DETECTION_SCORE_TL_ABS:
      return DetectionScore::kTlAbs;
    case v1::DETECTION_SCORE_HEADVIS_V1:
      return DetectionScore::kHeadVis;
    default:
      return DetectionScore::kTlMul;
  }
}

Decomposition MethodOf(v1::DecomposeAttentionRequest::Method method) {
  switch (method) {
    case v1::DecomposeAttentionRequest::METHOD_RESIDUAL_NORM:
      return Decomposition::kResidualNorm;
    case v1::DecomposeAttentionRequest::METHOD_RESIDUAL_LAYER_NORM:
      return Decomposition::kResidualNormNorm;
    case v1::DecomposeAttentionRequest::METHOD_ALTI:
      return Decomposition::kAlti;
    default:
      return Decomposition::kAttentionNorm;
  }
}

std::vector<float> ReadPattern(const v1::Tensor& tensor, int64_t n_tokens, Violations* violations) {
  if (tensor.dtype() != v1::DATA_TYPE_F32) {
    violations->Add("custom.dtype", "must be DATA_TYPE_F32");
    return {};
  }
  const bool square =
      tensor.shape_size() == 2 && tensor.shape(0) == n_tokens && tensor.shape(1) == n_tokens;
  if (!square || tensor.data().size() != n_tokens * n_tokens * sizeof(float)) {
    violations->Add(
        "custom.shape",
        absl::StrCat("is [", absl::StrJoin(tensor.shape(), ", "), "] with ", tensor.data().size(),
                     " bytes; must be [", n_tokens, ", ", n_tokens, "], the prompt's tokens"));
    return {};
  }
  std::vector<float> values(n_tokens * n_tokens);
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0 || values[i] == 1) continue;
    const int64_t cell = static_cast<int64_t>(i);
    violations->Add("custom.data", absl::StrCat("has ", values[i], " for query ", cell / n_tokens,
                                                " and key ", cell % n_tokens, "; must be 0 or 1"));
    break;
  }
  return values;
}

}  // namespace

// ---- ExplainRow ---------------------------------------------------------------------------------

absl::StatusOr<SiteSet> ExplainRowMethod::Check(const Request& request, const ServedModel& model,
                                                Violations* violations) {
  CheckIndex("layer", request.layer(), ConfigOf(model).n_layers, violations);
  CheckIndex("head", request.head(), ConfigOf(model).n_heads, violations);
  ResolveTokens("tokens", request.tokens(), model, violations);
  if (request.tokens().empty()) return SiteSet();
  HEED_RETURN_IF_ERROR(CheckLinearHead(*model.model));
  return SitesForRowTokens(ConfigOf(model));
}

absl::Status ExplainRowMethod::CheckLength(const Request& request, const ModelConfig&,
                                           int64_t n_tokens) {
  return ResolvePosition("query", request.query(), n_tokens).status();
}

absl::Status ExplainRowMethod::Answer(const Request& request, const ReadableRun& run,
                                      const StopSignal&, Response* response) {
  return FillExplanation(request, *run.model, *run.run->trace, response);
}

absl::Status FillExplanation(const v1::ExplainRowRequest& request, const ServedModel& model,
                             const Trace& trace, v1::ExplainRowResponse* response) {
  using Response = v1::ExplainRowResponse;
  const ModelConfig& config = ConfigOf(model);
  const int layer = ResolveIndex(request.layer(), config.n_layers);
  const int head = ResolveIndex(request.head(), config.n_heads);
  HEED_ASSIGN_OR_RETURN(const int64_t query,
                        ResolvePosition("query", request.query(), trace.size()));
  HEED_ASSIGN_OR_RETURN(const RowExplanation row,
                        ExplainRow(*model.model, trace, layer, head, query,
                                   ResolveCheckedTokens(request.tokens(), model)));
  response->set_layer(layer);
  response->set_head(head);
  response->set_query(query);
  response->set_key_count(row.key_count);
  if (!row.query.empty()) FillVector(row.query, response->mutable_query_vector());
  for (const auto& [values, tensor] : {std::pair{&row.keys, &Response::mutable_key_vectors},
                                       std::pair{&row.values, &Response::mutable_value_vectors}}) {
    const int64_t bytes = static_cast<int64_t>(values->size() * sizeof(float));
    if (bytes == 0 || bytes > kMaxTensorBytes) continue;
    FillTensor(*values, {row.key_count, static_cast<int64_t>(values->size()) / row.key_count},
               (response->*tensor)());
  }
  FillVector(row.raw, response->mutable_raw());
  FillVector(row.scaled, response->mutable_scaled());
  FillVector(row.capped, response->mutable_capped());
  FillVector(row.masked, response->mutable_masked());
  FillVector(row.weights, response->mutable_weights());
  FillVector(row.value_norms, response->mutable_value_norms());
  FillVector(row.weighted_norms, response->mutable_weighted_norms());
  FillVector(row.context, response->mutable_context());
  FillVector(row.projection, response->mutable_projection());
  for (const RowExplanation::Share& share : row.shares) {
    v1::LogitShare* const out = response->add_logit_shares();
    FillToken(model.tokenizer.get(), share.token, ByteRange{}, out->mutable_token());
    out->set_share(share.share);
    FillVector(share.by_key, out->mutable_by_key());
  }
  response->set_entropy(row.entropy);
  return absl::OkStatus();
}

// ---- GetHeadStats -------------------------------------------------------------------------------

absl::StatusOr<SiteSet> HeadStatsMethod::Check(const Request& request, const ServedModel& model,
                                               Violations* violations) {
  CheckLayersAndHeads(request, ConfigOf(model), violations);
  return SiteSet();
}

absl::Status HeadStatsMethod::CheckLength(const Request& request, const ModelConfig& config,
                                          int64_t n_tokens) {
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> queries,
      ResolvePositions("queries", request.queries(), n_tokens, AllPositions(n_tokens)));
  if (!request.per_row()) return absl::OkStatus();
  const auto layers = ResolveIndices(request.layers(), config.n_layers).size();
  const auto heads = ResolveIndices(request.heads(), config.n_heads).size();
  return CheckFloats(static_cast<int64_t>(7 * layers * heads * queries.size()),
                     "choose fewer layers, heads or queries, or leave per_row out");
}

absl::Status HeadStatsMethod::Answer(const Request& request, const ReadableRun& run,
                                     const StopSignal& stop, Response* response) {
  const ModelConfig& config = ConfigOf(run);
  const int64_t n_tokens = run.run->prompt.size();
  HeadChoice choice;
  choice.heads = ResolveIndices(request.heads(), config.n_heads);
  HEED_ASSIGN_OR_RETURN(choice.queries, ResolvePositions("queries", request.queries(), n_tokens,
                                                         AllPositions(n_tokens)));
  const std::vector<int> layers = ResolveIndices(request.layers(), config.n_layers);
  std::vector<RowStats> stats;
  for (int layer : layers) {
    HEED_RETURN_IF_ERROR(stop.Check());
    choice.layers = {layer};
    std::vector<RowStats> rows = HeadRowStats(*run.model->model, *run.run->trace, choice);
    if (!request.per_row()) rows = MeanStats(rows, static_cast<int64_t>(choice.queries.size()));
    stats.insert(stats.end(), rows.begin(), rows.end());
  }
  response->mutable_layers()->Assign(layers.begin(), layers.end());
  response->mutable_heads()->Assign(choice.heads.begin(), choice.heads.end());
  response->mutable_queries()->Assign(choice.queries.begin(), choice.queries.end());
  std::vector<int64_t> shape = {static_cast<int64_t>(layers.size()),
                                static_cast<int64_t>(choice.heads.size())};
  if (request.per_row()) shape.push_back(static_cast<int64_t>(choice.queries.size()));
  const auto fill = [&](double RowStats::*field, v1::Tensor* out) {
    FillTensor(Pick(stats, field), shape, out);
  };
  fill(&RowStats::entropy, response->mutable_entropy());
  fill(&RowStats::effective_tokens, response->mutable_effective_tokens());
  fill(&RowStats::max_weight, response->mutable_max_weight());
  fill(&RowStats::first_token, response->mutable_first_token());
  fill(&RowStats::self, response->mutable_self());
  fill(&RowStats::previous_token, response->mutable_previous_token());
  fill(&RowStats::mean_distance, response->mutable_mean_distance());
  response->mutable_provenance()->set_definition(request.per_row() ? "ROW_STATS_V1"
                                                                   : "ROW_STATS_V1_MEAN");
  return absl::OkStatus();
}

// ---- DetectHeads --------------------------------------------------------------------------------

absl::StatusOr<SiteSet> DetectHeadsMethod::Check(const Request& request, const ServedModel& model,
                                                 Violations* violations) {
  CheckLayersAndHeads(request, ConfigOf(model), violations);
  if (request.pattern_case() == Request::PATTERN_NOT_SET) {
    violations->Add("pattern", "is missing; set known or custom");
  } else if (request.has_known() && !PatternOf(request.known()).has_value()) {
    violations->Add("known", absl::StrCat("is ", static_cast<int>(request.known()),
                                          "; must be a named value of heed.v1.HeadPattern"));
  }
  CheckEnum("score", request.score(), v1::DetectionScore_IsValid, "heed.v1.DetectionScore",
            violations);
  return SiteSet();
}

absl::Status DetectHeadsMethod::CheckLength(const Request& request, const ModelConfig&,
                                            int64_t n_tokens) {
  Violations violations;
  if (n_tokens < 2) violations.Add("prompt", "has one token; a pattern needs at least two");
  if (request.has_custom()) ReadPattern(request.custom(), n_tokens, &violations);
  return violations.ToStatus();
}

absl::Status DetectHeadsMethod::Answer(const Request& request, const ReadableRun& run,
                                       const StopSignal& stop, Response* response) {
  const ModelConfig& config = ConfigOf(run);
  DetectionOptions options;
  options.pattern = PatternOf(request.known()).value_or(HeadPattern::kPreviousToken);
  Violations none;
  if (request.has_custom()) {
    options.custom = ReadPattern(request.custom(), run.run->prompt.size(), &none);
  }
  options.score = ScoreOf(request.score());
  options.exclude_first_token = request.exclude_first_token();
  options.exclude_current_token = request.exclude_current_token();
  HeadChoice choice;
  choice.heads = ResolveIndices(request.heads(), config.n_heads);
  const std::vector<int> layers = ResolveIndices(request.layers(), config.n_layers);
  std::vector<float> scores;
  std::vector<v1::HeadScore> ranked;
  for (int layer : layers) {
    HEED_RETURN_IF_ERROR(stop.Check());
    choice.layers = {layer};
    HEED_ASSIGN_OR_RETURN(const std::vector<double> of_layer,
                          DetectHeads(*run.model->model, *run.run->trace, choice, options));
    for (size_t i = 0; i < of_layer.size(); ++i) {
      scores.push_back(static_cast<float>(of_layer[i]));
      v1::HeadScore& score = ranked.emplace_back();
      score.set_layer(layer);
      score.set_head(choice.heads[i]);
      score.set_score(of_layer[i]);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.score() > b.score(); });
  response->mutable_layers()->Assign(layers.begin(), layers.end());
  response->mutable_heads()->Assign(choice.heads.begin(), choice.heads.end());
  FillTensor(scores,
             {static_cast<int64_t>(layers.size()), static_cast<int64_t>(choice.heads.size())},
             response->mutable_scores());
  for (v1::HeadScore& score : ranked) *response->add_ranked() = std::move(score);
  response->mutable_provenance()->set_definition(DefinitionName(options.score));
  return absl::OkStatus();
}

// ---- Rollout ------------------------------------------------------------------------------------

absl::StatusOr<SiteSet> RolloutMethod::Check(const Request& request, const ServedModel& model,
                                             Violations* violations) {
  const int layers = ConfigOf(model).n_layers;
  CheckEnum("method", request.method(), Request::Method_IsValid, "RolloutRequest.Method",
            violations);
  CheckEnum("head_fusion", request.head_fusion(), v1::HeadFusion_IsValid, "heed.v1.HeadFusion",
            violations);
  CheckIndex("layer_begin", request.layer_begin(), layers, violations);
  CheckInRange<int64_t>("layer_end", request.layer_end(), -layers, layers, violations);
  const int begin = ResolveIndex(request.layer_begin(), layers);
  const int end = request.has_layer_end() ? ResolveIndex(request.layer_end(), layers) : layers;
  if (violations->empty() && begin >= end) {
    violations->Add("layer_end", absl::StrCat("is ", end, ", and layer_begin ", begin,
                                              "; give at least one layer"));
  }
  if (request.has_residual_weight()) {
    const double weight = request.residual_weight();
    CheckInRange("residual_weight", weight, 0.0, 1.0, violations);
    if (weight > 0 && weight <= 1 && DefaultResidualWeight(ConfigOf(model)) == 0) {
      violations->Add(
          "residual_weight",
          absl::StrCat("is ", weight, ", and this model has no residual connection; leave it out"));
    }
  }
  return SiteSet();
}

absl::Status RolloutMethod::CheckLength(const Request& request, const ModelConfig&,
                                        int64_t n_tokens) {
  constexpr size_t kMaxFlowQueries = 64;
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> queries,
                        ResolvePositions("queries", request.queries(), n_tokens, {n_tokens - 1}));
  if (request.method() == Request::METHOD_FLOW && queries.size() > kMaxFlowQueries) {
    return InvalidFields(
        {{"queries", absl::StrCat("are ", queries.size(), "; at most 64 for METHOD_FLOW")}});
  }
  return CheckFloats(static_cast<int64_t>(queries.size()) * n_tokens, "choose fewer queries");
}

absl::Status RolloutMethod::Answer(const Request& request, const ReadableRun& run,
                                   const StopSignal& stop, Response* response) {
  const int layers = ConfigOf(run).n_layers;
  const int64_t n_tokens = run.run->prompt.size();
  RolloutOptions options;
  options.layer_begin = ResolveIndex(request.layer_begin(), layers);
  options.layer_end = request.has_layer_end() ? ResolveIndex(request.layer_end(), layers) : layers;
  options.fusion = request.head_fusion() == v1::HEAD_FUSION_MAX ? LayerAttention::Fusion::kMax
                                                                : LayerAttention::Fusion::kMean;
  options.residual_weight = request.has_residual_weight() ? request.residual_weight()
                                                          : DefaultResidualWeight(ConfigOf(run));
  HEED_ASSIGN_OR_RETURN(options.queries,
                        ResolvePositions("queries", request.queries(), n_tokens, {n_tokens - 1}));
  const bool flow = request.method() == Request::METHOD_FLOW;
  std::vector<float> weights;
  if (flow) {
    HEED_ASSIGN_OR_RETURN(weights, Flow(*run.model->model, *run.run->trace, options, &stop));
  } else {
    HEED_ASSIGN_OR_RETURN(weights, Rollout(*run.model->model, *run.run->trace, options, &stop));
  }
  response->mutable_queries()->Assign(options.queries.begin(), options.queries.end());
  FillTensor(weights, {static_cast<int64_t>(options.queries.size()), n_tokens},
             response->mutable_weights());
  response->mutable_provenance()->set_definition(flow ? "ATTENTION_FLOW" : "ATTENTION_ROLLOUT");
  return absl::OkStatus();
}

// ---- DecomposeAttention -------------------------------------------------------------------------

absl::StatusOr<SiteSet> DecomposeAttentionMethod::Check(const Request& request,
                                                        const ServedModel& model,
                                                        Violations* violations) {
  CheckEnum("method", request.method(), Request::Method_IsValid, "DecomposeAttentionRequest.Method",
            violations);
  CheckIndex("layer", request.layer(), ConfigOf(model).n_layers, violations);
  HEED_RETURN_IF_ERROR(CheckDecomposition(*model.model, MethodOf(request.method())));
  const bool stream = request.method() > Request::METHOD_ATTENTION_NORM;
  return stream ? SiteSet{Site::kResidual} : SiteSet{};
}

absl::Status DecomposeAttentionMethod::CheckLength(const Request& request, const ModelConfig&,
                                                   int64_t n_tokens) {
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> queries,
      ResolvePositions("queries", request.queries(), n_tokens, AllPositions(n_tokens)));
  return CheckFloats(std::ssize(queries) * (n_tokens + 1), "choose fewer queries");
}

absl::Status DecomposeAttentionMethod::Answer(const Request& request, const ReadableRun& run,
                                              const StopSignal& stop, Response* response) {
  constexpr const char* kDefinitions[] = {"KOBAYASHI_2020_NORM", "KOBAYASHI_2020_NORM",
                                          "KOBAYASHI_2021_ATTN_RES", "KOBAYASHI_2021_ATTN_RES_LN",
                                          "ALTI"};
  const int64_t n_tokens = run.run->prompt.size();
  const int layer = ResolveIndex(request.layer(), ConfigOf(run).n_layers);
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> queries,
      ResolvePositions("queries", request.queries(), n_tokens, AllPositions(n_tokens)));
  HEED_ASSIGN_OR_RETURN(const AttentionDecomposition decomposition,
                        DecomposeAttention(*run.model->model, *run.run->trace, layer,
                                           MethodOf(request.method()), queries, &stop));
  response->set_layer(layer);
  response->mutable_queries()->Assign(queries.begin(), queries.end());
  FillTensor(decomposition.shares, {std::ssize(queries), n_tokens}, response->mutable_norms());
  FillVector(decomposition.mixing_ratios, response->mutable_mixing_ratios());
  response->mutable_provenance()->set_definition(kDefinitions[request.method()]);
  return absl::OkStatus();
}

}  // namespace heed
