#include "model/inspect/metric.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/inspect/prediction.h"

namespace heed {
namespace {

absl::StatusOr<int64_t> Resolve(const std::string& field, int64_t position, int64_t n) {
  if (position >= -n && position < n) return position < 0 ? position + n : position;
  return MakeError(
      absl::StatusCode::kOutOfRange, "POSITION_OUT_OF_RANGE",
      absl::StrCat(field, " is ", position, "; the prompt has ", n, n == 1 ? " token" : " tokens",
                   ", so it must be in [", -n, ", ", n - 1, "]"),
      {{"field", field}, {"position", absl::StrCat(position)}, {"prompt_tokens", absl::StrCat(n)}});
}

void CheckToken(const std::string& field, TokenId token, const ModelConfig& config,
                std::vector<FieldViolation>* violations) {
  if (token >= 0 && token < config.vocab_size) return;
  violations->push_back(
      {field, absl::StrCat("is ", token, "; must be in [0, ", config.vocab_size - 1, "]")});
}

void CheckTokens(const std::string& field, const Metric& metric, const ModelConfig& config,
                 std::vector<FieldViolation>* violations) {
  switch (metric.kind) {
    case Metric::Kind::kLogitDifference:
      CheckToken(absl::StrCat(field, ".against"), metric.against, config, violations);
      [[fallthrough]];
    case Metric::Kind::kLogit:
    case Metric::Kind::kProbability:
    case Metric::Kind::kRank:
      return CheckToken(absl::StrCat(field, ".token"), metric.token, config, violations);
    case Metric::Kind::kLoss:
      for (size_t i = 0; i < metric.targets.size(); ++i) {
        CheckToken(absl::StrCat(field, ".targets[", i, "].token"), metric.targets[i].token, config,
                   violations);
      }
      return;
    case Metric::Kind::kKlFromBase:
      return;
  }
}

// Every token of the prompt that another precedes.
absl::StatusOr<std::vector<NextToken>> OwnNextTokens(const std::string& field,
                                                     absl::Span<const TokenId> tokens,
                                                     const ModelConfig& config) {
  if (!config.causal || tokens.size() < 2) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_NEXT_TOKENS",
                     absl::StrCat(field, " is a loss, and ",
                                  config.causal ? "a prompt of one token has no next ones"
                                                : "this model sees the tokens that follow, so it "
                                                  "does not predict them"));
  }
  std::vector<NextToken> targets;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    targets.push_back({static_cast<int64_t>(i), tokens[i + 1]});
  }
  return targets;
}

absl::Status ResolvePositions(const std::string& field, absl::Span<const TokenId> tokens,
                              const ModelConfig& config, Metric* metric) {
  const int64_t n = static_cast<int64_t>(tokens.size());
  if (metric->kind != Metric::Kind::kLoss) {
    HEED_ASSIGN_OR_RETURN(metric->position,
                          Resolve(absl::StrCat(field, ".position"), metric->position, n));
    return absl::OkStatus();
  }
  if (metric->targets.empty()) {
    HEED_ASSIGN_OR_RETURN(metric->targets, OwnNextTokens(field, tokens, config));
    return absl::OkStatus();
  }
  for (size_t i = 0; i < metric->targets.size(); ++i) {
    int64_t& position = metric->targets[i].position;
    HEED_ASSIGN_OR_RETURN(position,
                          Resolve(absl::StrCat(field, ".targets[", i, "].position"), position, n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MetricReader> MetricReader::Create(absl::Span<const Metric> metrics,
                                                  absl::Span<const TokenId> tokens,
                                                  const ModelConfig& config,
                                                  absl::string_view field) {
  if (!config.has_head && !metrics.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_HEAD",
                     "metrics are read off logits, and this model has no head to make them");
  }
  MetricReader reader;
  std::vector<FieldViolation> violations;
  for (size_t i = 0; i < metrics.size(); ++i) {
    CheckTokens(absl::StrCat(field, "[", i, "]"), metrics[i], config, &violations);
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  for (size_t i = 0; i < metrics.size(); ++i) {
    Metric metric = metrics[i];
    HEED_RETURN_IF_ERROR(
        ResolvePositions(absl::StrCat(field, "[", i, "]"), tokens, config, &metric));
    if (metric.kind != Metric::Kind::kLoss) reader.positions_.push_back(metric.position);
    if (metric.kind == Metric::Kind::kKlFromBase) reader.base_[metric.position] = {};
    for (const NextToken& target : metric.targets) reader.positions_.push_back(target.position);
    reader.metrics_.push_back(std::move(metric));
  }
  auto& positions = reader.positions_;
  if (metrics.empty() && config.has_head)
    positions.push_back(static_cast<int64_t>(tokens.size()) - 1);
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return reader;
}

void MetricReader::AddPosition(int64_t position) {
  const auto at = std::lower_bound(positions_.begin(), positions_.end(), position);
  if (at == positions_.end() || *at != position) positions_.insert(at, position);
}

void MetricReader::SetBase(int64_t position, absl::Span<const float> logits) {
  const auto base = base_.find(position);
  if (base != base_.end()) base->second.assign(logits.begin(), logits.end());
}

void MetricReader::Read(int64_t position, absl::Span<const float> logits,
                        absl::Span<double> values) const {
  const Prediction row(logits);
  for (size_t i = 0; i < metrics_.size(); ++i) {
    const Metric& metric = metrics_[i];
    for (const NextToken& target : metric.targets) {
      if (target.position != position) continue;
      values[i] -= row.LogProbability(target.token) / static_cast<double>(metric.targets.size());
    }
    if (metric.kind == Metric::Kind::kLoss || metric.position != position) continue;
    switch (metric.kind) {
      case Metric::Kind::kLogit:
        values[i] = row.logit(metric.token);
        break;
      case Metric::Kind::kLogitDifference:
        values[i] = row.logit(metric.token) - row.logit(metric.against);
        break;
      case Metric::Kind::kProbability:
        values[i] = std::exp(row.LogProbability(metric.token));
        break;
      case Metric::Kind::kRank:
        values[i] = static_cast<double>(row.Rank(metric.token));
        break;
      case Metric::Kind::kKlFromBase:
        values[i] = Prediction(base_.at(position)).DivergenceFrom(row);
        break;
      case Metric::Kind::kLoss:
        break;
    }
  }
}

}  // namespace heed
