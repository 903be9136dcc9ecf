// Every RPC of the server with a request that it answers, for tests that must not forget one.
#ifndef HEED_TESTS_INTEGRATION_ALL_RPCS_H_
#define HEED_TESTS_INTEGRATION_ALL_RPCS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/message.h"
#include "tests/integration/raw_server.h"

namespace heed {

// The messages of an answer.
using Answers = std::vector<std::shared_ptr<const google::protobuf::Message>>;

// One RPC, a request that it answers, and how to call it; `answers` may be null.
struct Rpc {
  std::string name;
  std::shared_ptr<google::protobuf::Message> valid;
  std::function<grpc::Status(const google::protobuf::Message&, Answers* answers)> call;
};

std::vector<Rpc> AllRpcs(RawServer& server, const std::string& model);

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_ALL_RPCS_H_
