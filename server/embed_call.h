// One call of Embed.
#ifndef HEED_SERVER_EMBED_CALL_H_
#define HEED_SERVER_EMBED_CALL_H_

#include <memory>

#include "absl/status/status.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "heed/v1/embedding.pb.h"
#include "server/convert_embed.h"
#include "server/embed_task.h"
#include "server/service_context.h"

namespace heed {

// Held by gRPC until OnDone, by the engine's batch until it is done, and by the reply thread in
// between.
class EmbedCall final : public grpc::ServerUnaryReactor,
                        public std::enable_shared_from_this<EmbedCall> {
 public:
  // Validates and submits, or finishes with the error. The reactor owns itself.
  static grpc::ServerUnaryReactor* Begin(const ServiceContext& context,
                                         grpc::CallbackServerContext* call,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response);

 private:
  EmbedCall(const ServiceContext& context, grpc::CallbackServerContext* call,
            grpc::ByteBuffer* response);

  absl::Status Submit(const grpc::ByteBuffer& request_bytes);
  // On the reply thread.
  void Conclude(const EmbedBatch::Outcome& outcome);
  absl::Status Respond(const EmbedBatch::Outcome& outcome);

  void OnCancel() override;
  void OnDone() override;

  const ServiceContext context_;
  grpc::ByteBuffer* const response_;  // gRPC's, alive until OnDone
  const std::shared_ptr<StopSignal> stop_;
  std::shared_ptr<EmbedCall> self_;
  ResolvedEmbed resolved_;
  v1::EmbedResponse answer_;  // what is known of it
};

}  // namespace heed

#endif  // HEED_SERVER_EMBED_CALL_H_
