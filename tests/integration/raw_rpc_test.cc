// The models, their tokenizers, damaged bytes, health and reflection over the wire, without heed's
// own client.
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A unary call of any method by name, with any bytes.
grpc::Status CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const std::string& request, std::string* response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request);
  const grpc::ByteBuffer bytes(&slice, 1);
  auto reader = stub.PrepareUnaryCall(&context, method, bytes, &queue);
  reader->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  reader->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::Slice whole;
  if (status.ok() && reply.DumpToSingleSlice(&whole).ok()) {
    response->assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  return status;
}

// The first answer of a bidirectional call to one request.
std::string AskStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                      const std::string& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  auto stream = stub.PrepareCall(&context, method, &queue);
  stream->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(request);
  stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer reply;
  stream->Read(&reply, nullptr);
  queue.Next(&tag, &ok);
  grpc::Slice whole;
  std::string text;
  if (ok && reply.DumpToSingleSlice(&whole).ok()) {
    text.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
  }
  grpc::Status status;
  stream->WritesDone(nullptr);
  stream->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  queue.Next(&tag, &ok);
  return text;
}

class RawRpcTest : public SharedServerTest {};

TEST_F(RawRpcTest, ListModelsTellsEverythingInOrder) {
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(shared_->models->ListModels(&context, {}, &response).ok());
  ASSERT_EQ(response.models_size(), 3);
  const v1::Model& llama = response.models(0);
  EXPECT_EQ(llama.identity().name(), "llama");
  EXPECT_TRUE(absl::StartsWith(llama.identity().digest(), "sha256:"));
  EXPECT_EQ(llama.architecture(), "llama");
  EXPECT_EQ(llama.direction(), v1::ATTENTION_DIRECTION_CAUSAL);
  EXPECT_EQ(llama.layer_count(), 3);
  EXPECT_EQ(llama.head_count(), 4);
  EXPECT_EQ(llama.kv_head_count(), 2);
  EXPECT_EQ(llama.head_dim(), 12);
  EXPECT_EQ(llama.hidden_size(), 40);
  EXPECT_EQ(llama.feed_forward_size(), 72);
  EXPECT_EQ(llama.vocabulary_size(), 320);
  EXPECT_EQ(llama.context_window(), 128);
  EXPECT_EQ(llama.checkpoint_dtype(), "F32");
  EXPECT_EQ(llama.compute_dtype(), "F32");
  EXPECT_EQ(llama.kv_cache_dtype(), "F32");
  EXPECT_GT(llama.parameter_count(), 0);
  EXPECT_GT(llama.weight_bytes(), 0);
  EXPECT_EQ(llama.tokenizer().vocabulary_size(), 312);
  EXPECT_EQ(llama.tokenizer().added_special_token_count(), 1);
  EXPECT_THAT(llama.tokenizer().end_of_text_ids(), ElementsAre(309));
  EXPECT_THAT(llama.capabilities(), ElementsAre(v1::CAPABILITY_PREDICT, v1::CAPABILITY_GENERATE,
                                                v1::CAPABILITY_ATTENTION, v1::CAPABILITY_EMBED));
  EXPECT_EQ(response.models(1).identity().name(), "gpt2");
  const v1::Model& bert = response.models(2);
  EXPECT_EQ(bert.direction(), v1::ATTENTION_DIRECTION_BIDIRECTIONAL);
  EXPECT_EQ(bert.tokenizer().mask_id(), 4);
  EXPECT_EQ(bert.tokenizer().mask_text(), "[MASK]");
  EXPECT_THAT(bert.capabilities(),
              ElementsAre(v1::CAPABILITY_PREDICT, v1::CAPABILITY_ATTENTION, v1::CAPABILITY_EMBED));
}

TEST_F(RawRpcTest, GetModelWithoutANameGivesTheDefault) {
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(shared_->models->GetModel(&context, {}, &response).ok());
  EXPECT_EQ(response.model().identity().name(), "llama");
}

TEST_F(RawRpcTest, TokenizeAndDetokenizeAreEachOthersInverse) {
  const std::string text = "the cat \xe2\x82\xac sat\n";
  v1::TokenizeRequest request;
  request.set_text(text);
  v1::TokenizeResponse tokens;
  grpc::ClientContext context;
  ASSERT_TRUE(shared_->models->Tokenize(&context, request, &tokens).ok());
  EXPECT_TRUE(tokens.tokens(0).special());  // <|begin_of_text|>
  EXPECT_EQ(tokens.tokens(0).byte_begin(), tokens.tokens(0).byte_end());
  v1::DetokenizeRequest back;
  back.set_skip_special_tokens(true);
  std::string bytes;
  for (const v1::Token& token : tokens.tokens()) {
    back.add_ids(token.id());
    if (!token.special()) bytes += token.bytes();
  }
  EXPECT_EQ(bytes, text);
  v1::DetokenizeResponse restored;
  grpc::ClientContext context2;
  ASSERT_TRUE(shared_->models->Detokenize(&context2, back, &restored).ok());
  EXPECT_EQ(restored.text(), text);
  EXPECT_EQ(restored.bytes(), text);
  ASSERT_EQ(restored.tokens_size(), tokens.tokens_size());
  EXPECT_EQ(restored.tokens(0).byte_end(), 0);
  EXPECT_EQ(restored.tokens().rbegin()->byte_end(), static_cast<int64_t>(text.size()));
}

TEST_F(RawRpcTest, DamagedBytesAreAnInvalidArgumentWithAReason) {
  const std::string damaged[] = {"\xff\xff\xff\xff\xff", std::string(1, '\x0a'), "\x0a\x7fx",
                                 std::string("\x12\x7f", 2)};
  for (const char* method :
       {"/heed.v1.PredictionService/Predict", "/heed.v1.PredictionService/Generate",
        "/heed.v1.InspectionService/GetAttention", "/heed.v1.ModelService/Tokenize",
        "/heed.v1.EmbeddingService/Embed"}) {
    for (const std::string& bytes : damaged) {
      std::string response;
      const grpc::Status status = CallRaw(shared_->channel(), method, bytes, &response);
      EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << method;
      EXPECT_EQ(ReasonOf(status), "MALFORMED_REQUEST") << method << status.error_message();
    }
  }
}

TEST_F(RawRpcTest, ATextThatIsNotUtf8IsBlamedByName) {
  v1::PredictResponse response;
  EXPECT_THAT(WrongFields(Predict(*shared_, PredictText("llama", "caf\xe9"), &response)),
              ElementsAre("prompt.text"));
  v1::GenerateRequest request = GenerateText("llama", "x", 3);
  request.mutable_stopping()->add_stop_texts("fine");
  request.mutable_stopping()->add_stop_texts("\xff");
  EXPECT_THAT(WrongFields(Generate(*shared_, request).status),
              ElementsAre("stopping.stop_texts[1]"));
}

TEST_F(RawRpcTest, HealthIsServingOverallAndForEachService) {
  for (const std::string service : {"", "heed.v1.ModelService", "heed.v1.PredictionService",
                                    "heed.v1.InspectionService", "heed.v1.EmbeddingService"}) {
    std::string request;
    if (!service.empty()) {
      request = absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
    }
    std::string response;
    ASSERT_TRUE(
        CallRaw(shared_->channel(), "/grpc.health.v1.Health/Check", request, &response).ok())
        << service;
    EXPECT_EQ(response, "\x08\x01") << service;  // SERVING
  }
  std::string response;
  EXPECT_EQ(CallRaw(shared_->channel(), "/grpc.health.v1.Health/Check", "\x0a\x01x", &response)
                .error_code(),
            grpc::NOT_FOUND);
}

TEST_F(RawRpcTest, ReflectionListsTheServices) {
  const std::string list_services("\x3a\x00", 2);
  const std::string answer =
      AskStream(shared_->channel(),
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", list_services);
  for (const char* service :
       {"heed.v1.ModelService", "heed.v1.PredictionService", "heed.v1.InspectionService",
        "heed.v1.EmbeddingService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(answer, HasSubstr(service));
  }
}

}  // namespace
}  // namespace heed
