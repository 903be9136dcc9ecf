// heed.v1.ModelService: which models are loaded, and how they read text.
#ifndef HEED_SERVER_SERVICES_MODEL_SERVICE_H_
#define HEED_SERVER_SERVICES_MODEL_SERVICE_H_

#include "absl/status/status.h"
#include "heed/v1/model.grpc.pb.h"
#include "server/calls/service_context.h"

namespace heed {

// The answers, apart from how gRPC asks for them. Thread-safe; nothing here waits for the engine.
absl::Status ListModels(const ServiceContext& context, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response);
absl::Status GetModel(const ServiceContext& context, const v1::GetModelRequest& request,
                      v1::GetModelResponse* response);
absl::Status Tokenize(const ServiceContext& context, const v1::TokenizeRequest& request,
                      v1::TokenizeResponse* response);
absl::Status Detokenize(const ServiceContext& context, const v1::DetokenizeRequest& request,
                        v1::DetokenizeResponse* response);

using RawModelService = v1::ModelService::WithRawCallbackMethod_ListModels<
    v1::ModelService::WithRawCallbackMethod_GetModel<
        v1::ModelService::WithRawCallbackMethod_Tokenize<
            v1::ModelService::WithRawCallbackMethod_Detokenize<v1::ModelService::Service>>>>;

class ModelServiceHandler final : public RawModelService {
 public:
  explicit ModelServiceHandler(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* call,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* call,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* call,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_MODEL_SERVICE_H_
