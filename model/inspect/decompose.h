// How much of what an attention half makes at each position came from each other position, by the
// vectors that were added up.
#ifndef HEED_MODEL_INSPECT_DECOMPOSE_H_
#define HEED_MODEL_INSPECT_DECOMPOSE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/model_config.h"
#include "model/inspect/trace.h"
#include "model/transformer/language_model.h"

namespace heed {

// With the parts p(i, j) = sum over heads of weight * v_j W_O:
enum class Decomposition {
  kAttentionNorm,     // |p(i, j)| (Kobayashi et al. 2020, arXiv 2004.10102)
  kResidualNorm,      // |p(i, j) + [i = j] x_i| (Kobayashi et al. 2021, arXiv 2109.07152)
  kResidualNormNorm,  // the same behind the half's norm, at the scale it had: post-norm models
  // max(0, |y_i|_1 - |y_i - T_i(x_j)|_1) / their sum, T_i(x_j) the parts of kResidualNormNorm (of
  // kResidualNorm in a model without the norm) and y_i their sum with the biases (ALTI: Ferrando et
  // al. 2022, arXiv 2203.04212).
  kAlti,
};

struct AttentionDecomposition {
  std::vector<float> shares;         // [queries, size]
  std::vector<float> mixing_ratios;  // [queries]: |sum over j != i| / (that + |part i|); ALTI: the
                                     // shares of j != i
};

// FAILED_PRECONDITION for what the model has no answer to: kResidualNormNorm in a model that norms
// elsewhere (reason NO_NORM_BEHIND), all but kAttentionNorm in a mixing model, which has no stream
// to add to (SITE_NOT_IN_MODEL).
absl::Status CheckDecomposition(const LanguageModel& model, Decomposition method);

// Of the queries, ascending without repeats. An inner norm (Gemma 2's, behind W_O) is part of p, at
// the scale it had. All but kAttentionNorm need the stream: FAILED_PRECONDITION (SITE_NOT_KEPT),
// and as CheckDecomposition. `stop`, which may be null, is looked at between heads and between
// queries.
absl::StatusOr<AttentionDecomposition> DecomposeAttention(const LanguageModel& model,
                                                          const Trace& trace, int layer,
                                                          Decomposition method,
                                                          absl::Span<const int64_t> queries,
                                                          const StopSignal* stop = nullptr);

// What DecomposeAttention holds while it runs besides its answer: the transformed values of all
// keys and the weights of `rows` queries.
int64_t DecompositionBytes(const ModelConfig& config, int64_t rows, int64_t n_tokens);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_DECOMPOSE_H_
