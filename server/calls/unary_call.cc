#include "server/calls/unary_call.h"

#include <utility>

#include "model/base/status_macros.h"
#include "server/calls/status.h"
#include "server/engine/catch_exceptions.h"

namespace heed {

UnaryCall::UnaryCall(const ServiceContext& context, grpc::CallbackServerContext* call,
                     grpc::ByteBuffer* response)
    : context_(context),
      in_progress_(context.calls),
      response_(response),
      stop_(MakeStopSignal(*call)),
      client_(ClientOf(*call)) {}

grpc::ServerUnaryReactor* UnaryCall::Begin(const std::shared_ptr<UnaryCall>& call,
                                           const grpc::ByteBuffer& request) {
  call->self_ = call;
  const absl::Status status = CatchExceptions([&] { return call->Submit(request); });
  if (!status.ok()) call->Finish(ToGrpcStatus(status));
  return call.get();
}

void UnaryCall::PostReply(std::function<absl::StatusOr<grpc::ByteBuffer>()> make) {
  context_.replies->Post([self = shared_from_this(), make = std::move(make)] {
    self->Finish(ToGrpcStatus(CatchExceptions([&]() -> absl::Status {
      HEED_ASSIGN_OR_RETURN(*self->response_, make());
      return absl::OkStatus();
    })));
  });
}

void UnaryCall::OnCancel() {
  stop_->Cancel();
  context_.scheduler->Wake();
}

void UnaryCall::OnDone() {
  self_.reset();
}

}  // namespace heed
