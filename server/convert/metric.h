// Metrics from the wire.
#ifndef HEED_SERVER_CONVERT_METRIC_H_
#define HEED_SERVER_CONVERT_METRIC_H_

#include <string>

#include "absl/status/status.h"
#include "heed/v1/experiment.pb.h"
#include "model/inspect/metric.h"
#include "server/convert/violations.h"
#include "server/engine/registry.h"

namespace heed {

// `field` is the metric's own path; what is wrong goes to `violations`.
Metric ReadMetric(const std::string& field, const v1::Metric& wire, const ServedModel& model,
                  Violations* violations);

// OUT_OF_RANGE (POSITION_OUT_OF_RANGE).
absl::Status CheckMetricPosition(const std::string& field, const v1::Metric& wire,
                                 int64_t n_tokens);

}  // namespace heed

#endif  // HEED_SERVER_CONVERT_METRIC_H_
