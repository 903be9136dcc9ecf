// The result of heed bench, for people and for programs.
#ifndef HEED_CLIENT_CLI_BENCH_BENCH_OUTPUT_H_
#define HEED_CLIENT_CLI_BENCH_BENCH_OUTPUT_H_

#include "client/cli/base/session.h"
#include "client/cli/bench/bench_load.h"
#include "client/cli/bench/bench_report.h"

namespace heed::cli {

// What was run, under what limits, and what came of it.
struct BenchResult {
  LoadPlan plan;
  BenchLimits limits;
  BenchReport report;
  bool interrupted = false;
};

// A table, or one line of JSON.
void ShowBench(const BenchResult& result, Session& session);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BENCH_BENCH_OUTPUT_H_
