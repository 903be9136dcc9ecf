#include "server/services/experiment_service.h"

#include <memory>
#include <utility>

#include "server/calls/answer_now.h"
#include "server/inspect/estimate_cost.h"
#include "server/inspect/experiment_methods.h"
#include "server/inspect/explore_call.h"
#include "server/inspect/read_call.h"
#include "server/inspect/read_stream_call.h"

namespace heed {

grpc::ServerUnaryReactor* ExperimentServiceHandler::Intervene(Call* call, const Bytes* request,
                                                              Bytes* response) {
  return UnaryCall::Begin(std::make_shared<ReadCall<InterveneMethod>>(context_, call, response),
                          *request);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ExperimentServiceHandler::Sweep(Call* call,
                                                                            const Bytes* request) {
  v1::SweepRequest parsed;
  const absl::Status status = ParseRequest(*request, &parsed);
  if (!status.ok()) return ReadStreamCall<SweepStream>::Begin(context_, call, status);
  return ReadStreamCall<SweepStream>::Begin(context_, call, std::move(parsed));
}

grpc::ServerUnaryReactor* ExperimentServiceHandler::Compare(Call* call, const Bytes* request,
                                                            Bytes* response) {
  return UnaryCall::Begin(std::make_shared<CompareCall>(context_, call, response), *request);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ExperimentServiceHandler::Explore(
    Call* call) {
  return ExploreCall::Begin(context_, call);
}

grpc::ServerUnaryReactor* ExperimentServiceHandler::EstimateCost(Call* call, const Bytes* request,
                                                                 Bytes* response) {
  return AnswerNow(context_, &heed::EstimateCost, call, *request, response);
}

}  // namespace heed
