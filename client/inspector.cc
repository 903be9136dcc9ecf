#include "client/inspector.h"

#include <utility>

#include "client/call.h"
#include "client/status.h"
#include "grpcpp/channel.h"
#include "heed/v1/experiment.grpc.pb.h"
#include "heed/v1/inspection.grpc.pb.h"
#include "heed/v1/prediction.grpc.pb.h"

namespace heed {
inline namespace client {

struct Inspector::Impl {
  Impl(std::shared_ptr<grpc::Channel> channel, const ClientOptions& options)
      : options(options), inspection(channel), experiment(channel), prediction(channel) {}

  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Run(Stub& stub,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                            Response*),
                               const Request& request, const CallOptions& call_options) const {
    Call call(call_options, options.stream_deadline);
    Response response;
    const absl::Status status = FromGrpcStatus((stub.*method)(call.context(), request, &response));
    if (!status.ok()) return status;
    return response;
  }

  template <typename Response>
  static absl::Status ReadAll(std::unique_ptr<grpc::ClientReader<Response>> reader,
                              absl::FunctionRef<void(const Response&)> on_message) {
    Response message;
    while (reader->Read(&message)) on_message(message);
    return FromGrpcStatus(reader->Finish());
  }

  const ClientOptions options;
  mutable v1::InspectionService::Stub inspection;
  mutable v1::ExperimentService::Stub experiment;
  mutable v1::PredictionService::Stub prediction;
};

Inspector::Inspector(const Client& client)
    : impl_(std::make_shared<Impl>(client.channel(), client.options())) {}

using InspectionStub = v1::InspectionService::Stub;
using PredictionStub = v1::PredictionService::Stub;
using ExperimentStub = v1::ExperimentService::Stub;

#define HEED_UNARY(STUB, TYPE, NAME)                                                     \
  absl::StatusOr<v1::NAME##Response> Inspector::NAME(const v1::NAME##Request& request,   \
                                                     const CallOptions& options) const { \
    return impl_->Run(impl_->STUB, &TYPE::NAME, request, options);                       \
  }

HEED_UNARY(inspection, InspectionStub, OpenTrace)
HEED_UNARY(inspection, InspectionStub, RenewTrace)
HEED_UNARY(inspection, InspectionStub, CloseTrace)
HEED_UNARY(inspection, InspectionStub, ExplainRow)
HEED_UNARY(inspection, InspectionStub, GetHeadStats)
HEED_UNARY(inspection, InspectionStub, DetectHeads)
HEED_UNARY(inspection, InspectionStub, LogitLens)
HEED_UNARY(inspection, InspectionStub, AttributeLogits)
HEED_UNARY(inspection, InspectionStub, Rollout)
HEED_UNARY(inspection, InspectionStub, DecomposeAttention)
HEED_UNARY(prediction, PredictionStub, Predict)
HEED_UNARY(experiment, ExperimentStub, Intervene)
HEED_UNARY(experiment, ExperimentStub, Compare)
HEED_UNARY(experiment, ExperimentStub, EstimateCost)

#undef HEED_UNARY

absl::Status Inspector::GetAttention(
    const v1::GetAttentionRequest& request,
    absl::FunctionRef<void(const v1::GetAttentionResponse&)> on_message,
    const CallOptions& options) const {
  Call call(options, impl_->options.stream_deadline);
  return Impl::ReadAll<v1::GetAttentionResponse>(
      impl_->inspection.GetAttention(call.context(), request), on_message);
}

absl::Status Inspector::GetActivations(
    const v1::GetActivationsRequest& request,
    absl::FunctionRef<void(const v1::GetActivationsResponse&)> on_message,
    const CallOptions& options) const {
  Call call(options, impl_->options.stream_deadline);
  return Impl::ReadAll<v1::GetActivationsResponse>(
      impl_->inspection.GetActivations(call.context(), request), on_message);
}

absl::Status Inspector::Generate(const v1::GenerateRequest& request,
                                 absl::FunctionRef<void(const v1::GenerateResponse&)> on_message,
                                 const CallOptions& options) const {
  Call call(options, impl_->options.stream_deadline);
  return Impl::ReadAll<v1::GenerateResponse>(impl_->prediction.Generate(call.context(), request),
                                             on_message);
}

absl::Status Inspector::Sweep(const v1::SweepRequest& request,
                              absl::FunctionRef<void(const v1::SweepResponse&)> on_message,
                              const CallOptions& options) const {
  Call call(options, impl_->options.stream_deadline);
  return Impl::ReadAll<v1::SweepResponse>(impl_->experiment.Sweep(call.context(), request),
                                          on_message);
}

}  // namespace client
}  // namespace heed
