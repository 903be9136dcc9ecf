// A server, a prompt, and reading what the model made of it.
#ifndef HEED_TESTS_INTEGRATION_INSPECTION_FIXTURE_H_
#define HEED_TESTS_INTEGRATION_INSPECTION_FIXTURE_H_

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {

using InspectionStub = v1::InspectionService::Stub;

template <typename Request, typename Response, typename Service>
grpc::Status Ask(Service* stub,
                 grpc::Status (Service::*method)(grpc::ClientContext*, const Request&, Response*),
                 const Request& request, Response* response) {
  grpc::ClientContext context;
  return (stub->*method)(&context, request, response);
}

// Ids of a prompt in which tokens repeat.
inline constexpr int kPrompt[] = {5, 9, 17, 23, 9, 17, 40, 5, 9};
inline constexpr int kTokens = 9;

template <typename Request>
Request OnPrompt(const std::string& model = "llama") {
  Request request;
  request.set_model(model);
  for (int id : kPrompt) request.mutable_prompt()->mutable_tokens()->add_ids(id);
  return request;
}

class InspectionRpcTest : public SharedServerTest {
 protected:
  // A trace of the prompt with its stream.
  static std::string Open(const std::string& model = "llama", bool stream = true) {
    auto request = OnPrompt<v1::OpenTraceRequest>(model);
    request.mutable_keep()->set_keep_residual(stream);
    v1::OpenTraceResponse response;
    const grpc::Status status =
        Ask(shared_->inspection.get(), &InspectionStub::OpenTrace, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.trace().trace_id();
  }

  template <typename Request, typename Response>
  static Response Read(grpc::Status (InspectionStub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                       const Request& request) {
    Response response;
    const grpc::Status status = Ask(shared_->inspection.get(), method, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  template <typename Request, typename Response>
  static grpc::Status Refusal(grpc::Status (InspectionStub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                              const Request& request) {
    Response response;
    return Ask(shared_->inspection.get(), method, request, &response);
  }

  static std::vector<v1::AttentionTile> Tiles(const v1::GetAttentionRequest& request) {
    const Stream<v1::GetAttentionResponse> stream = GetAttention(*shared_, request);
    EXPECT_TRUE(stream.status.ok()) << stream.status.error_message();
    std::vector<v1::AttentionTile> tiles;
    for (const auto& message : stream.messages) {
      if (message.has_tile()) tiles.push_back(message.tile());
    }
    return tiles;
  }

  // One head's map of a trace at a stage, [tokens, tokens].
  static std::vector<float> Map(const std::string& trace, v1::AttentionStage stage, int layer,
                                int head) {
    v1::GetAttentionRequest request;
    request.set_trace_id(trace);
    request.mutable_selection()->add_layers(layer);
    request.mutable_selection()->add_heads(head);
    request.mutable_selection()->set_stage(stage);
    const auto tiles = Tiles(request);
    return tiles.size() == 1 ? Floats(tiles[0].weights()) : std::vector<float>();
  }

  static std::vector<v1::GetActivationsResponse> Activations(
      const v1::GetActivationsRequest& request) {
    grpc::ClientContext context;
    const auto stream = ReadAll(shared_->inspection->GetActivations(&context, request));
    EXPECT_TRUE(stream.status.ok()) << stream.status.error_message();
    return stream.messages;
  }
};

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_INSPECTION_FIXTURE_H_
