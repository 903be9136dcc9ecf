// A stream of ExperimentService.Explore, and the requests that tests put into it.
#ifndef HEED_TESTS_INTEGRATION_EXPLORATION_H_
#define HEED_TESTS_INTEGRATION_EXPLORATION_H_

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "tests/integration/inspection_fixture.h"

namespace heed {

// One stream of a test.
class Exploration {
 public:
  explicit Exploration(RawServer& server) : stream_(server.experiment->Explore(&context)) {}
  ~Exploration() {
    context.TryCancel();
    End();
  }

  bool Send(const v1::ExploreRequest& request) { return stream_->Write(request); }

  v1::ExploreResponse Read() {
    v1::ExploreResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << "the stream is over";
    return response;
  }

  bool TryRead(v1::ExploreResponse* response) { return stream_->Read(response); }

  v1::ExploreResponse Ask(const v1::ExploreRequest& request) {
    EXPECT_TRUE(Send(request));
    return Read();
  }

  void HalfClose() { stream_->WritesDone(); }

  // How the stream ends; what comes before is dropped.
  grpc::Status End() {
    if (stream_ == nullptr) return status_;
    v1::ExploreResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    status_ = stream_->Finish();
    stream_.reset();
    return status_;
  }

  grpc::ClientContext context;

 private:
  std::unique_ptr<grpc::ClientReaderWriter<v1::ExploreRequest, v1::ExploreResponse>> stream_;
  grpc::Status status_;
};

inline v1::ExploreRequest OpenPrompt(const std::string& model = "llama") {
  v1::ExploreRequest request;
  *request.mutable_open() = OnPrompt<v1::ExploreOpen>(model);
  return request;
}

inline v1::ExploreRequest Dial(double beta, int layer = 1) {
  v1::ExploreRequest request;
  v1::Intervention& edit = *request.mutable_edits()->add_interventions();
  edit.add_layers(layer);
  edit.mutable_scale_scores()->set_beta(beta);
  return request;
}

inline v1::ExploreRequest HoverAt(int layer, int head, int64_t query) {
  v1::ExploreRequest request;
  request.mutable_hover()->set_layer(layer);
  request.mutable_hover()->set_head(head);
  request.mutable_hover()->set_query(query);
  return request;
}

using ExploreRpcTest = InspectionRpcTest;

inline v1::EstimateCostResponse Estimate(RawServer& server, const v1::ExploreRequest& open) {
  v1::EstimateCostRequest request;
  *request.mutable_explore() = open;
  v1::EstimateCostResponse cost;
  const grpc::Status status =
      Ask(server.experiment.get(), &v1::ExperimentService::Stub::EstimateCost, request, &cost);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return cost;
}

}  // namespace heed

#endif  // HEED_TESTS_INTEGRATION_EXPLORATION_H_
