// Numbers to read off predictions: --metric, --token, --against and --position.
#ifndef HEED_CLIENT_CLI_REQUEST_METRICS_H_
#define HEED_CLIENT_CLI_REQUEST_METRICS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/cli/request/run_source.h"
#include "heed/v1/experiment.pb.h"

namespace heed::cli {

std::vector<OptionSpec> MetricOptions();

struct NamedMetrics {
  std::vector<v1::Metric> metrics;
  std::vector<std::string> names;  // as headings: "·were", "logit of ·were", "KL from base, nats"
};

// The metrics that the command names, each for every --token; by default the probability of each,
// and the KL divergence from the base. Without --token, the `word_count` most probable words of the
// base are taken, which the server is asked for.
absl::StatusOr<NamedMetrics> ReadMetrics(const Arguments& arguments, RunSource& source,
                                         int word_count, Session& session);
// The same for commands that take one metric, by default the probability of the most probable word.
absl::StatusOr<NamedMetrics> ReadMetric(const Arguments& arguments, RunSource& source,
                                        Session& session);

std::string FormatMetric(const v1::Metric& metric, double value);

// What --metric calls it: "probability", "kl".
std::string KindOf(const v1::Metric& metric);
// One of the metrics by a name that needs no heading: "probability of ·were".
std::string LongName(const NamedMetrics& metrics, size_t index);

// Where a metric is read; none for one that is not of one place.
std::optional<int64_t> PlaceOf(const v1::Metric& metric, const v1::PromptInfo& prompt);

// "Read at [MASK] (position 1)." where that is not the last word; empty where it is.
std::string PlaceText(const v1::Metric& metric, const v1::PromptInfo& prompt);

// --under: edits of the base, each as the option that makes it, "ablate=2.3".
absl::StatusOr<std::vector<v1::Intervention>> ReadUnder(const Arguments& arguments,
                                                        RunSource& source);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_REQUEST_METRICS_H_
