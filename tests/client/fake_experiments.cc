// The experiment service of the fake server: estimates alone.
#include <memory>

#include "heed/v1/experiment.grpc.pb.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

class Experiments final : public v1::ExperimentService::Service {
 public:
  explicit Experiments(FakeServer* fake) : fake_(fake) {}

  grpc::Status EstimateCost(grpc::ServerContext*, const v1::EstimateCostRequest*,
                            v1::EstimateCostResponse* response) override {
    grpc::Status status = fake_->BeginCall();
    response->set_flops(12345);
    response->set_allowed(true);
    return status;
  }

 private:
  FakeServer* fake_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFakeExperiments(FakeServer* fake) {
  return std::make_unique<Experiments>(fake);
}

}  // namespace heed::testing
