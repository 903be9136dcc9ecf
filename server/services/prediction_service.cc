#include "server/services/prediction_service.h"

#include <memory>

#include "server/services/generate_call.h"
#include "server/services/predict_call.h"

namespace heed {

grpc::ServerUnaryReactor* PredictionServiceHandler::Predict(grpc::CallbackServerContext* call,
                                                            const grpc::ByteBuffer* request,
                                                            grpc::ByteBuffer* response) {
  return UnaryCall::Begin(std::make_shared<PredictCall>(context_, call, response), *request);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* PredictionServiceHandler::Generate(
    grpc::CallbackServerContext* call, const grpc::ByteBuffer* request) {
  return GenerateCall::Begin(context_, call, *request);
}

}  // namespace heed
