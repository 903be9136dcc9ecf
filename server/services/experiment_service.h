// heed.v1.ExperimentService: what would change.
#ifndef HEED_SERVER_SERVICES_EXPERIMENT_SERVICE_H_
#define HEED_SERVER_SERVICES_EXPERIMENT_SERVICE_H_

#include "heed/v1/experiment.grpc.pb.h"
#include "server/calls/service_context.h"

namespace heed {

using RawExperimentService = v1::ExperimentService::WithRawCallbackMethod_Intervene<
    v1::ExperimentService::WithRawCallbackMethod_Sweep<
        v1::ExperimentService::WithRawCallbackMethod_Compare<
            v1::ExperimentService::WithRawCallbackMethod_Explore<
                v1::ExperimentService::WithRawCallbackMethod_EstimateCost<
                    v1::ExperimentService::Service>>>>>;

class ExperimentServiceHandler final : public RawExperimentService {
 public:
  explicit ExperimentServiceHandler(const ServiceContext& context) : context_(context) {}

  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  grpc::ServerUnaryReactor* Intervene(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerWriteReactor<Bytes>* Sweep(Call* call, const Bytes* request) override;
  grpc::ServerUnaryReactor* Compare(Call* call, const Bytes* request, Bytes* response) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* Explore(Call* call) override;
  grpc::ServerUnaryReactor* EstimateCost(Call* call, const Bytes* request,
                                         Bytes* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace heed

#endif  // HEED_SERVER_SERVICES_EXPERIMENT_SERVICE_H_
