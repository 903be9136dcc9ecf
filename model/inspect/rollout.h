// Attention followed through the layers to the input tokens (Abnar and Zuidema 2020, arXiv
// 2005.00928).
#ifndef HEED_MODEL_INSPECT_ROLLOUT_H_
#define HEED_MODEL_INSPECT_ROLLOUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/attention_read.h"
#include "model/inspect/trace.h"
#include "model/transformer/language_model.h"

namespace heed {

// A layer's matrix is (w I + (1 - w) A) divided by its rows' sums, A the heads' mean or maximum.
struct RolloutOptions {
  int layer_begin = 0;
  int layer_end = 0;
  LayerAttention::Fusion fusion = LayerAttention::Fusion::kMean;
  double residual_weight = 0.5;  // w, in [0, 1]
  std::vector<int64_t> queries;
};

// The share w where none is asked for: 0.5, or 0 for a mixing model, which adds its blend to no
// stream.
double DefaultResidualWeight(const ModelConfig& config);

// The queries' rows of the layers' product, last layer first, [queries, size]. `stop`, which may be
// null, is looked at between layers.
absl::StatusOr<std::vector<float>> Rollout(const LanguageModel& model, const Trace& trace,
                                           const RolloutOptions& options,
                                           const StopSignal* stop = nullptr);

// For each query the largest flow to each input token through the layers' matrices as capacities,
// divided by their sum; [queries, size]. `stop`, which may be null, is looked at between layers
// and between tokens.
absl::StatusOr<std::vector<float>> Flow(const LanguageModel& model, const Trace& trace,
                                        const RolloutOptions& options,
                                        const StopSignal* stop = nullptr);

// At most what Flow holds while it runs, for a trace of that many tokens.
int64_t FlowBytes(const RolloutOptions& options, int64_t n_tokens);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ROLLOUT_H_
