#include "client/reply_check.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace heed {
inline namespace client {
namespace {

// One attention row, of a prompt of `n_tokens`.
void CheckExplanation(const std::string& prefix, const v1::ExplainRowResponse& row,
                      int64_t n_tokens, ReplyFindings* findings) {
  const auto field = [&](absl::string_view name) { return absl::StrCat(prefix, name); };
  findings->CheckPosition(field("query"), row.query(), n_tokens);
  if (row.layer() < 0 || row.head() < 0) {
    findings->Add(field("layer"), " is ", row.layer(), " and head ", row.head());
  }
  const int64_t keys = row.key_count();
  if (keys < 1 || keys > n_tokens) {
    findings->Add(field("key_count"), " is ", keys, ", and the prompt has ", n_tokens, " tokens");
  }
  findings->CheckShape(field("raw"), row.raw(), {keys});
  findings->CheckShape(field("scaled"), row.scaled(), {keys});
  findings->CheckShape(field("capped"), row.capped(), {keys});
  findings->CheckShape(field("masked"), row.masked(), {keys});
  findings->CheckShape(field("weights"), row.weights(), {keys});
  findings->CheckFinite(field("weights"), row.weights());
  findings->CheckShape(field("value_norms"), row.value_norms(), {keys});
  findings->CheckShape(field("weighted_norms"), row.weighted_norms(), {keys});
  for (const auto& [name, vectors] : {std::pair{"key_vectors", &row.key_vectors()},
                                      std::pair{"value_vectors", &row.value_vectors()}}) {
    if (vectors->shape_size() == 0 && vectors->data().empty()) continue;  // too many to be sent
    findings->CheckShape(field(name), *vectors,
                         {keys, vectors->shape_size() == 2 ? vectors->shape(1) : 0});
  }
  for (const v1::LogitShare& share : row.logit_shares()) {
    findings->CheckShape(field("logit_shares.by_key"), share.by_key(), {keys});
  }
}

// Of InterveneResponse: what a run gave for each metric, or why it gave nothing.
void CheckResult(const std::string& field, const v1::InterveneResult& result,
                 const v1::InterveneRequest& request, ReplyFindings* findings) {
  const bool has_problem = !result.problem().empty();
  const int metric_count = has_problem ? 0 : request.metrics_size();
  const int most = has_problem ? 0 : request.top_k();
  const int candidates = result.candidates_size();
  if (candidates > most || (candidates == 0 && most > 0)) {
    findings->Add(field, ".candidates holds ", candidates, "; expected ", most);
  }
  findings->CheckCount(absl::StrCat(field, ".values"), result.values_size(), metric_count);
}

}  // namespace

absl::Status CheckReply(const v1::PredictRequest&, const v1::PredictResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  for (int i = 0; i < reply.predictions_size() && findings.empty(); ++i) {
    const v1::PositionPrediction& prediction = reply.predictions(i);
    const std::string field = absl::StrCat("predictions[", i, "].");
    findings.CheckPosition(field + "position", prediction.position(), reply.prompt().tokens_size());
    if (!prediction.has_log_probabilities()) continue;
    const auto& all = reply.predictions(0).log_probabilities().shape();
    findings.CheckShape(field + "log_probabilities", prediction.log_probabilities(),
                        {all.empty() ? 0 : all[0]});
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::EmbedRequest& request, const v1::EmbedResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  findings.CheckCount("embeddings", reply.embeddings_size(), request.prompts_size());
  for (int i = 0; i < reply.embeddings_size() && findings.empty(); ++i) {
    const v1::TextEmbedding& embedding = reply.embeddings(i);
    const std::string field = absl::StrCat("embeddings[", i, "].");
    const auto& first = reply.embeddings(0).vector().shape();
    findings.CheckShape(field + "vector", embedding.vector(), {first.empty() ? 0 : first[0]});
    if (!request.token_vectors()) continue;
    const auto& width = reply.embeddings(0).token_vectors().shape();
    findings.CheckShape(field + "token_vectors", embedding.token_vectors(),
                        {embedding.prompt().tokens_size(), width.size() == 2 ? width[1] : 0});
    if (embedding.prompt().tokens().empty()) findings.Add(field, "prompt has no tokens");
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::ExplainRowRequest& request, const v1::ExplainRowResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  CheckExplanation("", reply, reply.prompt().tokens_size(), &findings);
  findings.CheckCount("logit_shares", reply.logit_shares_size(), request.tokens_size());
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::GetHeadStatsRequest& request,
                        const v1::GetHeadStatsResponse& reply) {
  using Reply = v1::GetHeadStatsResponse;
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  findings.CheckIndices("layers", reply.layers());
  findings.CheckIndices("heads", reply.heads());
  findings.CheckPositions("queries", reply.queries(), reply.prompt().tokens_size());
  for (const auto& [field, tensor] :
       {std::pair{"entropy", &Reply::entropy},
        std::pair{"effective_tokens", &Reply::effective_tokens},
        std::pair{"max_weight", &Reply::max_weight}, std::pair{"first_token", &Reply::first_token},
        std::pair{"self", &Reply::self}, std::pair{"previous_token", &Reply::previous_token},
        std::pair{"mean_distance", &Reply::mean_distance}}) {
    if (request.per_row()) {
      findings.CheckShape(field, (reply.*tensor)(),
                          {reply.layers_size(), reply.heads_size(), reply.queries_size()});
    } else {
      findings.CheckShape(field, (reply.*tensor)(), {reply.layers_size(), reply.heads_size()});
    }
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::DetectHeadsRequest&, const v1::DetectHeadsResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  findings.CheckIndices("layers", reply.layers());
  findings.CheckIndices("heads", reply.heads());
  findings.CheckShape("scores", reply.scores(), {reply.layers_size(), reply.heads_size()});
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::LogitLensRequest& request, const v1::LogitLensResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  findings.CheckIndices("layers", reply.layers());
  findings.CheckPositions("positions", reply.positions(), reply.prompt().tokens_size());
  const int columns = reply.positions_size();
  findings.CheckCount("cells", reply.cells_size(), int64_t{columns} * reply.layers_size());
  for (int i = 0; i < reply.cells_size() && findings.empty(); ++i) {
    const v1::LensCell& cell = reply.cells(i);
    const std::string field = absl::StrCat("cells[", i, "]");
    if (cell.layer() != reply.layers(i / columns) ||
        cell.position() != reply.positions(i % columns)) {
      findings.Add(field, " is of layer ", cell.layer(), " and position ", cell.position());
    }
    if (cell.candidates().empty()) findings.Add(field, " has no candidates");
    findings.CheckCount(absl::StrCat(field, ".candidates"), cell.candidates_size(),
                        reply.cells(0).candidates_size());
    findings.CheckCount(absl::StrCat(field, ".followed"), cell.followed_size(),
                        request.tokens_size());
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::AttributeLogitsRequest&,
                        const v1::AttributeLogitsResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  findings.CheckPosition("position", reply.position(), reply.prompt().tokens_size());
  for (int i = 0; i < reply.parts_size() && findings.empty(); ++i) {
    if (!reply.parts(i).has_by_source()) continue;
    findings.CheckShape(absl::StrCat("parts[", i, "].by_source"), reply.parts(i).by_source(),
                        {reply.prompt().tokens_size()});
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::RolloutRequest&, const v1::RolloutResponse& reply) {
  const int n_tokens = reply.prompt().tokens_size();
  ReplyFindings findings;
  findings.CheckPositions("queries", reply.queries(), n_tokens);
  findings.CheckShape("weights", reply.weights(), {reply.queries_size(), n_tokens});
  findings.CheckFinite("weights", reply.weights());
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::DecomposeAttentionRequest&,
                        const v1::DecomposeAttentionResponse& reply) {
  const int n_tokens = reply.prompt().tokens_size();
  ReplyFindings findings;
  findings.CheckPositions("queries", reply.queries(), n_tokens);
  findings.CheckShape("norms", reply.norms(), {reply.queries_size(), n_tokens});
  findings.CheckShape("mixing_ratios", reply.mixing_ratios(), {reply.queries_size()});
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::InterveneRequest& request, const v1::InterveneResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  if (!reply.base().problem().empty()) findings.Add("base has a problem and no values");
  CheckResult("base", reply.base(), request, &findings);
  findings.CheckCount("results", reply.results_size(), request.sets_size());
  for (int i = 0; i < reply.results_size() && findings.empty(); ++i) {
    const std::string field = absl::StrCat("results[", i, "]");
    CheckResult(field, reply.results(i), request, &findings);
    findings.CheckCount(field + ".deltas", reply.results(i).deltas_size(),
                        reply.results(i).values_size());
  }
  return findings.ToStatus();
}

absl::Status CheckReply(const v1::CompareRequest&, const v1::CompareResponse& reply) {
  ReplyFindings findings;
  findings.CheckNumbers(reply);
  for (int i = 0; i < reply.pairs_size() && findings.empty(); ++i) {
    const v1::AlignedPair& pair = reply.pairs(i);
    findings.CheckPosition(absl::StrCat("pairs[", i, "].position_a"), pair.position_a(),
                           reply.prompt_a().tokens_size());
    findings.CheckPosition(absl::StrCat("pairs[", i, "].position_b"), pair.position_b(),
                           reply.prompt_b().tokens_size());
  }
  if (reply.has_first_divergence()) {
    findings.CheckIndex("first_divergence", reply.first_divergence(), reply.pairs_size());
  }
  if (reply.has_head_divergence()) {
    const v1::Tensor& heads = reply.head_divergence();
    const bool is_grid = heads.shape_size() == 2 && heads.shape(0) > 0 && heads.shape(1) > 0;
    if (!is_grid) findings.Add("head_divergence is no grid of layers and heads");
  }
  return findings.ToStatus();
}

absl::Status ExploreReplyCheck::Add(const v1::ExploreResponse& response) {
  ReplyFindings findings;
  findings.CheckNumbers(response);
  // Whoever waits for the answer to a request would wait for ever.
  if (response.sequence() < sequence_) {
    findings.Add("sequence is ", response.sequence(), "; expected ", sequence_, " or more");
  }
  sequence_ = response.sequence();
  if (response.has_error()) {
    if (response.error().code() == 0) findings.Add("error.code is 0, which is no error");
    return findings.ToStatus();
  }
  if (response.has_opened() == is_open_) {
    findings.Add("opened is ", is_open_ ? "there twice" : "missing in the first response");
  }
  if (response.has_opened()) {
    is_open_ = true;
    layers_ = response.opened().layer_count();
    heads_ = response.opened().head_count();
    n_tokens_ = response.opened().prompt().tokens_size();
    if (layers_ < 1 || heads_ < 1 || n_tokens_ < 1) {
      findings.Add("opened has ", layers_, " layers, ", heads_, " heads and ", n_tokens_,
                   " tokens");
    }
  }
  for (const v1::ExplorePrediction& prediction : response.predictions()) {
    findings.CheckPosition("predictions.position", prediction.position(), n_tokens_);
  }
  for (const v1::ExploreRow& row : response.rows()) {
    findings.CheckIndex("rows.layer", row.layer(), layers_);
    findings.CheckIndex("rows.head", row.head(), heads_);
    findings.CheckPosition("rows.query", row.query(), n_tokens_);
    for (const v1::Tensor* tensor : {&row.weights(), &row.base_weights()}) {
      if (tensor->shape_size() > 1 || (tensor->shape_size() == 1 && tensor->shape(0) > n_tokens_)) {
        findings.Add("rows.weights has more keys than the prompt's ", n_tokens_, " tokens");
      }
    }
  }
  if (response.hovered().has_row()) CheckRow("hovered.row.", response.hovered().row(), &findings);
  if (response.hovered().has_base()) {
    CheckRow("hovered.base.", response.hovered().base(), &findings);
  }
  return findings.ToStatus();
}

void ExploreReplyCheck::CheckRow(const std::string& field, const v1::ExplainRowResponse& row,
                                 ReplyFindings* findings) const {
  findings->CheckIndex(absl::StrCat(field, "layer"), row.layer(), layers_);
  findings->CheckIndex(absl::StrCat(field, "head"), row.head(), heads_);
  CheckExplanation(field, row, n_tokens_, findings);
}

}  // namespace client
}  // namespace heed
