#include "server/inspect/attention_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/inspect/attention_capture.h"
#include "model/inspect/attention_tile.h"
#include "server/convert/attention.h"
#include "server/convert/indices.h"
#include "server/convert/model.h"

namespace heed {
namespace {

using Encoding = v1::AttentionSelection::EncodingCase;

constexpr int kMaxPooledSide = 1024;
constexpr int kDefaultPooledSide = 32;
constexpr int64_t kMaxSpans = 4096;

v1::AttentionStage WireStage(const v1::AttentionSelection& selection) {
  const v1::AttentionStage stage = selection.stage();
  return stage == v1::ATTENTION_STAGE_UNSPECIFIED ? v1::ATTENTION_STAGE_SOFTMAX : stage;
}

const char* DefinitionOf(v1::AttentionStage stage) {
  switch (stage) {
    case v1::ATTENTION_STAGE_VALUE_WEIGHTED:
      return "KOBAYASHI_2020_HEAD_NORM";
    case v1::ATTENTION_STAGE_CONTRIBUTION:
      return "KOBAYASHI_2020_HEAD_SHARE";
    default:
      return "";
  }
}

AttentionStage StageOf(v1::AttentionStage stage) {
  switch (stage) {
    case v1::ATTENTION_STAGE_RAW:
      return AttentionStage::kRaw;
    case v1::ATTENTION_STAGE_SCALED:
      return AttentionStage::kScaled;
    case v1::ATTENTION_STAGE_CAPPED:
      return AttentionStage::kCapped;
    case v1::ATTENTION_STAGE_MASKED:
      return AttentionStage::kMasked;
    case v1::ATTENTION_STAGE_VALUE_WEIGHTED:
      return AttentionStage::kValueWeighted;
    case v1::ATTENTION_STAGE_CONTRIBUTION:
      return AttentionStage::kContribution;
    default:
      return AttentionStage::kWeights;
  }
}

int64_t PooledRows(const v1::PooledEncoding& pooled) {
  return pooled.has_rows() ? pooled.rows() : kDefaultPooledSide;
}
int64_t PooledColumns(const v1::PooledEncoding& pooled) {
  return pooled.has_columns() ? pooled.columns() : kDefaultPooledSide;
}

// Non-negative, so that sums and largest ones mean something.
bool IsWeights(AttentionStage stage) {
  return stage == AttentionStage::kWeights || stage == AttentionStage::kValueWeighted ||
         stage == AttentionStage::kContribution;
}

std::optional<LayerAttention::Fusion> FusionOf(v1::HeadFusion fusion) {
  switch (fusion) {
    case v1::HEAD_FUSION_MEAN:
      return LayerAttention::Fusion::kMean;
    case v1::HEAD_FUSION_MAX:
      return LayerAttention::Fusion::kMax;
    default:
      return std::nullopt;
  }
}

void CheckEncoding(const v1::AttentionSelection& selection, Violations* violations) {
  const AttentionStage stage = StageOf(selection.stage());
  const auto needs_weights = [&](absl::string_view field) {
    if (IsWeights(stage)) return;
    violations->Add(absl::StrCat("selection.", field),
                    "is for weights; with this stage choose dense, lower_triangle or pooled");
  };
  switch (selection.encoding_case()) {
    case Encoding::kTopK:
      return needs_weights("top_k");
    case Encoding::kThreshold:
      needs_weights("threshold");
      return CheckInRange("selection.threshold.min_weight", selection.threshold().min_weight(),
                          0.0f, 1.0f, violations);
    case Encoding::kSpanSums:
      needs_weights("span_sums");
      if (selection.span_sums().spans().empty()) {
        violations->Add("selection.span_sums.spans", "is empty; give at least one");
      }
      CheckCount("selection.span_sums.spans", selection.span_sums().spans_size(), kMaxSpans,
                 violations);
      if (selection.span_sums().average_queries() && !selection.queries().empty()) {
        violations->Add("selection.queries",
                        "are set beside span_sums.average_queries, whose rows are the spans");
      }
      return;
    case Encoding::kPooled: {
      const v1::PooledEncoding& pooled = selection.pooled();
      CheckInRange<int64_t>("selection.pooled.rows", PooledRows(pooled), 1, kMaxPooledSide,
                            violations);
      CheckInRange<int64_t>("selection.pooled.columns", PooledColumns(pooled), 1, kMaxPooledSide,
                            violations);
      if (!v1::PooledEncoding::Reduction_IsValid(pooled.reduction())) {
        violations->Add("selection.pooled.reduction",
                        "must be a value of heed.v1.PooledEncoding.Reduction");
      }
      if (stage == AttentionStage::kMasked) {
        violations->Add("selection.pooled",
                        "is not for masked scores, of which some are minus infinity");
      }
      return;
    }
    default:
      return;
  }
}

bool HasKeyRange(const v1::AttentionSelection& selection) {
  switch (selection.encoding_case()) {
    case Encoding::kDense:
    case Encoding::kPooled:
    case Encoding::ENCODING_NOT_SET:
      return true;
    default:
      return false;
  }
}

// A span's positions within [0, n]. OUT_OF_RANGE (POSITION_OUT_OF_RANGE), INVALID_ARGUMENT for an
// empty one.
absl::StatusOr<KeySpan> ResolveSpan(absl::string_view field, const v1::Span& span, int64_t n) {
  KeySpan resolved{0, n};
  if (span.has_begin()) {
    HEED_ASSIGN_OR_RETURN(resolved.begin,
                          ResolvePosition(absl::StrCat(field, ".begin"), span.begin(), n));
  }
  if (span.has_end()) {
    HEED_ASSIGN_OR_RETURN(resolved.end, ResolveEnd(absl::StrCat(field, ".end"), span.end(), n));
  }
  if (resolved.begin < resolved.end) return resolved;
  return InvalidFields(
      {{std::string(field), absl::StrCat("is [", resolved.begin, ", ", resolved.end,
                                         "); give at least one "
                                         "position")}});
}

}  // namespace

bool IsPlainAttention(const v1::GetAttentionRequest& request) {
  const v1::AttentionSelection& selection = request.selection();
  const Encoding encoding = selection.encoding_case();
  const bool plain_encoding = encoding == Encoding::kDense || encoding == Encoding::kTopK ||
                              encoding == Encoding::ENCODING_NOT_SET;
  return request.trace_id().empty() && plain_encoding &&
         WireStage(selection) == v1::ATTENTION_STAGE_SOFTMAX && !selection.has_keys() &&
         selection.head_fusion() == v1::HEAD_FUSION_UNSPECIFIED;
}

SiteSet AttentionStream::Check(const Request& request, const ServedModel& model,
                               Violations* violations) {
  const v1::AttentionSelection& selection = request.selection();
  CheckSelection("selection", selection, model.model->config(), violations);
  if (!v1::AttentionStage_IsValid(selection.stage())) {
    violations->Add("selection.stage", absl::StrCat("is ", static_cast<int>(selection.stage()),
                                                    "; must be a value of heed.v1.AttentionStage"));
  }
  if (!v1::HeadFusion_IsValid(selection.head_fusion())) {
    violations->Add("selection.head_fusion", "must be a value of heed.v1.HeadFusion");
  }
  if (selection.has_keys() && !HasKeyRange(selection)) {
    violations->Add("selection.keys", "goes with dense and pooled only");
  }
  CheckEncoding(selection, violations);
  return {};
}

absl::Status AttentionStream::CheckLength(const Request& request, const ModelConfig& config,
                                          int64_t n_tokens) {
  HEED_ASSIGN_OR_RETURN(const Selection selection, Resolve(request, config, n_tokens));
  HEED_RETURN_IF_ERROR(
      CheckAttentionBytes(RowBytes(request.selection(), selection), kMaxTileBytes));
  if (request.selection().has_pooled()) {
    const v1::PooledEncoding& pooled = request.selection().pooled();
    HEED_RETURN_IF_ERROR(CheckAttentionBytes(
        int64_t{4} * std::min<int64_t>(PooledRows(pooled), selection.queries.size()) *
            PooledColumns(pooled),
        kMaxTileBytes));
  }
  if (request.selection().span_sums().average_queries()) {
    const int64_t n_spans = static_cast<int64_t>(selection.spans.size());
    HEED_RETURN_IF_ERROR(CheckAttentionBytes(4 * n_spans * n_spans, kMaxTileBytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<AttentionStream::Selection> AttentionStream::Resolve(const Request& request,
                                                                    const ModelConfig& config,
                                                                    int64_t n_tokens) {
  const v1::AttentionSelection& wire = request.selection();
  Selection selection;
  selection.stage = StageOf(wire.stage());
  selection.fusion = FusionOf(wire.head_fusion());
  selection.layers = ResolveIndices(wire.layers(), config.n_layers);
  selection.heads = ResolveIndices(wire.heads(), config.n_heads);
  HEED_ASSIGN_OR_RETURN(selection.queries, ResolvePositions("selection.queries", wire.queries(),
                                                            n_tokens, AllPositions(n_tokens)));
  HEED_ASSIGN_OR_RETURN(const KeySpan keys, ResolveSpan("selection.keys", wire.keys(), n_tokens));
  selection.key_begin = keys.begin;
  selection.key_end = keys.end;
  for (int i = 0; i < wire.span_sums().spans_size(); ++i) {
    HEED_ASSIGN_OR_RETURN(const KeySpan span, ResolveSpan(Element("selection.span_sums.spans", i),
                                                          wire.span_sums().spans(i), n_tokens));
    selection.spans.push_back(span);
  }
  return selection;
}

absl::StatusOr<int64_t> AttentionStream::AnswerBytes(const Request& request,
                                                     const ModelConfig& config, int64_t n_tokens) {
  HEED_ASSIGN_OR_RETURN(const Selection selection, Resolve(request, config, n_tokens));
  return TotalBytes(request.selection(), selection, config);
}

int64_t AttentionStream::RowBytes(const v1::AttentionSelection& wire, const Selection& selection) {
  switch (wire.encoding_case()) {
    case Encoding::kTopK:
      return heed::RowBytes(wire.top_k().k(), selection.key_count());
    case Encoding::kThreshold:
      // And its mass, where it begins and, of the last one in a tile, where it ends.
      return 8 * selection.key_count() + 12;
    case Encoding::kPooled:
      return 4 * std::min(PooledColumns(wire.pooled()), selection.key_count());
    case Encoding::kSpanSums:
      return 4 * static_cast<int64_t>(selection.spans.size());
    default:
      return 4 * selection.key_count();
  }
}

int64_t AttentionStream::TotalBytes(const v1::AttentionSelection& wire, const Selection& selection,
                                    const ModelConfig& config) {
  const int64_t maps = static_cast<int64_t>(
      selection.layers.size() * (selection.fusion.has_value() ? 1 : selection.heads.size()));
  int64_t rows = static_cast<int64_t>(selection.queries.size());
  if (wire.has_pooled()) rows = std::min(rows, PooledRows(wire.pooled()));
  if (wire.span_sums().average_queries()) rows = static_cast<int64_t>(selection.spans.size());
  if (wire.has_lower_triangle() && config.causal) {
    int64_t cells = 0;
    for (int64_t query : selection.queries) cells += query + 1;
    return maps * 4 * cells;
  }
  return maps * rows * RowBytes(wire, selection);
}

absl::StatusOr<std::unique_ptr<AttentionStream>> AttentionStream::Create(const Request& request,
                                                                         ReadableRun* run,
                                                                         const StopSignal* stop) {
  HEED_ASSIGN_OR_RETURN(Selection selection,
                        Resolve(request, run->model->model->config(), run->run->prompt.size()));
  return std::unique_ptr<AttentionStream>(
      new AttentionStream(request, run, stop, std::move(selection)));
}

AttentionStream::AttentionStream(const Request& request, ReadableRun* run, const StopSignal* stop,
                                 Selection selection)
    : wire_(request.selection()), run_(run), stop_(stop), selection_(std::move(selection)) {}

absl::StatusOr<bool> AttentionStream::Next(Response* out) {
  if (!header_sent_) {
    header_sent_ = true;
    FillHeader(out->mutable_header());
    return true;
  }
  if (layer_ < selection_.layers.size()) {
    if (!layer_attention_.has_value()) {
      layer_attention_.emplace(*run_->model->model, *run_->run->trace, selection_.layers[layer_]);
    }
    const int64_t n_queries = static_cast<int64_t>(selection_.queries.size());
    const int64_t end = std::min(query_ + RowsAtOnce(), n_queries);
    HEED_RETURN_IF_ERROR(FillTile(query_, end, out->mutable_tile()));
    ++tile_count_;
    query_ = end;
    if (query_ < n_queries) return true;
    query_ = 0;
    ++head_;
    if (!selection_.fusion.has_value() && head_ < selection_.heads.size()) return true;
    head_ = 0;
    ++layer_;
    layer_attention_.reset();
    return true;
  }
  if (end_sent_) return false;
  end_sent_ = true;
  out->mutable_end()->set_tile_count(tile_count_);
  FillTimings(run_->tokenize_time, run_->timings, out->mutable_end()->mutable_timings());
  return true;
}

void AttentionStream::FillHeader(v1::AttentionHeader* out) const {
  const ModelConfig& config = run_->model->model->config();
  FillIdentity(*run_->model, out->mutable_model());
  FillPromptInfo(run_->run->prompt, *run_->model, out->mutable_prompt());
  out->mutable_layers()->Assign(selection_.layers.begin(), selection_.layers.end());
  out->mutable_heads()->Assign(selection_.heads.begin(), selection_.heads.end());
  out->mutable_queries()->Assign(selection_.queries.begin(), selection_.queries.end());
  out->set_key_begin(selection_.key_begin);
  out->set_key_count(selection_.key_count());
  out->set_causal(config.causal && !run_->run->counterfactual_mask);
  out->set_total_bytes(TotalBytes(wire_, selection_, config));
  out->set_stage(WireStage(wire_));
  FillProvenance(*run_, out->mutable_provenance());
  out->mutable_provenance()->set_definition(DefinitionOf(WireStage(wire_)));
}

int64_t AttentionStream::RowsAtOnce() const {
  // A grid is one tile, and so is what is added up over queries.
  if (wire_.has_pooled() || wire_.span_sums().average_queries()) {
    return static_cast<int64_t>(selection_.queries.size());
  }
  return std::max<int64_t>(1, kMaxTileBytes / RowBytes(wire_, selection_));
}

absl::Status AttentionStream::FillTile(int64_t begin, int64_t end, v1::AttentionTile* out) {
  out->set_layer(selection_.layers[layer_]);
  out->set_head(selection_.fusion.has_value() ? -1 : selection_.heads[head_]);
  if (wire_.has_pooled()) return FillPooled(out);
  if (wire_.span_sums().average_queries()) return FillSpanMeans(out);
  out->mutable_queries()->Assign(selection_.queries.begin() + begin,
                                 selection_.queries.begin() + end);
  FillRows(begin, end, out);
  return absl::OkStatus();
}

void AttentionStream::ReadRows(int64_t begin, int64_t end, RowFn fn) {
  const absl::Span<const int64_t> queries =
      absl::MakeConstSpan(selection_.queries).subspan(begin, end - begin);
  const auto index_of = [&](int64_t query) {
    return begin + (std::lower_bound(queries.begin(), queries.end(), query) - queries.begin());
  };
  if (selection_.fusion.has_value()) {
    layer_attention_->ReadFused(
        selection_.stage, *selection_.fusion, selection_.heads, queries,
        [&](int64_t query, absl::Span<const float> row) { fn(index_of(query), row); });
    return;
  }
  layer_attention_->Read(
      selection_.stage, {selection_.heads[head_]}, queries,
      [&](int, int64_t query, absl::Span<const float> row) { fn(index_of(query), row); });
}

// So that a long prompt's map is never whole in memory.
absl::Status AttentionStream::ReadAllRows(RowFn fn) {
  constexpr int64_t kRowsAtOnce = 256;
  const int64_t n_queries = static_cast<int64_t>(selection_.queries.size());
  for (int64_t begin = 0; begin < n_queries; begin += kRowsAtOnce) {
    HEED_RETURN_IF_ERROR(stop_->Check());
    ReadRows(begin, std::min(begin + kRowsAtOnce, n_queries), fn);
  }
  return absl::OkStatus();
}

absl::Span<const float> AttentionStream::Visible(int64_t index, absl::Span<const float> row) const {
  if (!run_->model->model->config().causal || run_->run->counterfactual_mask) return row;
  return row.first(selection_.queries[index] + 1);
}

void AttentionStream::FillRows(int64_t begin, int64_t end, v1::AttentionTile* out) {
  switch (wire_.encoding_case()) {
    case Encoding::kTopK:
      return FillTopK(begin, end, out);
    case Encoding::kLowerTriangle:
      return FillLowerTriangle(begin, end, out);
    case Encoding::kThreshold:
      return FillAboveThreshold(begin, end, out);
    case Encoding::kSpanSums:
      return FillSpanSums(begin, end, out);
    default:
      return FillDense(begin, end, out);
  }
}

void AttentionStream::FillTopK(int64_t begin, int64_t end, v1::AttentionTile* out) {
  const std::vector<int64_t> queries(selection_.queries.begin() + begin,
                                     selection_.queries.begin() + end);
  const int64_t keys = selection_.key_count();
  AttentionTile tile(out->layer(), out->head(), queries, keys,
                     std::min<int64_t>(wire_.top_k().k(), keys));
  ReadRows(begin, end, [&](int64_t index, absl::Span<const float> row) {
    tile.StoreRow(index - begin, Visible(index, row));
  });
  heed::FillTile(tile, out);
}

void AttentionStream::FillLowerTriangle(int64_t begin, int64_t end, v1::AttentionTile* out) {
  std::vector<std::vector<float>> rows(end - begin);
  ReadRows(begin, end, [&](int64_t index, absl::Span<const float> row) {
    const absl::Span<const float> visible = Visible(index, row);
    rows[index - begin].assign(visible.begin(), visible.end());
  });
  std::vector<float> packed;
  for (const std::vector<float>& row : rows) packed.insert(packed.end(), row.begin(), row.end());
  FillTensor(packed, {static_cast<int64_t>(packed.size())}, out->mutable_packed());
}

void AttentionStream::FillAboveThreshold(int64_t begin, int64_t end, v1::AttentionTile* out) {
  std::vector<SparseRow> rows(end - begin);
  ReadRows(begin, end, [&](int64_t index, absl::Span<const float> row) {
    rows[index - begin] = KeepFrom(Visible(index, row), wire_.threshold().min_weight());
  });
  v1::SparseWeights* const wire = out->mutable_sparse();
  std::vector<float> weights;
  std::vector<float> dropped;
  for (const SparseRow& row : rows) {
    wire->add_row_begin(static_cast<int32_t>(weights.size()));
    wire->mutable_keys()->Add(row.keys.begin(), row.keys.end());
    weights.insert(weights.end(), row.weights.begin(), row.weights.end());
    dropped.push_back(row.dropped_mass);
  }
  wire->add_row_begin(static_cast<int32_t>(weights.size()));
  FillTensor(weights, {static_cast<int64_t>(weights.size())}, wire->mutable_weights());
  FillTensor(dropped, {end - begin}, wire->mutable_dropped_mass());
}

void AttentionStream::FillSpanSums(int64_t begin, int64_t end, v1::AttentionTile* out) {
  const int64_t n_spans = static_cast<int64_t>(selection_.spans.size());
  std::vector<float> sums((end - begin) * n_spans);
  ReadRows(begin, end, [&](int64_t index, absl::Span<const float> row) {
    SumSpans(row, selection_.spans,
             absl::MakeSpan(sums).subspan((index - begin) * n_spans, n_spans));
  });
  FillTensor(sums, {end - begin, n_spans}, out->mutable_grid());
}

void AttentionStream::FillDense(int64_t begin, int64_t end, v1::AttentionTile* out) {
  const int64_t keys = selection_.key_count();
  std::vector<float> values((end - begin) * keys);
  ReadRows(begin, end, [&](int64_t index, absl::Span<const float> row) {
    const absl::Span<const float> chosen = row.subspan(selection_.key_begin, keys);
    std::copy(chosen.begin(), chosen.end(), values.begin() + (index - begin) * keys);
  });
  FillTensor(values, {end - begin, keys}, out->mutable_weights());
}

absl::Status AttentionStream::FillPooled(v1::AttentionTile* out) {
  const int64_t n_queries = static_cast<int64_t>(selection_.queries.size());
  const bool mean = wire_.pooled().reduction() == v1::PooledEncoding::REDUCTION_MEAN;
  PooledMap map(n_queries, selection_.key_count(), PooledRows(wire_.pooled()),
                PooledColumns(wire_.pooled()),
                mean ? PooledMap::Reduction::kMean : PooledMap::Reduction::kMax);
  HEED_RETURN_IF_ERROR(ReadAllRows([&](int64_t index, absl::Span<const float> row) {
    map.AddRow(index, row.subspan(selection_.key_begin, selection_.key_count()));
  }));
  for (int64_t row = 0; row < map.rows(); ++row) {
    out->add_queries(selection_.queries[map.FirstQuery(row)]);
  }
  FillTensor(map.Grid(), {map.rows(), map.columns()}, out->mutable_grid());
  return absl::OkStatus();
}

// The means of a span's rows are added up side by side, each in the rows' order.
absl::Status AttentionStream::FillSpanMeans(v1::AttentionTile* out) {
  const int64_t n_spans = static_cast<int64_t>(selection_.spans.size());
  const int64_t n_queries = static_cast<int64_t>(selection_.queries.size());
  std::vector<float> by_query(n_queries * n_spans);
  HEED_RETURN_IF_ERROR(ReadAllRows([&](int64_t index, absl::Span<const float> row) {
    SumSpans(row, selection_.spans, absl::MakeSpan(by_query).subspan(index * n_spans, n_spans));
  }));
  std::vector<float> means;
  for (const KeySpan& rows : selection_.spans) {
    HEED_RETURN_IF_ERROR(stop_->Check());
    out->add_queries(rows.begin);
    std::vector<double> sums(n_spans);
    for (int64_t query = rows.begin; query < rows.end; ++query) {
      const float* const row = by_query.data() + query * n_spans;
      for (int64_t s = 0; s < n_spans; ++s) sums[s] += row[s];
    }
    const double count = static_cast<double>(rows.end - rows.begin);
    for (double sum : sums) means.push_back(static_cast<float>(sum / count));
  }
  FillTensor(means, {n_spans, n_spans}, out->mutable_grid());
  return absl::OkStatus();
}

}  // namespace heed
