// The prediction service of the fake server.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/fake_answers.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

class Predictions final : public v1::PredictionService::Service {
 public:
  explicit Predictions(FakeServer* fake) : fake_(fake) {}

  grpc::Status Predict(grpc::ServerContext*, const v1::PredictRequest* request,
                       v1::PredictResponse* response) override {
    grpc::Status status = fake_->BeginModelCall("Predict", request->model());
    if (!status.ok()) return status;
    fake_->Keep(*request, fake_->last_predict);
    FillIdentity(request->model(), response->mutable_model());
    FillPrompt(request->prompt(), response->mutable_prompt());
    const int64_t length = response->prompt().tokens_size();
    std::vector<int64_t> positions = {length - 1};
    if (!fake_->IsCausal(request->model())) positions = MaskPositions(response->prompt());
    if (request->positions().all()) positions = Resolve<int64_t>(std::vector<int64_t>(), length);
    if (request->positions().has_list()) {
      positions = Resolve<int64_t>(request->positions().list().positions(), length);
    }
    for (int64_t position : positions) {
      FillPrediction(*request, position, response);
    }
    FillTimings(response->mutable_timings());
    if (fake_->script.edit_predict) fake_->script.edit_predict(*response);
    return grpc::Status::OK;
  }

  grpc::Status Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->Keep(*request, fake_->last_generate);
    v1::GenerateResponse start;
    FillIdentity(request->model(), start.mutable_start()->mutable_model());
    FillPrompt(request->prompt(), start.mutable_start()->mutable_prompt());
    if (request->sampling().has_seed()) {
      start.mutable_start()->set_seed(request->sampling().seed());
    }
    int64_t position = start.start().prompt().tokens_size();
    Write(start, writer);
    const std::vector<std::string>& answer = fake_->script.answer;
    for (size_t i = 0; i < answer.size() || fake_->script.endless; ++i) {
      v1::GenerateResponse token;
      FillToken(*request, answer[i % answer.size()], position++, token.mutable_token());
      if (!Write(token, writer)) {
        fake_->cancelled().Notify();
        return grpc::Status::CANCELLED;
      }
    }
    v1::GenerateResponse end;
    end.mutable_end()->set_finish_reason(v1::FINISH_REASON_LENGTH);
    end.mutable_end()->set_generated_token_count(static_cast<int64_t>(answer.size()));
    FillTimings(end.mutable_end()->mutable_timings());
    Write(end, writer);
    return grpc::Status::OK;
  }

 private:
  static std::vector<int64_t> MaskPositions(const v1::PromptInfo& prompt) {
    std::vector<int64_t> positions;
    for (int i = 0; i < prompt.tokens_size(); ++i) {
      if (prompt.tokens(i).special()) positions.push_back(i);
    }
    return positions;
  }

  void FillPrediction(const v1::PredictRequest& request, int64_t position,
                      v1::PredictResponse* response) const {
    v1::PositionPrediction* prediction = response->add_predictions();
    prediction->set_position(position);
    prediction->set_entropy(1.4556);
    // A causal model predicts the token after the position, a bidirectional one the token there.
    const int64_t actual = position + (fake_->IsCausal(request.model()) ? 1 : 0);
    if (actual < response->prompt().tokens_size()) {
      *prediction->mutable_actual() =
          MakeCandidate(response->prompt().tokens(static_cast<int>(actual)).bytes(), 0.25, 2);
    }
    if (request.candidates().full()) {
      FillTensor({-1, -2, -3, -4}, {4}, prediction->mutable_log_probabilities());
      return;
    }
    if (request.candidates().has_texts()) {
      int rank = 1;
      for (const std::string& text : request.candidates().texts().texts()) {
        *prediction->add_candidates() =
            MakeCandidate(text[0] == ' ' ? text : " " + text, 0.4 / rank, rank);
        ++rank;
      }
      return;
    }
    const std::pair<const char*, double> best[] = {
        {" were", 0.412}, {" are", 0.287}, {" was", 0.061}, {" is", 0.0001}};
    const int count = request.candidates().has_top_k() ? request.candidates().top_k() : 4;
    for (int i = 0; i < std::min(count, 4); ++i) {
      *prediction->add_candidates() = MakeCandidate(best[i].first, best[i].second, i + 1);
    }
  }

  void FillToken(const v1::GenerateRequest& request, const std::string& bytes, int64_t position,
                 v1::GeneratedToken* token) {
    token->set_position(position);
    *token->mutable_token() = MakeToken(bytes);
    token->set_probability(0.5);
    token->set_log_probability(std::log(0.5));
    token->set_rank(1);
    token->set_entropy(1.4556);
    token->set_text_delta(bytes);
    for (int i = 0; i < request.top_candidates(); ++i) {
      *token->add_alternatives() =
          MakeCandidate(FakeTokenOf(105 + i % 4).bytes(), 0.5 / (i + 1), i + 1);
    }
    if (!request.has_attention()) return;
    for (int layer : Resolve<int>(request.attention().layers(), fake_->script.layers)) {
      for (int head : Resolve<int>(request.attention().heads(), fake_->script.heads)) {
        *token->add_attention() = MakeTile(fake_->script, layer, head, {position - 1}, position,
                                           request.attention().top_k().k());
      }
    }
  }

  bool Write(v1::GenerateResponse& message, grpc::ServerWriter<v1::GenerateResponse>* writer) {
    const auto& edit = fake_->script.edit_generate;
    return (edit && !edit(message)) || writer->Write(message);
  }

  FakeServer* fake_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFakePredictions(FakeServer* fake) {
  return std::make_unique<Predictions>(fake);
}

}  // namespace heed::testing
