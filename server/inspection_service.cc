#include "server/inspection_service.h"

#include "server/attention_call.h"

namespace heed {

grpc::ServerWriteReactor<grpc::ByteBuffer>* InspectionServiceHandler::GetAttention(
    grpc::CallbackServerContext* call, const grpc::ByteBuffer* request) {
  return AttentionCall::Begin(context_, call, *request);
}

}  // namespace heed
