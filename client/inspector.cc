#include "client/inspector.h"

#include <utility>

#include "client/call.h"
#include "client/reply_check.h"
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
    if (absl::Status broken = CheckReply(request, response); !broken.ok()) return broken;
    return response;
  }

  // Reads the stream that `start` opens with a context. A message that is broken ends it.
  template <typename Check, typename Response, typename Request>
  absl::Status ReadAll(
      const Request& request, const CallOptions& call_options,
      absl::FunctionRef<void(const Response&)> on_message,
      absl::FunctionRef<std::unique_ptr<grpc::ClientReader<Response>>(grpc::ClientContext*)> start)
      const {
    Call call(call_options, options.stream_deadline);
    const auto reader = start(call.context());
    Check check(request);
    absl::Status broken;
    Response message;
    while (reader->Read(&message)) {
      if (!broken.ok()) continue;
      broken = check.Add(message);
      if (broken.ok()) {
        on_message(message);
      } else {
        call.context()->TryCancel();
      }
    }
    const absl::Status status = FromGrpcStatus(reader->Finish());
    if (!broken.ok()) return broken;
    return status.ok() ? check.Finish() : status;
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

#define HEED_STREAM(STUB, CHECK, NAME)                                                        \
  absl::Status Inspector::NAME(const v1::NAME##Request& request,                              \
                               absl::FunctionRef<void(const v1::NAME##Response&)> on_message, \
                               const CallOptions& options) const {                            \
    return impl_->ReadAll<CHECK, v1::NAME##Response>(                                         \
        request, options, on_message,                                                         \
        [&](grpc::ClientContext* context) { return impl_->STUB.NAME(context, request); });    \
  }

HEED_STREAM(inspection, AttentionReplyCheck, GetAttention)
HEED_STREAM(inspection, ActivationsReplyCheck, GetActivations)
HEED_STREAM(prediction, GenerateReplyCheck, Generate)
HEED_STREAM(experiment, SweepReplyCheck, Sweep)

#undef HEED_STREAM

}  // namespace client
}  // namespace heed
