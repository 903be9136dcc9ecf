// heed.v1.InspectionService: what the model looked at.
#ifndef HEED_SERVER_INSPECTION_SERVICE_H_
#define HEED_SERVER_INSPECTION_SERVICE_H_

#include "heed/v1/inspection.grpc.pb.h"
#include "server/service_context.h"

namespace heed {

using RawInspectionService =
    v1::InspectionService::WithRawCallbackMethod_GetAttention<v1::InspectionService::Service>;

class InspectionServiceHandler final : public RawInspectionService {
 public:
  explicit InspectionServiceHandler(const ServiceContext& context) : context_(context) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetAttention(
      grpc::CallbackServerContext* call, const grpc::ByteBuffer* request) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_INSPECTION_SERVICE_H_
