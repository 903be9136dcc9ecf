// The engine's speed, without a server: prefill and decode of one model.
#ifndef HEED_TESTS_BENCH_ENGINE_BENCH_H_
#define HEED_TESTS_BENCH_ENGINE_BENCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint/model_config.h"
#include "model/transformer/language_model.h"
#include "tests/bench/measure.h"

namespace heed::bench {

// What the machine can do at best.
struct Roof {
  double operations_per_second = 0;
  double bytes_per_second = 0;  // reading as many bytes as the model's weights
};

struct EngineBenchOptions {
  std::vector<int64_t> prefill_tokens = {128, 512, 1024};  // ascending; at most the context window
  std::vector<int64_t> sequences = {1, 2, 4, 8, 16};       // that decode together
  int64_t decode_tokens = 64;
  int64_t decode_prompt_tokens = 16;
  int repetitions = 5;
};

// Weights that every token is multiplied with, the unembedding included.
int64_t MatrixWeights(const ModelConfig& config);

// Operations of a prefill of `tokens` tokens with logits at the last one, a multiply-add counting
// as two.
double PrefillOperations(const ModelConfig& config, int64_t tokens);

// Tokens per second of prefill and of decoding sequences together; for a bidirectional model of
// prefill alone.
absl::StatusOr<std::vector<Measurement>> BenchEngine(const LanguageModel& model, const Roof& roof,
                                                     const EngineBenchOptions& options);

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_ENGINE_BENCH_H_
