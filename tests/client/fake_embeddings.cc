// The embedding service of the fake server.
#include <cmath>
#include <cstddef>
#include <memory>
#include <vector>

#include "tests/client/fake_answers.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

class Embeddings final : public v1::EmbeddingService::Service {
 public:
  explicit Embeddings(FakeServer* fake) : fake_(fake) {}

  // Pools by the mean unless another way is asked for.
  grpc::Status Embed(grpc::ServerContext*, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override {
    if (grpc::Status status = fake_->BeginCall(); !status.ok()) return status;
    fake_->last_embed = *request;
    FillIdentity(request->model(), response->mutable_model());
    const bool given = request->pooling() != v1::POOLING_UNSPECIFIED;
    response->set_pooling(given ? request->pooling() : v1::POOLING_MEAN);
    response->set_normalized(request->normalize());
    for (const v1::Prompt& prompt : request->prompts()) {
      FillText(*request, prompt, response->pooling(), response->add_embeddings());
    }
    FillTimings(response->mutable_timings());
    if (fake_->script.edit_embed) fake_->script.edit_embed(*response);
    return grpc::Status::OK;
  }

 private:
  static void FillText(const v1::EmbedRequest& request, const v1::Prompt& prompt,
                       v1::Pooling pooling, v1::TextEmbedding* embedding) {
    FillPrompt(prompt, embedding->mutable_prompt());
    const int64_t count = embedding->prompt().tokens_size();
    std::vector<float> tokens;
    for (int64_t i = 0; i < count; ++i) {
      const auto vector = FakeTokenVector(embedding->prompt().tokens(static_cast<int>(i)).id(), i);
      tokens.insert(tokens.end(), vector.begin(), vector.end());
    }
    std::vector<float> pooled = Pool(tokens, count, pooling);
    if (request.has_dimensions()) pooled.resize(request.dimensions());
    if (request.normalize()) Normalize(pooled);
    FillTensor(pooled, {static_cast<int64_t>(pooled.size())}, embedding->mutable_vector());
    if (request.token_vectors()) {
      FillTensor(tokens, {count, static_cast<int64_t>(tokens.size()) / count},
                 embedding->mutable_token_vectors());
    }
  }

  static std::vector<float> Pool(const std::vector<float>& tokens, int64_t count,
                                 v1::Pooling pooling) {
    const auto width = static_cast<std::ptrdiff_t>(tokens.size()) / count;
    if (pooling == v1::POOLING_CLS) return {tokens.begin(), tokens.begin() + width};
    if (pooling == v1::POOLING_LAST) return {tokens.end() - width, tokens.end()};
    std::vector<float> mean(width);
    for (size_t i = 0; i < tokens.size(); ++i) {
      mean[i % width] += tokens[i] / static_cast<float>(count);
    }
    return mean;
  }

  static void Normalize(std::vector<float>& vector) {
    float squares = 0;
    for (float value : vector) squares += value * value;
    if (squares == 0) return;  // zeros stay as they are
    for (float& value : vector) value /= std::sqrt(squares);
  }

  FakeServer* fake_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFakeEmbeddings(FakeServer* fake) {
  return std::make_unique<Embeddings>(fake);
}

}  // namespace heed::testing
