// The services of the fake server. They know nothing but it, and must not outlive it.
#ifndef HEED_TESTS_CLIENT_FAKE_SERVICES_H_
#define HEED_TESTS_CLIENT_FAKE_SERVICES_H_

#include <memory>

#include "grpcpp/grpcpp.h"

namespace heed::testing {

class FakeServer;

std::unique_ptr<grpc::Service> MakeFakeModels(FakeServer* fake);
std::unique_ptr<grpc::Service> MakeFakePredictions(FakeServer* fake);
std::unique_ptr<grpc::Service> MakeFakeInspections(FakeServer* fake);
std::unique_ptr<grpc::Service> MakeFakeEmbeddings(FakeServer* fake);
std::unique_ptr<grpc::Service> MakeFakeExperiments(FakeServer* fake);

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_FAKE_SERVICES_H_
