// The model service of the fake server.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_answers.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

class Models final : public v1::ModelService::Service {
 public:
  explicit Models(FakeServer* fake) : fake_(fake) {}

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    for (const std::string& name : fake_->script.models) {
      *response->add_models() = fake_->Model(name);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    if (!fake_->IsLoaded(request->model())) {
      return HeedError(grpc::NOT_FOUND,
                       absl::StrCat("model \"", request->model(),
                                    "\" is not loaded. Loaded: decoder. Did you mean \"decoder\"?"),
                       "MODEL_NOT_FOUND", {{"model", request->model()}});
    }
    const std::string& first = fake_->script.models.front();
    *response->mutable_model() = fake_->Model(request->model().empty() ? first : request->model());
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->Keep(*request, fake_->last_tokenize);
    FillIdentity(request->model(), response->mutable_model());
    for (const v1::Token& token : FakeTokens(request->text())) *response->add_tokens() = token;
    FillTimings(response->mutable_timings());
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->Keep(*request, fake_->last_detokenize);
    FillIdentity(request->model(), response->mutable_model());
    for (int32_t id : request->ids()) {
      *response->add_tokens() = FakeTokenOf(id);
      response->mutable_bytes()->append(response->tokens().rbegin()->bytes());
    }
    response->set_text(response->bytes());
    FillTimings(response->mutable_timings());
    return grpc::Status::OK;
  }

 private:
  FakeServer* fake_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFakeModels(FakeServer* fake) {
  return std::make_unique<Models>(fake);
}

}  // namespace heed::testing
