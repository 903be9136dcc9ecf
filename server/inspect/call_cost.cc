#include "server/inspect/call_cost.h"

#include <algorithm>
#include <optional>

#include "model/inspect/decompose.h"
#include "model/inspect/pca.h"
#include "model/inspect/rollout.h"
#include "model/transformer/site.h"
#include "server/convert/indices.h"
#include "server/convert/intervention.h"
#include "server/convert/reply_size.h"
#include "server/convert/request_limits.h"
#include "server/convert/violations.h"
#include "server/inspect/attention_stream.h"
#include "server/inspect/experiment_methods.h"
#include "server/inspect/explore_session.h"

namespace heed {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);

// How many a list chooses that means all when it is empty.
template <typename List>
int64_t CountOf(const List& chosen, int64_t all) {
  return chosen.empty() ? all : chosen.size();
}

// The same without repeats: of layers and heads, which may be named twice.
template <typename List>
int64_t DistinctOf(const List& chosen, int64_t all) {
  return static_cast<int64_t>(ResolveIndices(chosen, static_cast<int>(all)).size());
}

// The pairs of a query and a key that it sees.
double Pairs(const ModelConfig& config, int64_t n_tokens) {
  const double n = static_cast<double>(n_tokens);
  return config.causal ? n * (n + 1) / 2 : n * n;
}

// Of the weights of some heads at all their queries, and of blending values with them.
double ScoreFlops(const ModelConfig& config, int64_t heads, int64_t n_tokens) {
  return 2 * Pairs(config, n_tokens) * static_cast<double>(heads * config.head_dim);
}
double BlendFlops(const ModelConfig& config, int64_t heads, int64_t n_tokens) {
  return 2 * ScoreFlops(config, heads, n_tokens);
}

// Of rows through one head's part, or all, of the output projection.
double ProjectFlops(const ModelConfig& config, int64_t heads, double rows) {
  return 2 * rows * static_cast<double>(heads * config.head_dim) *
         static_cast<double>(config.width);
}

// Cells of an experiment: each takes at most a forward pass and the logits it is measured on.
CallCost CellsCost(const LanguageModel& model, int64_t cells, int64_t n_tokens) {
  CallCost cost;
  cost.flops =
      static_cast<double>(cells) * (ForwardFlops(model, n_tokens) + UnembedFlops(model.config()));
  cost.held_bytes = ExperimentBench::CacheBytes(model.config(), n_tokens);
  return cost;
}

// The spans' lengths, added up.
int64_t CoveredTokens(const google::protobuf::RepeatedPtrField<v1::Span>& spans, int64_t n_tokens) {
  const auto at = [&](int64_t value) {
    return std::clamp<int64_t>(value < 0 ? value + n_tokens : value, 0, n_tokens);
  };
  int64_t tokens = 0;
  for (const v1::Span& span : spans) {
    const int64_t end = span.has_end() ? at(span.end()) : n_tokens;
    tokens += std::max<int64_t>(0, end - at(span.begin()));
  }
  return tokens;
}

int64_t SpanTokens(const google::protobuf::RepeatedPtrField<v1::Span>& spans, int64_t n_tokens) {
  return spans.empty() ? n_tokens : std::min(CoveredTokens(spans, n_tokens), n_tokens);
}

// Of the rows of one map, added up over spans of keys, and of queries where those are averaged.
double SpanSumFlops(const v1::SpanSumEncoding& sums, double rows, int64_t n_tokens) {
  const double averaged = sums.average_queries() ? sums.spans_size() : 0;
  return (rows + averaged) * static_cast<double>(CoveredTokens(sums.spans(), n_tokens));
}

int64_t CellsOf(const v1::SweepRequest& request, const ModelConfig& config, int64_t n_tokens) {
  if (request.has_head_ablation()) {
    const v1::HeadAblation& grid = request.head_ablation();
    return CountOf(grid.layers(), config.n_layers) * CountOf(grid.heads(), config.n_heads);
  }
  if (request.has_edge_knock_out()) {
    const v1::EdgeKnockOut& grid = request.edge_knock_out();
    return CountOf(grid.layers(), config.n_layers) * SpanTokens(grid.keys(), n_tokens);
  }
  if (request.has_activation_patching()) {
    const v1::ActivationPatching& grid = request.activation_patching();
    const int64_t columns = grid.by_head() ? CountOf(grid.heads(), config.n_heads)
                                           : SpanTokens(grid.positions(), n_tokens);
    return CountOf(grid.layers(), config.n_layers + 1) * columns;
  }
  return request.focus_dial().betas_size();
}

}  // namespace

double ForwardFlops(const LanguageModel& model, int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const double table = static_cast<double>(config.vocab_size) * static_cast<double>(config.width);
  const double weights = static_cast<double>(model.parameter_count()) - table;
  return 2 * std::max(weights, 0.0) * static_cast<double>(n_tokens) +
         config.n_layers * BlendFlops(config, config.n_heads, n_tokens);
}

double UnembedFlops(const ModelConfig& config) {
  return 2.0 * static_cast<double>(config.vocab_size) * static_cast<double>(config.width);
}

CallCost CostOf(const v1::OpenTraceRequest&, const LanguageModel&, int64_t) {
  return {};
}

CallCost CostOf(const v1::GetAttentionRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  CallCost cost;
  cost.sent_bytes = AttentionStream::AnswerBytes(request, config, n_tokens).value_or(0);
  const v1::AttentionSelection& selection = request.selection();
  const double rows =
      static_cast<double>(std::min<int64_t>(CountOf(selection.queries(), n_tokens), n_tokens));
  const int64_t layers = DistinctOf(selection.layers(), config.n_layers);
  const int64_t heads = DistinctOf(selection.heads(), config.n_heads);
  cost.flops = ScoreFlops(config, layers * heads, n_tokens) * rows / static_cast<double>(n_tokens);
  const bool is_fused = selection.head_fusion() != v1::HEAD_FUSION_UNSPECIFIED;
  cost.flops += static_cast<double>(layers * (is_fused ? 1 : heads)) *
                SpanSumFlops(selection.span_sums(), rows, n_tokens);
  return cost;
}

CallCost CostOf(const v1::ExplainRowRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  CallCost cost;
  cost.flops = ProjectFlops(config, 1, static_cast<double>(n_tokens + 1));
  const int64_t vectors = n_tokens * config.head_dim * kFloatBytes;
  // Seven numbers of each key and one for each token followed; query, blend and projection.
  const int64_t floats =
      (7 + request.tokens_size()) * n_tokens + 2 * config.head_dim + config.width;
  cost.sent_bytes = floats * kFloatBytes + (vectors <= kMaxTensorBytes ? 2 * vectors : 0);
  return cost;
}

CallCost CostOf(const v1::GetHeadStatsRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  constexpr int64_t kNumbers = 7;
  const int64_t heads =
      DistinctOf(request.layers(), config.n_layers) * DistinctOf(request.heads(), config.n_heads);
  const int64_t rows = std::min<int64_t>(CountOf(request.queries(), n_tokens), n_tokens);
  CallCost cost;
  cost.flops = ScoreFlops(config, heads, n_tokens) * static_cast<double>(rows) /
               static_cast<double>(n_tokens);
  cost.sent_bytes = kNumbers * kFloatBytes * heads * (request.per_row() ? rows : 1);
  return cost;
}

CallCost CostOf(const v1::DetectHeadsRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const int64_t heads =
      DistinctOf(request.layers(), config.n_layers) * DistinctOf(request.heads(), config.n_heads);
  return {ScoreFlops(config, heads, n_tokens), 0, heads * kFloatBytes};
}

CallCost CostOf(const v1::GetActivationsRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  using Form = v1::GetActivationsRequest::FormCase;
  const ModelConfig& config = model.config();
  const std::optional<Site> site = SiteOf(request.site());
  if (!site.has_value()) return {};
  const int64_t width = SiteWidth(config, *site);
  const int64_t rows = std::min<int64_t>(CountOf(request.positions(), n_tokens), n_tokens);
  const int64_t layers = DistinctOf(request.layers(), SiteLayers(config, *site));
  const int64_t heads = SiteHeads(config, *site);
  const int64_t chosen_heads = heads > 0 ? DistinctOf(request.heads(), heads) : 1;
  const int64_t chosen_width = heads > 0 ? chosen_heads * config.head_dim : width;
  CallCost cost;
  int64_t columns = chosen_width;
  if (request.form_case() == Form::kNorms) columns = chosen_heads;
  if (request.form_case() == Form::kCosines) {
    // Another trace is at most as long as the model's context.
    columns = request.cosines().other_trace_id().empty() ? rows : config.context_window;
    cost.flops = 2.0 * static_cast<double>(layers * rows) * static_cast<double>(columns) *
                 static_cast<double>(chosen_width);
  }
  if (request.form_case() == Form::kPca) {
    const int64_t asked = request.pca().has_dimensions() ? request.pca().dimensions() : 2;
    columns = std::min(asked, chosen_width);
    cost.flops =
        static_cast<double>(layers) * PcaFlops(rows, chosen_width, static_cast<int>(columns));
  }
  if (*site == Site::kMixed || *site == Site::kAttentionOut) {
    cost.flops += static_cast<double>(layers) * BlendFlops(config, config.n_heads, n_tokens);
  }
  if (*site == Site::kAttentionOut) {
    cost.flops += static_cast<double>(layers) *
                  ProjectFlops(config, config.n_heads, static_cast<double>(n_tokens));
  }
  cost.sent_bytes = kFloatBytes * layers * rows * columns;
  return cost;
}

CallCost CostOf(const v1::LogitLensRequest& request, const LanguageModel& model, int64_t) {
  const ModelConfig& config = model.config();
  const int64_t positions = std::max(request.positions_size(), 1);
  const int64_t layers = DistinctOf(request.layers(), config.n_layers + 1);
  const int64_t top_k = request.has_top_k() ? request.top_k() : 5;
  CallCost cost;
  cost.flops = static_cast<double>((layers + 1) * positions) * UnembedFlops(config);
  cost.sent_bytes = layers * positions * (top_k + request.tokens_size()) * kMinCandidateBytes;
  return cost;
}

CallCost CostOf(const v1::AttributeLogitsRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const int64_t heads = int64_t{config.n_layers} * config.n_heads;
  CallCost cost;
  cost.flops = UnembedFlops(config) + 4.0 * config.n_layers * static_cast<double>(config.width);
  if (request.unit() >= v1::ATTRIBUTION_UNIT_HEAD) {
    cost.flops += ProjectFlops(config, heads, 1);
  }
  if (request.unit() == v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE) {
    cost.flops += 2.0 * static_cast<double>(heads * n_tokens * config.head_dim);
    cost.sent_bytes = heads * n_tokens * kFloatBytes;
  }
  return cost;
}

CallCost CostOf(const v1::RolloutRequest& request, const LanguageModel& model, int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const int64_t begin = ResolveIndex(request.layer_begin(), config.n_layers);
  const int64_t end = request.has_layer_end() ? ResolveIndex(request.layer_end(), config.n_layers)
                                              : config.n_layers;
  const int64_t layers = std::max<int64_t>(end - begin, 0);
  const double n = static_cast<double>(n_tokens);
  const double rows = std::max(request.queries_size(), 1);
  CallCost cost;
  cost.flops = ScoreFlops(config, layers * config.n_heads, n_tokens);
  cost.flops += 2 * rows * static_cast<double>(layers) * Pairs(config, n_tokens);
  if (request.method() == v1::RolloutRequest::METHOD_FLOW) {
    // A search for each token, which was measured to look at a few of the edges.
    cost.flops += rows * static_cast<double>(layers) * n * n * n / 2;
    cost.held_bytes =
        FlowBytes({.layer_begin = 0, .layer_end = static_cast<int>(layers)}, n_tokens);
  }
  cost.sent_bytes = static_cast<int64_t>(rows) * n_tokens * kFloatBytes;
  return cost;
}

CallCost CostOf(const v1::DecomposeAttentionRequest& request, const LanguageModel& model,
                int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const int64_t rows = CountOf(request.queries(), n_tokens);
  const double of_all = static_cast<double>(rows) / static_cast<double>(n_tokens);
  CallCost cost;
  cost.flops = ProjectFlops(config, config.n_heads, static_cast<double>(n_tokens)) +
               of_all * (ScoreFlops(config, config.n_heads, n_tokens) +
                         2 * Pairs(config, n_tokens) * static_cast<double>(config.n_heads) *
                             static_cast<double>(config.width));
  cost.held_bytes = DecompositionBytes(config, rows, n_tokens);
  cost.sent_bytes = rows * (n_tokens + 1) * kFloatBytes;
  return cost;
}

CallCost CostOf(const v1::InterveneRequest& request, const LanguageModel& model, int64_t n_tokens) {
  CallCost cost = CellsCost(model, request.sets_size(), n_tokens);
  cost.sent_bytes = int64_t{request.sets_size() + 1} * request.top_k() * kMinCandidateBytes;
  return cost;
}

CallCost CostOf(const v1::SweepRequest& request, const LanguageModel& model, int64_t n_tokens) {
  return CellsCost(model, CellsOf(request, model.config(), n_tokens), n_tokens);
}

int64_t WatchBytes(const ModelConfig& config, int64_t positions, int64_t metrics) {
  return config.has_head ? (positions + metrics) * config.vocab_size * kFloatBytes : 0;
}

CallCost CostOf(const v1::ExploreRequest& request, const LanguageModel& model, int64_t n_tokens) {
  const ModelConfig& config = model.config();
  const v1::ExploreWatch& watch = request.watch();
  CallCost cost;
  if (request.has_edits()) cost.flops += ForwardFlops(model, n_tokens);
  // Both of the base and as edited.
  if (request.has_open() || request.has_watch() || request.has_edits()) {
    const int64_t positions = CountOf(watch.positions(), config.has_head ? 1 : 0);
    const int64_t top_k = watch.has_top_k() ? watch.top_k() : ExploreSession::kDefaultTopK;
    double row_heads = 0;
    for (const v1::ExploreRowChoice& rows : watch.rows()) {
      row_heads += static_cast<double>(DistinctOf(rows.layers(), config.n_layers) *
                                       DistinctOf(rows.heads(), config.n_heads) *
                                       CountOf(rows.queries(), 1));
    }
    cost.flops += 2 * static_cast<double>(positions + watch.metrics_size()) * UnembedFlops(config);
    cost.flops += 4 * row_heads * static_cast<double>(n_tokens * config.head_dim);
    cost.sent_bytes += positions * (2 * top_k + watch.tokens_size()) * kMinCandidateBytes;
    cost.sent_bytes += 2 * static_cast<int64_t>(row_heads) * n_tokens * kFloatBytes;
    if (request.has_open()) {
      cost.held_bytes = WatchBytes(config, positions, watch.metrics_size());
    }
  }
  if (request.has_open()) cost.held_bytes += ExploreSession::EditedBytes(config, n_tokens);
  if (request.has_hover() && !request.hover().off()) {
    v1::ExplainRowRequest row;
    *row.mutable_tokens() = request.hover().tokens();
    const CallCost explained = CostOf(row, model, n_tokens);
    cost.flops += 2 * explained.flops;
    cost.sent_bytes += 2 * explained.sent_bytes;
  }
  return cost;
}

CallCost CompareCost(const LanguageModel& a, int64_t a_tokens, const LanguageModel& b,
                     int64_t b_tokens) {
  CallCost cost;
  const auto add_side = [&](const ModelConfig& config, int64_t n_tokens) {
    cost.flops += static_cast<double>(n_tokens) * UnembedFlops(config) +
                  ScoreFlops(config, int64_t{config.n_layers} * config.n_heads, n_tokens);
  };
  add_side(a.config(), a_tokens);
  add_side(b.config(), b_tokens);
  if (a.config().n_layers == b.config().n_layers && a.config().n_heads == b.config().n_heads) {
    cost.sent_bytes = int64_t{a.config().n_layers} * a.config().n_heads * kFloatBytes;
  }
  cost.sent_bytes += 2 * std::min(a_tokens, b_tokens) * kMinCandidateBytes;
  return cost;
}

}  // namespace heed
