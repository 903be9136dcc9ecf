// How fast a checkpoint is loaded, and how much memory that takes.
#ifndef HEED_TESTS_BENCH_LOAD_BENCH_H_
#define HEED_TESTS_BENCH_LOAD_BENCH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/checkpoint/checkpoint.h"
#include "model/kernels/backend.h"
#include "model/transformer/language_model.h"
#include "tests/bench/measure.h"

namespace heed::bench {

struct LoadedModel {
  std::unique_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<const LanguageModel> model;
  std::vector<Measurement> measurements;
};

// Loads the model `repetitions` times: hashing its files, packing its weights, and reading them
// from a packed copy, which goes to the folder for temporary files and is removed. The files come
// from the system's cache where they are there. To be called before the process has used much
// memory.
absl::StatusOr<LoadedModel> BenchLoad(const std::string& path, const LanguageModelOptions& options,
                                      const Backend* backend, int repetitions);

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_LOAD_BENCH_H_
