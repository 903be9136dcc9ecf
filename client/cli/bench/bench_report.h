// What a load test measured: plain arithmetic over the times at which tokens came.
#ifndef HEED_CLIENT_CLI_BENCH_BENCH_REPORT_H_
#define HEED_CLIENT_CLI_BENCH_BENCH_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace heed::cli {

// One call, as its client saw it.
struct BenchCall {
  absl::Time due;                  // when it was to be sent; the answer is waited for from here on
  std::vector<absl::Time> tokens;  // when each came
  absl::Time end;                  // when the answer was over, or had failed
  absl::Status status;
  bool cut = false;  // the test ended first: what came is counted, the call is not
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;    // of those
  int64_t accepted_tokens = 0;  // of those that were generated, from drafts

  absl::Duration time_to_first_token() const { return tokens.front() - due; }
  // Between its tokens, on average; zero for fewer than two.
  absl::Duration mean_gap() const;
};

// What is counted: latencies, errors and the share of good calls of those that were due in
// [begin, end), whenever they ended; throughput and goodput of what came in that time, whenever it
// was due.
struct BenchWindow {
  absl::Time begin;
  absl::Time end;
};

// A call is good when it succeeds within these; not set: any time will do.
struct BenchLimits {
  std::optional<absl::Duration> first_token;
  std::optional<absl::Duration> mean_gap;
};

// Each the smallest of the values that so many of them do not exceed.
struct Quantiles {
  absl::Duration p50, p90, p99, mean, max;
};
// Nothing without values.
std::optional<Quantiles> QuantilesOf(std::vector<absl::Duration> values);

struct BenchReport {
  absl::Duration length;  // of the window
  int64_t calls = 0;      // due in the window
  int64_t failed = 0;
  int64_t good = 0;
  std::optional<Quantiles> first_token;  // of the calls that got one
  std::optional<Quantiles> gaps;         // between all tokens of all calls
  std::optional<Quantiles> whole_call;   // of the calls that succeeded
  double calls_per_second = 0;           // that ended well
  double good_calls_per_second = 0;      // of those
  double prompt_tokens_per_second = 0;
  double cached_tokens_per_second = 0;  // of those
  double generated_tokens_per_second = 0;
  double accepted_tokens_per_second = 0;  // from drafts, of calls that ended well
  struct Errors {
    int64_t count = 0;
    std::string message;  // of the first
  };
  std::map<std::string, Errors> errors;  // by code
};

BenchReport Summarize(absl::Span<const BenchCall> calls, const BenchWindow& window,
                      const BenchLimits& limits);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BENCH_BENCH_REPORT_H_
