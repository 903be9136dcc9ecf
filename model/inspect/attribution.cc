#include "model/inspect/attribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/activations.h"
#include "model/inspect/head_stats.h"
#include "model/inspect/logit_lens.h"
#include "model/transformer/model_parts.h"

namespace heed {
namespace {

double Dot(absl::Span<const double> direction, absl::Span<const float> x) {
  return std::inner_product(x.begin(), x.end(), direction.begin(), 0.0);
}

// A linear function of a vector: what a logit takes from the stream at some point of the pass, when
// the norms behind that point keep the scale they had.
struct Readout {
  std::vector<double> direction;
  double constant = 0;  // what was added behind the point

  double Of(absl::Span<const float> x) const { return Dot(direction, x) + constant; }
};

// The readout in front of a norm that was given `x`: norm(x) = (x - mean) / deviation * w + b, or
// x / root mean square * w.
void PullThroughNorm(const NormPart& norm, absl::Span<const float> x, Readout& readout) {
  if (!norm.present()) return;
  const double n = static_cast<double>(x.size());
  const bool centres = norm.kind == NormKind::kLayerNorm;
  const double mean = centres ? std::accumulate(x.begin(), x.end(), 0.0) / n : 0;
  double square = 0;
  for (float value : x) square += (value - mean) * (value - mean);
  const double scale = 1 / std::sqrt(square / n + norm.parameters.eps);
  if (!norm.parameters.bias.empty()) {
    readout.constant += Dot(readout.direction, norm.parameters.bias);
  }
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    readout.direction[i] *= norm.parameters.weight[i] * scale;
    sum += readout.direction[i];
  }
  if (!centres) return;
  for (double& value : readout.direction) value -= sum / n;
}

// The readout in front of a linear layer.
void PullThroughLinear(const Linear& linear, Readout& readout) {
  const int64_t in = linear.in_features(), out = linear.out_features();
  const std::vector<float> zeros(in);
  std::vector<float> bias(out), row(in);
  linear.Apply({zeros.data(), 1, in}, {bias.data(), 1, out});
  readout.constant += Dot(readout.direction, bias);
  std::vector<double> direction(in);
  for (int64_t o = 0; o < out; ++o) {
    linear.CopyWeightRow(o, absl::MakeSpan(row));
    for (int64_t i = 0; i < in; ++i) direction[i] += readout.direction[o] * row[i];
  }
  readout.direction = std::move(direction);
}

// The logit, before a cap, of `token` less that of `against`, as a function of the last stream,
// which was `x`.
Readout ReadLogit(const ModelParts& parts, absl::Span<const float> x, TokenId token,
                  std::optional<TokenId> against) {
  const HeadParts& head = parts.head;
  const Linear& unembedding = *head.unembedding;
  std::vector<float> row(unembedding.in_features()), other(row.size());
  unembedding.CopyWeightRow(token, absl::MakeSpan(row));
  if (against.has_value()) unembedding.CopyWeightRow(*against, absl::MakeSpan(other));
  const std::vector<float> zeros(row.size());
  std::vector<float> bias(unembedding.out_features());
  unembedding.Apply({zeros.data(), 1, unembedding.in_features()},
                    {bias.data(), 1, unembedding.out_features()});
  Readout readout;
  for (size_t i = 0; i < row.size(); ++i) readout.direction.push_back(double{row[i]} - other[i]);
  readout.constant = bias[token] - (against.has_value() ? double{bias[*against]} : 0.0);
  if (head.projection != nullptr) PullThroughLinear(*head.projection, readout);
  PullThroughNorm(head.norm, x, readout);
  return readout;
}

// The model's own logits of one row of the last stream, before a cap.
std::vector<float> UncappedLogits(const ModelParts& parts, absl::Span<const float> x) {
  ModelParts uncapped = parts;
  uncapped.head.soft_cap = 0;
  std::vector<float> row(x.begin(), x.end());
  std::vector<float> logits(parts.head.unembedding->out_features());
  AlignedBuffer scratch;
  Unembed(uncapped, {row.data(), 1, static_cast<int64_t>(row.size())},
          {logits.data(), 1, static_cast<int64_t>(logits.size())}, scratch);
  return logits;
}

std::vector<float> Sum(absl::Span<const float> a, absl::Span<const float> b) {
  std::vector<float> sum(a.begin(), a.end());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

// Goes down from a logit through the layers at one position, one part after the other.
class Attribution {
 public:
  Attribution(const LanguageModel& model, const Trace& trace, const AttributionRequest& request)
      : model_(model), trace_(trace), request_(request) {}

  absl::StatusOr<LogitAttribution> Run() {
    const ModelConfig& config = model_.config();
    const ModelParts& parts = model_.parts();
    HEED_RETURN_IF_ERROR(CheckLinearHead(model_));
    HEED_RETURN_IF_ERROR(CheckAttributable(model_, trace_));
    HEED_ASSIGN_OR_RETURN(const std::vector<float> last, Row(Site::kResidual, config.n_layers));
    readout_ = ReadLogit(parts, last, request_.token, request_.against);
    for (int layer = config.n_layers - 1; layer >= 0; --layer) HEED_RETURN_IF_ERROR(Layer(layer));
    LogitAttribution result;
    if (has_stream()) {
      HEED_ASSIGN_OR_RETURN(const std::vector<float> first, Row(Site::kResidual, 0));
      Emit(LogitPart::Kind::kEmbedding, -1, Dot(readout_.direction, first));
    }
    std::reverse(parts_.begin(), parts_.end());
    Emit(LogitPart::Kind::kFinalBias, -1, readout_.constant);
    result.parts = std::move(parts_);
    const std::vector<float> logits = UncappedLogits(parts, last);
    result.logit = logits[request_.token];
    if (request_.against.has_value()) result.logit -= logits[*request_.against];
    result.residual_error = result.logit;
    for (const LogitPart& part : result.parts) result.residual_error -= part.value;
    result.before_cap = parts.head.soft_cap != 0;
    return result;
  }

  // Goes down to what a layer's attention half adds, for BeforeInnerNorm.
  absl::Status ToLayer(int layer) {
    HEED_RETURN_IF_ERROR(CheckLinearHead(model_));
    HEED_ASSIGN_OR_RETURN(const std::vector<float> last,
                          Row(Site::kResidual, model_.config().n_layers));
    readout_ = ReadLogit(model_.parts(), last, request_.token, request_.against);
    for (int above = model_.config().n_layers - 1; above >= layer; --above) {
      HEED_RETURN_IF_ERROR(PullThroughMlpNorm(above));
      HEED_RETURN_IF_ERROR(PullThroughAttentionNorm(above));
    }
    return absl::OkStatus();
  }

  // The readout in front of the half's inner norm, of what the output projection gives.
  absl::StatusOr<Readout> BeforeInnerNorm(const LayerAttention& attention) {
    Readout inner{readout_.direction, 0};
    if (!attention.half().inside.present()) return inner;
    const int64_t position[] = {request_.position};
    const AlignedBuffer mixed = attention.Mixed(position);
    std::vector<float> product(model_.config().width);
    attention.half().out->Apply({mixed.data(), 1, mixed.size()},
                                {product.data(), 1, model_.config().width});
    PullThroughNorm(attention.half().inside, product, inner);
    return inner;
  }

 private:
  bool has_stream() const { return model_.config().ffn_width > 0; }
  bool Edits(Site site, int layer) const {
    return trace_.editor() != nullptr && trace_.editor()->EditsSite(site, layer);
  }
  void Emit(LogitPart::Kind kind, int layer, double value) {
    parts_.push_back({kind, layer, /*head=*/-1, value, {}});
  }

  absl::StatusOr<std::vector<float>> Row(Site site, int layer) {
    HEED_ASSIGN_OR_RETURN(const SiteValues values, ReadSite(model_, trace_, site, layer));
    const absl::Span<const float> row = values.view().Row(request_.position);
    return std::vector<float>(row.begin(), row.end());
  }
  // What attention adds at the position, without the rows of all others.
  std::vector<float> AttentionOut(int layer) const {
    const int64_t position[] = {request_.position};
    const AlignedBuffer out = LayerAttention(model_, trace_, layer).Out(position);
    return {out.span().begin(), out.span().end()};
  }

  absl::Status PullThroughMlpNorm(int layer) {
    const NormPart& after = model_.parts().layers[layer].mlp.after;
    if (!after.present()) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const std::vector<float> mid, Row(Site::kResidualMid, layer));
    HEED_ASSIGN_OR_RETURN(const std::vector<float> out, Row(Site::kMlpOut, layer));
    PullThroughNorm(after, Sum(mid, out), readout_);
    return absl::OkStatus();
  }
  absl::Status PullThroughAttentionNorm(int layer) {
    const NormPart& after = model_.parts().layers[layer].attention.after;
    if (!after.present()) return absl::OkStatus();
    HEED_ASSIGN_OR_RETURN(const std::vector<float> x, Row(Site::kResidual, layer));
    PullThroughNorm(after, Sum(x, AttentionOut(layer)), readout_);
    return absl::OkStatus();
  }

  absl::Status Layer(int layer) {
    double edits = 0;  // what they put into the stream
    const auto add_edit = [&](Site site, int at, const Readout& behind,
                              absl::Span<const float> before) -> absl::Status {
      HEED_ASSIGN_OR_RETURN(const std::vector<float> edited, Row(site, at));
      edits += behind.Of(edited) - readout_.Of(before);
      return absl::OkStatus();
    };
    const bool edits_end = Edits(Site::kResidual, layer + 1);
    const bool edits_mid = Edits(Site::kResidualMid, layer);
    const Readout end = readout_;
    const size_t edit_place = parts_.size();
    if (has_stream()) {
      HEED_RETURN_IF_ERROR(PullThroughMlpNorm(layer));
      HEED_ASSIGN_OR_RETURN(const std::vector<float> mlp, MlpOut(layer));
      Emit(LogitPart::Kind::kMlp, layer, Dot(readout_.direction, mlp));
      if (edits_end) {
        HEED_ASSIGN_OR_RETURN(const std::vector<float> mid, Row(Site::kResidualMid, layer));
        HEED_RETURN_IF_ERROR(add_edit(Site::kResidual, layer + 1, end, Sum(mid, mlp)));
      }
      const Readout mid = readout_;
      HEED_RETURN_IF_ERROR(PullThroughAttentionNorm(layer));
      if (edits_mid) {
        HEED_ASSIGN_OR_RETURN(const std::vector<float> x, Row(Site::kResidual, layer));
        HEED_RETURN_IF_ERROR(add_edit(Site::kResidualMid, layer, mid, Sum(x, AttentionOut(layer))));
      }
    } else if (edits_end) {
      HEED_RETURN_IF_ERROR(add_edit(Site::kResidual, layer + 1, end, AttentionOut(layer)));
    }
    if (edits_end || edits_mid) {
      parts_.insert(parts_.begin() + static_cast<int64_t>(edit_place),
                    {LogitPart::Kind::kEdit, layer, /*head=*/-1, edits, {}});
    }
    if (request_.unit == AttributionUnit::kComponent) {
      Emit(LogitPart::Kind::kAttention, layer, Dot(readout_.direction, AttentionOut(layer)));
      return absl::OkStatus();
    }
    return Heads(layer);
  }

  // In a model that norms before its halves the difference of the stream, at this position alone.
  absl::StatusOr<std::vector<float>> MlpOut(int layer) {
    if (trace_.Has(Site::kMlpOut, layer) || model_.parts().layers[layer].mlp.after.present() ||
        Edits(Site::kResidual, layer + 1) || Edits(Site::kResidualMid, layer)) {
      return Row(Site::kMlpOut, layer);
    }
    HEED_ASSIGN_OR_RETURN(std::vector<float> out, Row(Site::kResidual, layer + 1));
    HEED_ASSIGN_OR_RETURN(const std::vector<float> before, Row(Site::kResidual, layer));
    const std::vector<float> attention = AttentionOut(layer);
    for (size_t i = 0; i < out.size(); ++i) out[i] = out[i] - before[i] - attention[i];
    return out;
  }

  absl::Status Heads(int layer);

  const LanguageModel& model_;
  const Trace& trace_;
  const AttributionRequest& request_;
  Readout readout_;
  std::vector<LogitPart> parts_;  // the last one first
};

// What the head's part of the output projection takes from each dimension of its values.
std::vector<double> HeadDirection(const LayerAttention& attention, int head,
                                  const Readout& readout) {
  const std::vector<float> projection = attention.HeadProjection(head);
  const int64_t dim = attention.shape().head_dim;
  std::vector<double> direction(dim);
  for (size_t row = 0; row < readout.direction.size(); ++row) {
    for (int64_t d = 0; d < dim; ++d) {
      direction[d] += readout.direction[row] * projection[static_cast<int64_t>(row) * dim + d];
    }
  }
  return direction;
}

absl::Status Attribution::Heads(int layer) {
  const LayerAttention attention(model_, trace_, layer);
  HEED_ASSIGN_OR_RETURN(const Readout inner, BeforeInnerNorm(attention));
  const int64_t dim = attention.shape().head_dim, n_heads = attention.shape().n_heads;
  const int64_t position[] = {request_.position};
  const AlignedBuffer mixed = attention.Mixed(position);
  std::vector<LogitPart> heads(n_heads);
  double all = 0;
  for (int head = 0; head < n_heads; ++head) {
    const std::vector<double> direction = HeadDirection(attention, head, inner);
    heads[head] = {.kind = LogitPart::Kind::kHead,
                   .layer = layer,
                   .head = head,
                   .value = Dot(direction, mixed.span().subspan(head * dim, dim)),
                   .by_source = {}};
    all += heads[head].value;
    if (request_.unit != AttributionUnit::kHeadAndSource) continue;
    const int only[] = {head};
    heads[head].by_source.resize(trace_.size());
    attention.Read(
        AttentionStage::kWeights, only, position,
        [&](int, int64_t, absl::Span<const float> weights) {
          for (size_t key = 0; key < weights.size(); ++key) {
            heads[head].by_source[key] = static_cast<float>(
                weights[key] * Dot(direction, attention.Value(head, static_cast<int64_t>(key))));
          }
        });
  }
  if (attention.half().out != nullptr || Edits(Site::kAttentionOut, layer)) {
    // The projection's bias and its norm's, and what an edit did behind them.
    Emit(LogitPart::Kind::kAttentionBias, layer,
         Dot(readout_.direction, AttentionOut(layer)) - all);
  }
  std::move(heads.rbegin(), heads.rend(), std::back_inserter(parts_));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLinearHead(const LanguageModel& model) {
  HEED_RETURN_IF_ERROR(CheckHasHead(model.config()));
  if (model.parts().head.is_linear()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "HEAD_NOT_LINEAR",
                   "this model's head has an activation between the stream and the logits, so a "
                   "logit is not a sum of what was written to the stream");
}

absl::Status CheckAttributable(const LanguageModel& model, const Trace& trace) {
  const ForwardEditor* const editor = trace.editor();
  const bool has_stream = HasSite(model.config(), Site::kMlpOut);
  if (has_stream) HEED_RETURN_IF_ERROR(CheckReadable(model, trace, Site::kResidual, 0));
  for (int layer = 0; layer < model.config().n_layers; ++layer) {
    if (has_stream) {
      HEED_RETURN_IF_ERROR(CheckReadable(model, trace, Site::kMlpOut, layer));
    } else if (editor != nullptr && editor->EditsSite(Site::kResidual, layer + 1)) {
      HEED_RETURN_IF_ERROR(CheckReadable(model, trace, Site::kResidual, layer + 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LogitAttribution> AttributeLogit(const LanguageModel& model, const Trace& trace,
                                                const AttributionRequest& request) {
  return Attribution(model, trace, request).Run();
}

SiteSet SitesForAttribution(const ModelConfig& config) {
  SiteSet sites{Site::kResidual};
  if (config.norm_placement == NormPlacement::kPost) sites.Add(Site::kMlpOut);
  return sites;
}

SiteSet SitesForRowTokens(const ModelConfig& config) {
  return config.norm_placement == NormPlacement::kPost ? SitesForAttribution(config) : SiteSet();
}

absl::StatusOr<RowExplanation> ExplainRow(const LanguageModel& model, const Trace& trace, int layer,
                                          int head, int64_t query,
                                          absl::Span<const TokenId> tokens) {
  const LayerAttention attention(model, trace, layer);
  const int64_t dim = attention.shape().head_dim;
  const int heads[] = {head};
  const int64_t queries[] = {query};
  RowExplanation row;
  const auto read = [&](AttentionStage stage) {
    std::vector<float> values;
    attention.Read(stage, heads, queries, [&](int, int64_t, absl::Span<const float> all) {
      values.assign(all.begin(), all.end());
    });
    return values;
  };
  row.masked = read(AttentionStage::kMasked);
  row.weights = read(AttentionStage::kWeights);
  row.key_count = attention.KeyCount(head, query);
  row.raw = read(AttentionStage::kRaw);
  row.scaled = read(AttentionStage::kScaled);
  row.capped = read(AttentionStage::kCapped);
  row.weighted_norms = read(AttentionStage::kValueWeighted);
  for (double norm : attention.ValueNorms(head)) {
    row.value_norms.push_back(static_cast<float>(norm));
  }
  for (auto* values : {&row.raw, &row.scaled, &row.capped, &row.masked, &row.weights,
                       &row.weighted_norms, &row.value_norms}) {
    values->resize(row.key_count);
  }
  const bool has_keys = WhyNotInModel(model.config(), Site::kKey).empty();
  if (has_keys) {
    row.query.assign(attention.Query(head, query).begin(), attention.Query(head, query).end());
  }
  for (int64_t key = 0; key < row.key_count; ++key) {
    const auto k = attention.Key(head, key), v = attention.Value(head, key);
    if (has_keys) row.keys.insert(row.keys.end(), k.begin(), k.end());
    row.values.insert(row.values.end(), v.begin(), v.end());
  }
  const AlignedBuffer mixed = attention.Mixed(queries);
  const absl::Span<const float> context = mixed.span().subspan(head * dim, dim);
  row.context.assign(context.begin(), context.end());
  const std::vector<float> projection = attention.HeadProjection(head);
  for (int64_t d = 0; d < model.config().width; ++d) {
    const float* weights = projection.data() + d * dim;
    row.projection.push_back(
        static_cast<float>(std::inner_product(context.begin(), context.end(), weights, 0.0)));
  }
  row.entropy = StatsOf(0, row.weights).entropy;
  for (TokenId token : tokens) {
    const AttributionRequest request{query, token, std::nullopt, AttributionUnit::kHead};
    Attribution attribution(model, trace, request);
    HEED_RETURN_IF_ERROR(attribution.ToLayer(layer));
    HEED_ASSIGN_OR_RETURN(const Readout readout, attribution.BeforeInnerNorm(attention));
    const std::vector<double> direction = HeadDirection(attention, head, readout);
    RowExplanation::Share share{token, Dot(direction, context), {}};
    for (int64_t key = 0; key < row.key_count; ++key) {
      share.by_key.push_back(
          static_cast<float>(row.weights[key] * Dot(direction, attention.Value(head, key))));
    }
    row.shares.push_back(std::move(share));
  }
  return row;
}

}  // namespace heed
