#include "server/services/predict_call.h"

#include <utility>

#include "model/base/status_macros.h"
#include "server/calls/codec.h"

namespace heed {

absl::Status PredictCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::PredictRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  HEED_ASSIGN_OR_RETURN(model_, context().registry->Find(request.model()));
  HEED_ASSIGN_OR_RETURN(resolved_,
                        ConvertPredict(request, *model_, context().limits, context().traces));

  EngineRequest engine;
  engine.model = model_;
  engine.prompt = resolved_.prompt.ids;
  engine.logits_positions = resolved_.DistinctPositions();
  engine.plan.editor = resolved_.edits.get();
  engine.whole_prompt = resolved_.edits != nullptr && resolved_.edits->needs_whole_prompt();
  engine.stop = stop();
  auto done = [this, self = shared_from_this()](PredictTask::Outcome outcome) {
    PostReply([this, outcome = std::move(outcome)] { return Respond(outcome); });
  };
  engine.task = std::make_unique<PredictTask>(resolved_.prompt.ids, model_->model->config().causal,
                                              resolved_.candidates, std::move(done));
  return context().scheduler->Submit(std::move(engine));
}

absl::StatusOr<grpc::ByteBuffer> PredictCall::Respond(const PredictTask::Outcome& outcome) const {
  HEED_RETURN_IF_ERROR(outcome.status);
  v1::PredictResponse response;
  HEED_RETURN_IF_ERROR(
      FillPredictResponse(resolved_, *model_, outcome.positions, outcome.timings, &response));
  return SerializeReply(response);
}

}  // namespace heed
