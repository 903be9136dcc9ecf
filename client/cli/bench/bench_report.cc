#include "client/cli/bench/bench_report.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace heed::cli {
namespace {

bool IsGood(const BenchCall& call, const BenchLimits& limits) {
  if (!call.status.ok() || call.tokens.empty()) return false;
  if (limits.first_token && call.time_to_first_token() > *limits.first_token) return false;
  return !limits.mean_gap || call.mean_gap() <= *limits.mean_gap;
}

// What a call adds to the throughput and goodput of a window.
void AddThroughput(const BenchCall& call, const BenchWindow& window, const BenchLimits& limits,
                   BenchReport& report) {
  const auto inside = [&](absl::Time time) { return time >= window.begin && time < window.end; };
  if (call.status.ok() && !call.cut && inside(call.end)) {
    ++report.calls_per_second;
    report.accepted_tokens_per_second += static_cast<double>(call.accepted_tokens);
    if (IsGood(call, limits)) ++report.good_calls_per_second;
  }
  if (!call.tokens.empty() && inside(call.tokens.front())) {
    report.prompt_tokens_per_second += static_cast<double>(call.prompt_tokens);
    report.cached_tokens_per_second += static_cast<double>(call.cached_tokens);
  }
  report.generated_tokens_per_second +=
      static_cast<double>(std::count_if(call.tokens.begin(), call.tokens.end(), inside));
}

}  // namespace

absl::Duration BenchCall::mean_gap() const {
  if (tokens.size() < 2) return absl::ZeroDuration();
  return (tokens.back() - tokens.front()) / static_cast<double>(tokens.size() - 1);
}

std::optional<Quantiles> QuantilesOf(std::vector<absl::Duration> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  };
  const absl::Duration sum = std::accumulate(values.begin(), values.end(), absl::ZeroDuration());
  return Quantiles{at(0.5), at(0.9), at(0.99), sum / static_cast<double>(values.size()),
                   values.back()};
}

BenchReport Summarize(absl::Span<const BenchCall> calls, const BenchWindow& window,
                      const BenchLimits& limits) {
  BenchReport report;
  report.length = window.end - window.begin;
  std::vector<absl::Duration> first, gaps, whole;
  for (const BenchCall& call : calls) {
    AddThroughput(call, window, limits, report);
    if (call.due < window.begin || call.due >= window.end) continue;
    if (!call.tokens.empty()) first.push_back(call.time_to_first_token());
    for (size_t i = 1; i < call.tokens.size(); ++i) {
      gaps.push_back(call.tokens[i] - call.tokens[i - 1]);
    }
    if (call.cut) continue;
    ++report.calls;
    if (IsGood(call, limits)) ++report.good;
    if (call.status.ok()) {
      whole.push_back(call.end - call.due);
      continue;
    }
    ++report.failed;
    BenchReport::Errors& errors = report.errors[absl::StatusCodeToString(call.status.code())];
    if (errors.count++ == 0) errors.message = std::string(call.status.message());
  }
  report.first_token = QuantilesOf(std::move(first));
  report.gaps = QuantilesOf(std::move(gaps));
  report.whole_call = QuantilesOf(std::move(whole));
  const double seconds = absl::ToDoubleSeconds(report.length);
  for (double* rate : {&report.calls_per_second, &report.good_calls_per_second,
                       &report.prompt_tokens_per_second, &report.cached_tokens_per_second,
                       &report.generated_tokens_per_second, &report.accepted_tokens_per_second}) {
    *rate = seconds > 0 ? *rate / seconds : 0;
  }
  return report;
}

}  // namespace heed::cli
