// The reads of logits: what layers would predict, and what a logit is made of.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "model/base/status_macros.h"
#include "model/inspect/attribution.h"
#include "model/inspect/logit_lens.h"
#include "server/convert/attention.h"
#include "server/inspect/read_methods.h"
#include "server/inspect/read_parts.h"

namespace heed {
namespace {

constexpr int64_t kMaxLensTopK = 100;

v1::ComponentKind KindOf(LogitPart::Kind kind) {
  switch (kind) {
    case LogitPart::Kind::kEmbedding:
      return v1::COMPONENT_KIND_EMBEDDING;
    case LogitPart::Kind::kAttention:
      return v1::COMPONENT_KIND_ATTENTION;
    case LogitPart::Kind::kMlp:
      return v1::COMPONENT_KIND_MLP;
    case LogitPart::Kind::kHead:
      return v1::COMPONENT_KIND_HEAD;
    case LogitPart::Kind::kAttentionBias:
      return v1::COMPONENT_KIND_ATTENTION_BIAS;
    case LogitPart::Kind::kEdit:
      return v1::COMPONENT_KIND_EDIT;
    case LogitPart::Kind::kFinalBias:
      return v1::COMPONENT_KIND_FINAL_BIAS;
  }
  return v1::COMPONENT_KIND_UNSPECIFIED;
}

AttributionUnit UnitOf(v1::AttributionUnit unit) {
  switch (unit) {
    case v1::ATTRIBUTION_UNIT_HEAD:
      return AttributionUnit::kHead;
    case v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE:
      return AttributionUnit::kHeadAndSource;
    default:
      return AttributionUnit::kComponent;
  }
}

}  // namespace

// ---- LogitLens ----------------------------------------------------------------------------------

absl::StatusOr<SiteSet> LogitLensMethod::Check(const Request& request, const ServedModel& model,
                                               Violations* violations) {
  CheckIndices("layers", request.layers(), ConfigOf(model).n_layers + 1, violations);
  if (request.has_top_k()) {
    CheckInRange<int64_t>("top_k", request.top_k(), 1,
                          std::min(kMaxLensTopK, ConfigOf(model).vocab_size), violations);
  }
  ResolveTokens("tokens", request.tokens(), model, violations);
  HEED_RETURN_IF_ERROR(CheckHasHead(ConfigOf(model)));
  return SiteSet{Site::kResidual};
}

absl::Status LogitLensMethod::CheckLength(const Request& request, const ModelConfig& config,
                                          int64_t n_tokens) {
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      ResolvePositions("positions", request.positions(), n_tokens, {n_tokens - 1}));
  const auto layers = ResolveIndices(request.layers(), config.n_layers + 1).size();
  const int64_t cells = static_cast<int64_t>(layers * positions.size());
  const int64_t top_k = request.has_top_k() ? request.top_k() : 5;
  return CheckReplyBytes(cells * (top_k + request.tokens_size()) * kMinCandidateBytes);
}

absl::Status LogitLensMethod::Answer(const Request& request, const ReadableRun& run,
                                     const StopSignal& stop, Response* response) {
  // All layers of these positions at once, since each needs the last one's.
  constexpr size_t kPositionsAtOnce = 8;
  const ModelConfig& config = ConfigOf(run);
  const int64_t n_tokens = run.run->prompt.size();
  LensOptions options;
  options.layers = ResolveIndices(request.layers(), config.n_layers + 1);
  options.top_k = std::min<int64_t>(request.has_top_k() ? request.top_k() : 5, config.vocab_size);
  options.follow = ResolveCheckedTokens(request.tokens(), *run.model);
  HEED_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      ResolvePositions("positions", request.positions(), n_tokens, {n_tokens - 1}));
  std::vector<std::vector<LensCell>> by_layer(options.layers.size());
  for (size_t begin = 0; begin < positions.size(); begin += kPositionsAtOnce) {
    HEED_RETURN_IF_ERROR(stop.Check());
    const size_t end = std::min(begin + kPositionsAtOnce, positions.size());
    options.positions.assign(positions.begin() + begin, positions.begin() + end);
    HEED_ASSIGN_OR_RETURN(std::vector<LensCell> cells,
                          LogitLens(*run.model->model, *run.run->trace, options));
    for (size_t i = 0; i < cells.size(); ++i) {
      by_layer[i / (end - begin)].push_back(std::move(cells[i]));
    }
  }
  response->mutable_layers()->Assign(options.layers.begin(), options.layers.end());
  response->mutable_positions()->Assign(positions.begin(), positions.end());
  const auto fill = [&](const LensToken& token, v1::Candidate* out) {
    FillTokenOf(run, token.id, out->mutable_token());
    out->set_log_probability(token.log_probability);
    out->set_probability(std::exp(token.log_probability));
    out->set_rank(static_cast<int32_t>(token.rank));
  };
  for (const std::vector<LensCell>& cells : by_layer) {
    for (const LensCell& cell : cells) {
      v1::LensCell* const out = response->add_cells();
      out->set_layer(cell.layer);
      out->set_position(cell.position);
      for (const LensToken& token : cell.top) fill(token, out->add_candidates());
      for (const LensToken& token : cell.followed) fill(token, out->add_followed());
      out->set_entropy(cell.entropy);
      out->set_kl_to_final(cell.kl_to_final);
    }
  }
  response->mutable_provenance()->set_definition("LOGIT_LENS");
  return absl::OkStatus();
}

// ---- AttributeLogits ----------------------------------------------------------------------------

absl::StatusOr<SiteSet> AttributeLogitsMethod::Check(const Request& request,
                                                     const ServedModel& model,
                                                     Violations* violations) {
  if (request.has_token()) ResolveToken("token", request.token(), model, violations);
  if (request.has_against()) ResolveToken("against", request.against(), model, violations);
  CheckEnum("unit", request.unit(), v1::AttributionUnit_IsValid, "heed.v1.AttributionUnit",
            violations);
  HEED_RETURN_IF_ERROR(CheckLinearHead(*model.model));
  return SitesForAttribution(ConfigOf(model));
}

absl::Status AttributeLogitsMethod::CheckLength(const Request& request, const ModelConfig& config,
                                                int64_t n_tokens) {
  if (request.unit() == v1::ATTRIBUTION_UNIT_HEAD_AND_SOURCE) {
    HEED_RETURN_IF_ERROR(CheckFloats(int64_t{config.n_layers} * config.n_heads * n_tokens,
                                     "shorten the prompt, or ask by heads"));
  }
  return ResolvePosition("position", request.has_position() ? request.position() : -1, n_tokens)
      .status();
}

absl::Status AttributeLogitsMethod::Answer(const Request& request, const ReadableRun& run,
                                           const StopSignal&, Response* response) {
  const LanguageModel& model = *run.model->model;
  const Trace& trace = *run.run->trace;
  Violations none;
  AttributionRequest asked;
  HEED_ASSIGN_OR_RETURN(
      asked.position, ResolvePosition("position", request.has_position() ? request.position() : -1,
                                      run.run->prompt.size()));
  if (request.has_token()) {
    asked.token = ResolveToken("token", request.token(), *run.model, &none).value_or(0);
  } else {
    HEED_ASSIGN_OR_RETURN(const std::vector<float> logits,
                          TraceLogits(model, trace, {asked.position}));
    asked.token =
        static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  if (request.has_against()) {
    asked.against = ResolveToken("against", request.against(), *run.model, &none);
  }
  asked.unit = UnitOf(request.unit());
  HEED_ASSIGN_OR_RETURN(const LogitAttribution attribution, AttributeLogit(model, trace, asked));
  response->set_position(asked.position);
  FillTokenOf(run, asked.token, response->mutable_token());
  if (asked.against.has_value()) FillTokenOf(run, *asked.against, response->mutable_against());
  for (const LogitPart& part : attribution.parts) {
    v1::LogitPart* const out = response->add_parts();
    out->set_kind(KindOf(part.kind));
    if (part.layer >= 0) out->set_layer(part.layer);
    if (part.head >= 0) out->set_head(part.head);
    out->set_value(part.value);
    if (!part.by_source.empty()) FillVector(part.by_source, out->mutable_by_source());
  }
  response->set_logit(attribution.logit);
  response->set_residual_error(attribution.residual_error);
  response->set_before_cap(attribution.before_cap);
  response->mutable_provenance()->set_definition("DIRECT_LOGIT_ATTRIBUTION");
  return absl::OkStatus();
}

}  // namespace heed
