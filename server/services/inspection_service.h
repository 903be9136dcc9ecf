// heed.v1.InspectionService: what the model looked at.
#ifndef HEED_SERVER_SERVICES_INSPECTION_SERVICE_H_
#define HEED_SERVER_SERVICES_INSPECTION_SERVICE_H_

#include "heed/v1/inspection.grpc.pb.h"
#include "server/calls/service_context.h"

namespace heed {

// The generated service with each method taking bytes.
namespace raw_inspection {

using S = v1::InspectionService;
using Traces = S::WithRawCallbackMethod_OpenTrace<
    S::WithRawCallbackMethod_RenewTrace<S::WithRawCallbackMethod_CloseTrace<S::Service>>>;
using Rows = S::WithRawCallbackMethod_GetAttention<
    S::WithRawCallbackMethod_ExplainRow<S::WithRawCallbackMethod_GetActivations<Traces>>>;
using Heads = S::WithRawCallbackMethod_GetHeadStats<S::WithRawCallbackMethod_DetectHeads<Rows>>;
using Service = S::WithRawCallbackMethod_LogitLens<S::WithRawCallbackMethod_AttributeLogits<
    S::WithRawCallbackMethod_Rollout<S::WithRawCallbackMethod_DecomposeAttention<Heads>>>>;

}  // namespace raw_inspection

class InspectionServiceHandler final : public raw_inspection::Service {
 public:
  explicit InspectionServiceHandler(const ServiceContext& context) : context_(context) {}

  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  grpc::ServerUnaryReactor* OpenTrace(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* RenewTrace(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* CloseTrace(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerWriteReactor<Bytes>* GetAttention(Call* call, const Bytes* request) override;
  grpc::ServerWriteReactor<Bytes>* GetActivations(Call* call, const Bytes* request) override;
  grpc::ServerUnaryReactor* ExplainRow(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* GetHeadStats(Call* call, const Bytes* request,
                                         Bytes* response) override;
  grpc::ServerUnaryReactor* DetectHeads(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* LogitLens(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* AttributeLogits(Call* call, const Bytes* request,
                                            Bytes* response) override;
  grpc::ServerUnaryReactor* Rollout(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerUnaryReactor* DecomposeAttention(Call* call, const Bytes* request,
                                               Bytes* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_INSPECTION_SERVICE_H_
