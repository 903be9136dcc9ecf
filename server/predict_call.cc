#include "server/predict_call.h"

#include <utility>

#include "model/base/status_macros.h"
#include "server/catch_exceptions.h"
#include "server/codec.h"
#include "server/status.h"

namespace heed {

PredictCall::PredictCall(const ServiceContext& context, grpc::CallbackServerContext* call,
                         grpc::ByteBuffer* response)
    : context_(context), response_(response), stop_(MakeStopSignal(*call)) {}

grpc::ServerUnaryReactor* PredictCall::Begin(const ServiceContext& context,
                                             grpc::CallbackServerContext* call,
                                             const grpc::ByteBuffer& request,
                                             grpc::ByteBuffer* response) {
  const std::shared_ptr<PredictCall> self(new PredictCall(context, call, response));
  self->self_ = self;
  const absl::Status status = CatchExceptions([&] { return self->Submit(request); });
  if (!status.ok()) self->Finish(ToGrpcStatus(status));
  return self.get();
}

absl::Status PredictCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::PredictRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  HEED_ASSIGN_OR_RETURN(model_, context_.registry->Find(request.model()));
  HEED_ASSIGN_OR_RETURN(resolved_, ConvertPredict(request, *model_, context_.limits));

  EngineRequest engine;
  engine.model = model_;
  engine.prompt = resolved_.prompt.ids;
  engine.logits_positions = resolved_.DistinctPositions();
  engine.stop = stop_;
  auto done = [self = shared_from_this()](PredictTask::Outcome outcome) {
    self->context_.replies->Post([self, outcome = std::move(outcome)] { self->Conclude(outcome); });
  };
  engine.task = std::make_unique<PredictTask>(resolved_.prompt.ids, model_->model->config().causal,
                                              resolved_.candidates, std::move(done));
  return context_.scheduler->Submit(std::move(engine));
}

void PredictCall::Conclude(const PredictTask::Outcome& outcome) {
  Finish(ToGrpcStatus(CatchExceptions([&] { return Respond(outcome); })));
}

absl::Status PredictCall::Respond(const PredictTask::Outcome& outcome) {
  HEED_RETURN_IF_ERROR(outcome.status);
  v1::PredictResponse response;
  HEED_RETURN_IF_ERROR(
      FillPredictResponse(resolved_, *model_, outcome.positions, outcome.timings, &response));
  HEED_ASSIGN_OR_RETURN(*response_, SerializeReply(response));
  return absl::OkStatus();
}

void PredictCall::OnCancel() {
  stop_->Cancel();
  context_.scheduler->Wake();
}

void PredictCall::OnDone() {
  self_.reset();
}

}  // namespace heed
