// What the stream would predict at each layer, read with the model's own head (nostalgebraist
// 2020).
#ifndef HEED_MODEL_INSPECT_LOGIT_LENS_H_
#define HEED_MODEL_INSPECT_LOGIT_LENS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/prediction.h"
#include "model/inspect/trace.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/language_model.h"

namespace heed {

struct LensCell {
  int layer = 0;
  int64_t position = 0;
  std::vector<LensToken> top;       // best first
  std::vector<LensToken> followed;  // in the order asked for
  double entropy = 0;               // nats
  double kl_to_final = 0;           // KL(after the last layer || here), nats
};

struct LensOptions {
  std::vector<int> layers;         // in [0, n_layers], which is the model's own prediction
  std::vector<int64_t> positions;  // in [0, size)
  int64_t top_k = 5;
  std::vector<TokenId> follow;
};

// FAILED_PRECONDITION (reason NO_HEAD): hidden states are all that the model makes.
absl::Status CheckHasHead(const ModelConfig& config);

// [layers, positions]. FAILED_PRECONDITION for a model without a head (reason NO_HEAD) and for a
// layer whose stream the trace did not keep (SITE_NOT_KEPT); the last one is always kept.
absl::StatusOr<std::vector<LensCell>> LogitLens(const LanguageModel& model, const Trace& trace,
                                                const LensOptions& options);

// The logits [positions, vocab_size] that the forward pass gives, with its bits.
absl::StatusOr<std::vector<float>> TraceLogits(const LanguageModel& model, const Trace& trace,
                                               absl::Span<const int64_t> positions);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_LOGIT_LENS_H_
