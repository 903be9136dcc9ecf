// What a client sees: latency and throughput of calls to a running server.
#ifndef HEED_TESTS_BENCH_RPC_BENCH_H_
#define HEED_TESTS_BENCH_RPC_BENCH_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/bench/measure.h"

namespace heed::bench {

struct RpcBenchOptions {
  int calls = 200;          // of each caller and repetition
  int prompt_tokens = 512;  // of a prompt that is new to the server
  int generated_tokens = 64;
  int streams = 16;
  int repetitions = 5;
};

// That a heed server with a model answers at `address`. INVALID_ARGUMENT where that is no address.
absl::Status CheckServer(const std::string& address);

// With the default model of the server at `address`: Predict of five tokens from 1 and from 8
// callers at once (calls per second, median and 99th percentile of the latency), Predict of prompts
// that the server has not seen, and streamed generations, alone and several at once, to be held
// against what the engine does without a server.
absl::StatusOr<std::vector<Measurement>> BenchRpc(const std::string& address,
                                                  const RpcBenchOptions& options);

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_RPC_BENCH_H_
