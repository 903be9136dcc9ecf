// What each call that reads or changes a run takes besides the run itself. Checks, the memory that
// calls reserve and EstimateCost go by the same sums.
#ifndef HEED_SERVER_INSPECT_CALL_COST_H_
#define HEED_SERVER_INSPECT_CALL_COST_H_

#include <cstdint>

#include "heed/v1/experiment.pb.h"
#include "heed/v1/inspection.pb.h"
#include "model/checkpoint/model_config.h"
#include "model/transformer/language_model.h"

namespace heed {

struct CallCost {
  double flops = 0;
  int64_t held_bytes = 0;  // while it runs
  // Of tensors in the answer, and kMinCandidateBytes for each candidate.
  int64_t sent_bytes = 0;
};

// Of a forward pass: each weight multiplies each token once; scores and blends, of half the pairs
// where rows see no later ones.
double ForwardFlops(const LanguageModel& model, int64_t n_tokens);
// Of one row of logits.
double UnembedFlops(const ModelConfig& config);

// Of requests that passed their checks, for a prompt of that many tokens. At most so much.
CallCost CostOf(const v1::OpenTraceRequest& request, const LanguageModel& model, int64_t n_tokens);
CallCost CostOf(const v1::GetAttentionRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::ExplainRowRequest& request, const LanguageModel& model, int64_t n_tokens);
CallCost CostOf(const v1::GetHeadStatsRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::DetectHeadsRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::GetActivationsRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::LogitLensRequest& request, const LanguageModel& model, int64_t n_tokens);
CallCost CostOf(const v1::AttributeLogitsRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::RolloutRequest& request, const LanguageModel& model, int64_t n_tokens);
CallCost CostOf(const v1::DecomposeAttentionRequest& request, const LanguageModel& model,
                int64_t n_tokens);
CallCost CostOf(const v1::InterveneRequest& request, const LanguageModel& model, int64_t n_tokens);
CallCost CostOf(const v1::SweepRequest& request, const LanguageModel& model, int64_t n_tokens);
// Of an answer to a request with these parts: an edit runs the whole model again and has all that
// is watched read again. With `open`, held_bytes is what the session holds besides the run.
CallCost CostOf(const v1::ExploreRequest& request, const LanguageModel& model, int64_t n_tokens);
// Of the base's logits that a session keeps for what it watches.
int64_t WatchBytes(const ModelConfig& config, int64_t positions, int64_t metrics);
// Of the comparison of runs of that many tokens.
CallCost CompareCost(const LanguageModel& a, int64_t a_tokens, const LanguageModel& b,
                     int64_t b_tokens);

}  // namespace heed

#endif  // HEED_SERVER_INSPECT_CALL_COST_H_
