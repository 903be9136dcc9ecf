// heed.v1.PredictionService: what comes next.
#ifndef HEED_SERVER_SERVICES_PREDICTION_SERVICE_H_
#define HEED_SERVER_SERVICES_PREDICTION_SERVICE_H_

#include "heed/v1/prediction.grpc.pb.h"
#include "server/calls/service_context.h"

namespace heed {

using RawPredictionService = v1::PredictionService::WithRawCallbackMethod_Predict<
    v1::PredictionService::WithRawCallbackMethod_Generate<v1::PredictionService::Service>>;

class PredictionServiceHandler final : public RawPredictionService {
 public:
  explicit PredictionServiceHandler(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* call,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(grpc::CallbackServerContext* call,
                                                       const grpc::ByteBuffer* request) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_PREDICTION_SERVICE_H_
