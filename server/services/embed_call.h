// One call of Embed.
#ifndef HEED_SERVER_SERVICES_EMBED_CALL_H_
#define HEED_SERVER_SERVICES_EMBED_CALL_H_

#include "heed/v1/embedding.pb.h"
#include "server/calls/unary_call.h"
#include "server/convert/embed.h"
#include "server/engine/embed_task.h"

namespace heed {

class EmbedCall final : public UnaryCall {
 public:
  using UnaryCall::UnaryCall;

 private:
  absl::Status Submit(const grpc::ByteBuffer& request_bytes) override;
  absl::StatusOr<grpc::ByteBuffer> Respond(const EmbedBatch::Outcome& outcome);

  ResolvedEmbed resolved_;
  v1::EmbedResponse answer_;  // what is known of it
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_EMBED_CALL_H_
