// heed.v1.EmbeddingService: what a text means to a model.
#ifndef HEED_SERVER_SERVICES_EMBEDDING_SERVICE_H_
#define HEED_SERVER_SERVICES_EMBEDDING_SERVICE_H_

#include "heed/v1/embedding.grpc.pb.h"
#include "server/calls/service_context.h"

namespace heed {

using RawEmbeddingService =
    v1::EmbeddingService::WithRawCallbackMethod_Embed<v1::EmbeddingService::Service>;

class EmbeddingServiceHandler final : public RawEmbeddingService {
 public:
  explicit EmbeddingServiceHandler(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* call,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_EMBEDDING_SERVICE_H_
