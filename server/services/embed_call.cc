#include "server/services/embed_call.h"

#include <memory>
#include <utility>

#include "model/base/status_macros.h"
#include "server/calls/codec.h"

namespace heed {

absl::Status EmbedCall::Submit(const grpc::ByteBuffer& request_bytes) {
  v1::EmbedRequest request;
  HEED_RETURN_IF_ERROR(ParseRequest(request_bytes, &request));
  HEED_ASSIGN_OR_RETURN(const std::shared_ptr<const ServedModel> model,
                        context().registry->Find(request.model()));
  HEED_ASSIGN_OR_RETURN(resolved_, ConvertEmbed(request, *model, context().limits));
  HEED_RETURN_IF_ERROR(BeginEmbedResponse(resolved_, *model, &answer_));
  auto done = [this, self = shared_from_this()](EmbedBatch::Outcome outcome) {
    PostReply([this, outcome = std::move(outcome)] { return Respond(outcome); });
  };
  return EmbedBatch::Start(model, resolved_.job, resolved_.TokenLists(), stop(),
                           context().scheduler, std::move(done));
}

absl::StatusOr<grpc::ByteBuffer> EmbedCall::Respond(const EmbedBatch::Outcome& outcome) {
  HEED_RETURN_IF_ERROR(outcome.status);
  FinishEmbedResponse(resolved_, outcome.texts, outcome.timings, &answer_);
  return SerializeReply(answer_);
}

}  // namespace heed
