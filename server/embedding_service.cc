#include "server/embedding_service.h"

#include "server/embed_call.h"

namespace heed {

grpc::ServerUnaryReactor* EmbeddingServiceHandler::Embed(grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return EmbedCall::Begin(context_, call, *request, response);
}

}  // namespace heed
