// Embed over the wire, without heed's own client: vectors against transformers and the formulas,
// what is refused and why, and how calls end.
#include <algorithm>
#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"
#include "tests/transformer/golden_file.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::EmbedRequest EmbedTexts(const std::string& model, const std::vector<std::string>& texts) {
  v1::EmbedRequest request;
  request.set_model(model);
  for (const std::string& text : texts) request.add_prompts()->set_text(text);
  return request;
}

// `count` prompts of `tokens` tokens each.
v1::EmbedRequest EmbedIds(const std::string& model, int count, int tokens) {
  v1::EmbedRequest request;
  request.set_model(model);
  for (int i = 0; i < count; ++i) {
    v1::TokenIds* const ids = request.add_prompts()->mutable_tokens();
    for (int j = 0; j < tokens; ++j) ids->add_ids(5 + (i + 7 * j) % 250);
  }
  return request;
}

double Length(const std::vector<float>& vector) {
  double squares = 0;
  for (float value : vector) squares += double{value} * value;
  return std::sqrt(squares);
}

// The vectors of an answer, without what differs from call to call.
std::string Bytes(const v1::EmbedResponse& response) {
  v1::EmbedResponse timeless = response;
  timeless.clear_timings();
  return timeless.SerializeAsString();
}

class EmbedRpcTest : public SharedServerTest {
 protected:
  v1::EmbedResponse Ok(const v1::EmbedRequest& request) {
    v1::EmbedResponse response;
    const grpc::Status status = Embed(*shared_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.embeddings_size(), request.prompts_size());
    return response;
  }

  grpc::Status Error(const v1::EmbedRequest& request) {
    v1::EmbedResponse response;
    const grpc::Status status = Embed(*shared_, request, &response);
    EXPECT_FALSE(status.ok());
    return status;
  }
};

// --- Vectors -------------------------------------------------------------------------------------

struct GoldenModel {
  std::string name;
  std::string folder;
  bool causal;
};

void PrintTo(const GoldenModel& model, std::ostream* out) {
  *out << model.folder;
}

class EmbedGoldenTest : public EmbedRpcTest, public ::testing::WithParamInterface<GoldenModel> {};

TEST_P(EmbedGoldenTest, TokenVectorsEqualTransformersAndArePooledAsTheFormulasSay) {
  constexpr double kTolerance = 1e-4;
  const std::string folder =
      absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", GetParam().folder);
  v1::EmbedRequest request;
  request.set_model(GetParam().name);
  for (int64_t id : GoldenFile(folder + "/golden.safetensors").Read<int64_t>("input_ids")) {
    if (request.prompts_size() == 0) request.add_prompts();
    request.mutable_prompts(0)->mutable_tokens()->add_ids(static_cast<int32_t>(id));
  }
  request.set_token_vectors(true);
  const v1::EmbedResponse answer = Ok(request);
  EXPECT_EQ(answer.model().name(), GetParam().name);
  EXPECT_EQ(answer.pooling(), GetParam().causal ? v1::POOLING_LAST : v1::POOLING_MEAN);
  EXPECT_FALSE(answer.normalized());

  const GoldenFile states(folder + "/states.safetensors");
  const std::vector<float> want = states.Read<float>("last_hidden_state");
  const int64_t n_tokens = states.Shape("last_hidden_state")[0];
  const int64_t width = states.Shape("last_hidden_state")[1];
  const v1::TextEmbedding& text = answer.embeddings(0);
  EXPECT_EQ(text.prompt().tokens_size(), n_tokens);
  EXPECT_THAT(text.token_vectors().shape(), ElementsAre(n_tokens, width));
  EXPECT_THAT(text.vector().shape(), ElementsAre(width));
  const std::vector<float> tokens = Floats(text.token_vectors());
  ASSERT_EQ(tokens.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(tokens[i], want[i], kTolerance) << i;

  std::vector<float> mean;
  for (int64_t i = 0; i < width; ++i) {
    double sum = 0;
    for (int64_t p = 0; p < n_tokens; ++p) sum += tokens[p * width + i];
    mean.push_back(static_cast<float>(sum / static_cast<double>(n_tokens)));
  }
  const std::pair<v1::Pooling, std::vector<float>> ways[] = {
      {v1::POOLING_MEAN, mean},
      {v1::POOLING_CLS, {tokens.begin(), tokens.begin() + width}},
      {v1::POOLING_LAST, {tokens.end() - width, tokens.end()}},
  };
  for (const auto& [pooling, vector] : ways) {
    request.set_pooling(pooling);
    request.set_token_vectors(false);
    const v1::EmbedResponse pooled = Ok(request);
    EXPECT_EQ(pooled.pooling(), pooling);
    EXPECT_EQ(Floats(pooled.embeddings(0).vector()), vector) << v1::Pooling_Name(pooling);
    EXPECT_FALSE(pooled.embeddings(0).has_token_vectors());
    if (pooling == answer.pooling()) {
      EXPECT_EQ(pooled.embeddings(0).vector().data(), text.vector().data());
    }
  }
}

TEST_P(EmbedGoldenTest, ATextsVectorIsTheSameAloneAndInCompany) {
  const std::vector<std::string> texts = {"the cat sat", "a", "the dog and the cat sat on it", "x"};
  v1::EmbedRequest together = EmbedTexts(GetParam().name, texts);
  together.set_token_vectors(true);
  const v1::EmbedResponse answer = Ok(together);
  for (size_t i = 0; i < texts.size(); ++i) {
    v1::EmbedRequest alone = EmbedTexts(GetParam().name, {texts[i]});
    alone.set_token_vectors(true);
    EXPECT_EQ(Ok(alone).embeddings(0).SerializeAsString(),
              answer.embeddings(static_cast<int>(i)).SerializeAsString())
        << texts[i];
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EmbedGoldenTest,
                         ::testing::Values(GoldenModel{"bert", "bert-f32", false},
                                           GoldenModel{"llama", "llama-gqa-f32", true},
                                           GoldenModel{"gpt2", "gpt2-f32", true}),
                         [](const auto& info) { return info.param.name; });

TEST_F(EmbedRpcTest, NormalizedVectorsHaveLengthOneAlsoWhenCut) {
  v1::EmbedRequest request = EmbedTexts("bert", {"the cat", "the dog sat"});
  const v1::EmbedResponse plain = Ok(request);
  for (int dimensions : {32, 5, 1}) {
    request.set_dimensions(dimensions);
    request.set_normalize(true);
    const v1::EmbedResponse response = Ok(request);
    EXPECT_TRUE(response.normalized());
    for (int i = 0; i < 2; ++i) {
      std::vector<float> kept = Floats(plain.embeddings(i).vector());
      kept.resize(dimensions);
      const std::vector<float> unit = Floats(response.embeddings(i).vector());
      ASSERT_EQ(unit.size(), kept.size());
      EXPECT_NEAR(Length(unit), 1, 1e-6);
      for (int j = 0; j < dimensions; ++j) {
        EXPECT_NEAR(unit[j], kept[j] / Length(kept), 1e-6);
      }
    }
  }
}

TEST_F(EmbedRpcTest, AsManyTextsAsMayBeAreAnsweredInOrder) {
  const v1::EmbedRequest request = EmbedIds("llama", 256, 3);
  const v1::EmbedResponse response = Ok(request);
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(response.embeddings(i).prompt().tokens(1).id(), request.prompts(i).tokens().ids(1));
  }
  v1::EmbedRequest last = EmbedIds("llama", 0, 0);
  *last.add_prompts() = request.prompts(255);
  EXPECT_EQ(Ok(last).embeddings(0).vector().data(), response.embeddings(255).vector().data());
}

TEST_F(EmbedRpcTest, TheSameRequestGivesTheSameBytesWhateverElseRuns) {
  v1::EmbedRequest request = EmbedIds("llama", 40, 20);
  request.set_normalize(true);
  request.set_pooling(v1::POOLING_MEAN);
  request.set_token_vectors(true);
  const std::string alone = Bytes(Ok(request));
  std::vector<std::thread> threads;
  std::vector<std::string> answers(4);
  for (std::string& answer : answers) {
    threads.emplace_back([&] { answer = Bytes(Ok(request)); });
  }
  threads.emplace_back([&] {
    v1::GenerateRequest generate;
    generate.set_model("llama");
    generate.mutable_prompt()->mutable_tokens()->add_ids(1);
    generate.mutable_stopping()->set_max_tokens(100);
    generate.mutable_stopping()->set_ignore_end_of_text(true);
    EXPECT_TRUE(Generate(*shared_, generate).status.ok());
  });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) EXPECT_EQ(answer, alone);
}

TEST_F(EmbedRpcTest, TextsAreReadAsTheirPromptsSay) {
  v1::EmbedRequest request = EmbedTexts("llama", {"the", "the"});
  request.mutable_prompts(1)->set_add_special_tokens(false);
  const v1::EmbedResponse response = Ok(request);
  EXPECT_EQ(response.embeddings(0).prompt().tokens_size(),
            response.embeddings(1).prompt().tokens_size() + 1);
  EXPECT_TRUE(response.embeddings(0).prompt().tokens(0).special());
  EXPECT_FALSE(response.embeddings(1).prompt().tokens(0).special());
}

TEST_F(EmbedRpcTest, ALongTextIsRefusedByNameOrCut) {
  v1::EmbedRequest request = EmbedIds("bert", 2, 100);
  request.mutable_prompts(0)->set_truncation(v1::TRUNCATION_LEFT);
  const grpc::Status status = Error(request);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "CONTEXT_WINDOW_EXCEEDED");
  EXPECT_EQ(status.error_message(),
            "context window exceeded: prompts[1] has 100 tokens, bert takes 64");
  request.mutable_prompts(1)->set_truncation(v1::TRUNCATION_RIGHT);
  const v1::EmbedResponse response = Ok(request);
  const v1::PromptInfo& left = response.embeddings(0).prompt();
  EXPECT_EQ(left.dropped_token_count(), 36);
  EXPECT_EQ(left.truncation(), v1::TRUNCATION_LEFT);
  EXPECT_EQ(left.tokens(0).id(), request.prompts(0).tokens().ids(36));
  const v1::PromptInfo& right = response.embeddings(1).prompt();
  EXPECT_EQ(right.truncation(), v1::TRUNCATION_RIGHT);
  EXPECT_EQ(right.tokens(63).id(), request.prompts(1).tokens().ids(63));
}

// --- Refused -------------------------------------------------------------------------------------

TEST_F(EmbedRpcTest, EveryWrongFieldIsNamed) {
  v1::EmbedRequest request = EmbedTexts("llama", {"fine"});
  request.add_prompts();
  request.add_prompts()->mutable_tokens()->add_ids(320);
  request.add_prompts()->set_text("x");
  request.mutable_prompts(3)->set_truncation(static_cast<v1::Truncation>(17));
  request.set_pooling(static_cast<v1::Pooling>(9));
  request.set_dimensions(41);
  const grpc::Status status = Error(request);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
  EXPECT_THAT(WrongFields(status), ElementsAre("prompts[1]", "prompts[2].tokens.ids[0]",
                                               "prompts[3].truncation", "pooling", "dimensions"));
}

TEST_F(EmbedRpcTest, TheNumberOfTextsIsBounded) {
  EXPECT_THAT(WrongFields(Error(EmbedIds("llama", 0, 0))), ElementsAre("prompts"));
  const grpc::Status status = Error(EmbedIds("llama", 257, 1));
  EXPECT_THAT(WrongFields(status), ElementsAre("prompts"));
  EXPECT_THAT(status.error_message(), HasSubstr("257"));
  EXPECT_THAT(status.error_message(), HasSubstr("256"));
}

TEST_F(EmbedRpcTest, ATextOfNoTokensIsNamed) {
  v1::EmbedRequest request = EmbedTexts("gpt2", {"fine", ""});
  EXPECT_THAT(WrongFields(Error(request)), ElementsAre("prompts[1].text"));
  request.mutable_prompts(1)->mutable_tokens();
  EXPECT_THAT(WrongFields(Error(request)), ElementsAre("prompts[1].tokens.ids"));
}

TEST_F(EmbedRpcTest, ATextThatIsNotUtf8IsBlamedByName) {
  EXPECT_THAT(WrongFields(Error(EmbedTexts("llama", {"fine", "caf\xe9"}))),
              ElementsAre("prompts[1].text"));
}

TEST_F(EmbedRpcTest, AnUnknownModelIsNotFound) {
  const grpc::Status status = Error(EmbedTexts("brt", {"x"}));
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("Did you mean \"bert\"?"));
}

TEST_F(EmbedRpcTest, TooManyVectorsAreRefusedWithSizeAndLimit) {
  // 40 floats for each of 127 tokens and for the text: 20,480 bytes a text.
  v1::EmbedRequest request = EmbedIds("llama", 154, 127);
  request.set_token_vectors(true);
  const grpc::Status status = Error(request);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason(), "EMBEDDING_BUDGET");
  EXPECT_EQ(info->metadata().at("requested_bytes"), "3153920");
  EXPECT_EQ(info->metadata().at("limit_bytes"), "3145728");
  EXPECT_THAT(status.error_message(), HasSubstr("3153920 bytes and the limit is 3145728"));
  request.mutable_prompts()->RemoveLast();
  EXPECT_GT(Ok(request).ByteSizeLong(), 3'000'000u);
}

TEST(EmbedServerTest, AModelWithoutATokenizerEmbedsIdsOnly) {
  ServerConfig config;
  config.listen = "127.0.0.1:0";
  Registry registry;
  auto model = LoadServedModel(
      "bare", absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/gpt2-bare-f16"), LoadOptions{});
  ASSERT_TRUE(model.ok() && registry.Add(*std::move(model)).ok());
  auto server = Server::Start(config, std::move(registry));
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = v1::EmbeddingService::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", (*server)->port()), grpc::InsecureChannelCredentials()));
  v1::EmbedResponse response;
  grpc::ClientContext with_text;
  const grpc::Status status = stub->Embed(&with_text, EmbedTexts("", {"x"}), &response);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "NO_TOKENIZER");
  grpc::ClientContext with_ids;
  EXPECT_TRUE(stub->Embed(&with_ids, EmbedIds("", 2, 3), &response).ok());
  EXPECT_EQ(response.embeddings_size(), 2);
}

// --- Ends ----------------------------------------------------------------------------------------

// A generation that holds the only place in the batch until it is read.
struct Occupant {
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;

  explicit Occupant(RawServer& server) {
    reader = server.prediction->Generate(&context, BulkyGeneration());
    EXPECT_TRUE(Eventually([&] { return server.server().stats().live == 1; }));
  }
};

TEST(EmbedServerTest, CancellingAWaitingCallTakesAllItsTextsOut) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  RawServer server(config);
  Occupant occupant(server);
  grpc::ClientContext context;
  std::thread embed([&] {
    v1::EmbedResponse response;
    EXPECT_EQ(server.embedding->Embed(&context, EmbedIds("llama", 100, 4), &response).error_code(),
              grpc::CANCELLED);
  });
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued > 0; }));
  context.TryCancel();
  embed.join();
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 0; }));
  EXPECT_TRUE(ReadAll(std::move(occupant.reader)).status.ok());
  EXPECT_TRUE(Eventually([&] { return server.Idle(); }));
}

TEST(EmbedServerTest, ADeadlineEndsAWaitingCall) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  RawServer server(config);
  Occupant occupant(server);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(30)));
  v1::EmbedResponse response;
  EXPECT_EQ(server.embedding->Embed(&context, EmbedIds("llama", 100, 4), &response).error_code(),
            grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([&] { return server.server().stats().queued == 0; }));
  EXPECT_TRUE(ReadAll(std::move(occupant.reader)).status.ok());
}

TEST(EmbedServerTest, ALongListNeedsNoLongQueue) {
  ServerConfig config;
  config.max_batch_sequences = 1;
  config.max_queued = 2;
  RawServer server(config);
  v1::EmbedResponse response;
  const grpc::Status status = Embed(server, EmbedIds("llama", 64, 5), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.embeddings_size(), 64);
}

}  // namespace
}  // namespace heed
