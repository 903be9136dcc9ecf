#include "server/convert/metric.h"

#include "absl/strings/str_cat.h"
#include "server/convert/attention.h"
#include "server/convert/predict.h"

namespace heed {

Metric ReadMetric(const std::string& field, const v1::Metric& wire, const ServedModel& model,
                  Violations* violations) {
  Metric metric;
  if (wire.has_position()) metric.position = wire.position();
  const auto token = [&](absl::string_view name, const v1::TokenChoice& choice) {
    return ResolveToken(absl::StrCat(field, ".", name), choice, model, violations).value_or(0);
  };
  switch (wire.metric_case()) {
    case v1::Metric::kLogit:
      metric.kind = Metric::Kind::kLogit;
      metric.token = token("logit", wire.logit());
      break;
    case v1::Metric::kLogitDifference:
      metric.kind = Metric::Kind::kLogitDifference;
      metric.token = token("logit_difference.token", wire.logit_difference().token());
      metric.against = token("logit_difference.against", wire.logit_difference().against());
      break;
    case v1::Metric::kProbability:
      metric.kind = Metric::Kind::kProbability;
      metric.token = token("probability", wire.probability());
      break;
    case v1::Metric::kRank:
      metric.kind = Metric::Kind::kRank;
      metric.token = token("rank", wire.rank());
      break;
    case v1::Metric::kKlFromBase:
      metric.kind = Metric::Kind::kKlFromBase;
      break;
    case v1::Metric::kLoss:
      metric.kind = Metric::Kind::kLoss;
      if (wire.has_position()) {
        violations->Add(absl::StrCat(field, ".position"),
                        "is set, and a loss is over all positions; leave it out");
      }
      break;
    case v1::Metric::METRIC_NOT_SET:
      violations->Add(field,
                      "is missing; set one of logit, logit_difference, probability, rank, "
                      "kl_from_base, loss");
      break;
  }
  return metric;
}

absl::Status CheckMetricPosition(const std::string& field, const v1::Metric& wire,
                                 int64_t n_tokens) {
  if (!wire.has_position()) return absl::OkStatus();
  return ResolvePosition(absl::StrCat(field, ".position"), wire.position(), n_tokens).status();
}

}  // namespace heed
