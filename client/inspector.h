// Traces, reads of them, and experiments: heed's InspectionService and ExperimentService as
// blocking calls in the wire's own messages, whose fields are documented in
// share/heed/proto/heed/v1.
//
//   heed::Inspector inspector(*client);
//   heed::v1::LogitLensRequest request;
//   request.mutable_prompt()->set_text("the keys to the cabinet");
//   auto lens = inspector.LogitLens(request);
#ifndef HEED_CLIENT_INSPECTOR_H_
#define HEED_CLIENT_INSPECTOR_H_

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "heed/v1/experiment.pb.h"
#include "heed/v1/inspection.pb.h"
#include "heed/v1/prediction.pb.h"

namespace heed {
inline namespace client {

// Thread-safe. Errors, deadlines and retries are those of Client; a stream's error comes after the
// messages that arrived before it. Replies hold together when they come out of here: positions are
// within the prompt, tensors have the shapes that the services name, and no number is NaN.
// INTERNAL, naming what is wrong, for one that does not.
class Inspector {
 public:
  // Shares the client's connection, which it keeps alive.
  explicit Inspector(const Client& client);

  absl::StatusOr<v1::OpenTraceResponse> OpenTrace(const v1::OpenTraceRequest& request,
                                                  const CallOptions& options = {}) const;
  absl::StatusOr<v1::RenewTraceResponse> RenewTrace(const v1::RenewTraceRequest& request,
                                                    const CallOptions& options = {}) const;
  absl::StatusOr<v1::CloseTraceResponse> CloseTrace(const v1::CloseTraceRequest& request,
                                                    const CallOptions& options = {}) const;

  absl::Status GetAttention(const v1::GetAttentionRequest& request,
                            absl::FunctionRef<void(const v1::GetAttentionResponse&)> on_message,
                            const CallOptions& options = {}) const;
  absl::Status GetActivations(const v1::GetActivationsRequest& request,
                              absl::FunctionRef<void(const v1::GetActivationsResponse&)> on_message,
                              const CallOptions& options = {}) const;
  absl::StatusOr<v1::ExplainRowResponse> ExplainRow(const v1::ExplainRowRequest& request,
                                                    const CallOptions& options = {}) const;
  absl::StatusOr<v1::GetHeadStatsResponse> GetHeadStats(const v1::GetHeadStatsRequest& request,
                                                        const CallOptions& options = {}) const;
  absl::StatusOr<v1::DetectHeadsResponse> DetectHeads(const v1::DetectHeadsRequest& request,
                                                      const CallOptions& options = {}) const;
  absl::StatusOr<v1::LogitLensResponse> LogitLens(const v1::LogitLensRequest& request,
                                                  const CallOptions& options = {}) const;
  absl::StatusOr<v1::AttributeLogitsResponse> AttributeLogits(
      const v1::AttributeLogitsRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::RolloutResponse> Rollout(const v1::RolloutRequest& request,
                                              const CallOptions& options = {}) const;
  absl::StatusOr<v1::DecomposeAttentionResponse> DecomposeAttention(
      const v1::DecomposeAttentionRequest& request, const CallOptions& options = {}) const;

  // What Client asks in plain structs, with all that the wire has: interventions, and generations
  // that are kept as traces.
  absl::StatusOr<v1::PredictResponse> Predict(const v1::PredictRequest& request,
                                              const CallOptions& options = {}) const;
  absl::Status Generate(const v1::GenerateRequest& request,
                        absl::FunctionRef<void(const v1::GenerateResponse&)> on_message,
                        const CallOptions& options = {}) const;

  absl::StatusOr<v1::InterveneResponse> Intervene(const v1::InterveneRequest& request,
                                                  const CallOptions& options = {}) const;
  absl::Status Sweep(const v1::SweepRequest& request,
                     absl::FunctionRef<void(const v1::SweepResponse&)> on_message,
                     const CallOptions& options = {}) const;
  absl::StatusOr<v1::CompareResponse> Compare(const v1::CompareRequest& request,
                                              const CallOptions& options = {}) const;
  absl::StatusOr<v1::EstimateCostResponse> EstimateCost(const v1::EstimateCostRequest& request,
                                                        const CallOptions& options = {}) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace client
}  // namespace heed

#endif  // HEED_CLIENT_INSPECTOR_H_
