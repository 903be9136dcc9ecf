#include "server/embed_call.h"

#include <utility>

#include "model/base/status_macros.h"
#include "server/catch_exceptions.h"
#include "server/codec.h"
#include "server/status.h"

namespace heed {

EmbedCall::EmbedCall(const ServiceContext& context, grpc::CallbackServerContext* call,
                     grpc::ByteBuffer* response)
    : context_(context), response_(response), stop_(MakeStopSignal(*call)) {}

grpc::ServerUnaryReactor* EmbedCall::Begin(const ServiceContext& context,
                                           grpc::CallbackServerContext* call,
                                           const grpc::ByteBuffer& request,
                                           grpc::ByteBuffer* response) {
  const std::shared_ptr<EmbedCall> self(new EmbedCall(context, call, response));
  self->self_ = self;
  const absl::Status status = CatchExceptions([&] { return self->Submit(request); });
  if (!status.ok()) self->Finish(ToGrpcStatus(status));
  return self.get();
}

absl::Status EmbedCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::EmbedRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  HEED_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model,
                        context_.registry->Find(request.model()));
  HEED_ASSIGN_OR_RETURN(resolved_, ConvertEmbed(request, *model, context_.limits));
  HEED_RETURN_IF_ERROR(BeginEmbedResponse(resolved_, *model, &answer_));
  auto done = [self = shared_from_this()](EmbedBatch::Outcome outcome) {
    self->context_.replies->Post([self, outcome = std::move(outcome)] { self->Conclude(outcome); });
  };
  return EmbedBatch::Start(model, resolved_.job, resolved_.TokenLists(), stop_, context_.scheduler,
                           std::move(done));
}

void EmbedCall::Conclude(const EmbedBatch::Outcome& outcome) {
  Finish(ToGrpcStatus(CatchExceptions([&] { return Respond(outcome); })));
}

absl::Status EmbedCall::Respond(const EmbedBatch::Outcome& outcome) {
  HEED_RETURN_IF_ERROR(outcome.status);
  FinishEmbedResponse(resolved_, outcome.texts, outcome.timings, &answer_);
  HEED_ASSIGN_OR_RETURN(*response_, SerializeReply(answer_));
  return absl::OkStatus();
}

void EmbedCall::OnCancel() {
  stop_->Cancel();
  context_.scheduler->Wake();
}

void EmbedCall::OnDone() {
  self_.reset();
}

}  // namespace heed
