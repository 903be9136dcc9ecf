// Unary calls that are answered at once, on gRPC's own thread.
#ifndef HEED_SERVER_CALLS_ANSWER_NOW_H_
#define HEED_SERVER_CALLS_ANSWER_NOW_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "model/base/status_macros.h"
#include "server/calls/codec.h"
#include "server/calls/service_context.h"
#include "server/calls/status.h"
#include "server/engine/catch_exceptions.h"

namespace heed {

// Parses, answers and serialises, unless the server is draining.
template <typename Request, typename Response>
grpc::ServerUnaryReactor* AnswerNow(const ServiceContext& context,
                                    absl::Status (*answer)(const ServiceContext&, const Request&,
                                                           Response*),
                                    grpc::CallbackServerContext* call,
                                    const grpc::ByteBuffer& request_bytes,
                                    grpc::ByteBuffer* response_bytes) {
  const CallCount::Hold in_progress(context.calls);
  const absl::Status status = CatchExceptions([&]() -> absl::Status {
    HEED_RETURN_IF_ERROR(context.scheduler->CheckServing());
    Request request;
    HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
    Response response;
    HEED_RETURN_IF_ERROR(answer(context, request, &response));
    HEED_ASSIGN_OR_RETURN(*response_bytes, SerializeReply(response));
    return absl::OkStatus();
  });
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace heed

#endif  // HEED_SERVER_CALLS_ANSWER_NOW_H_
