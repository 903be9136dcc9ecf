// What it costs to look at attention while the engine runs, without a server.
#ifndef HEED_TESTS_BENCH_CAPTURE_BENCH_H_
#define HEED_TESTS_BENCH_CAPTURE_BENCH_H_

#include <vector>

#include "absl/status/statusor.h"
#include "model/transformer/language_model.h"
#include "tests/bench/engine_bench.h"
#include "tests/bench/measure.h"

namespace heed::bench {

// How much longer prefill and decode take with the 16 largest weights of every row of all heads
// kept, with all weights of one layer, and with all weights: in percent of the time without, which
// is measured in turn with them. Then the seconds of 1024 tokens with all weights. Decoding is
// measured for causal models alone.
absl::StatusOr<std::vector<Measurement>> BenchCapture(const LanguageModel& model,
                                                      const EngineBenchOptions& options);

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_CAPTURE_BENCH_H_
