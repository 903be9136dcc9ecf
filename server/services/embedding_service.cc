#include "server/services/embedding_service.h"

#include <memory>

#include "server/services/embed_call.h"

namespace heed {

grpc::ServerUnaryReactor* EmbeddingServiceHandler::Embed(grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* response) {
  return UnaryCall::Begin(std::make_shared<EmbedCall>(context_, call, response), *request);
}

}  // namespace heed
