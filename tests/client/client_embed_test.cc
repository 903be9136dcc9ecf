// Embed through the client library, against the server of canned answers.
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/connect_to.h"
#include "tests/client/fake_server.h"

namespace heed {
namespace {

using testing::ConnectTo;
using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::FloatEq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ClientEmbedTest, SendsEveryField) {
  FakeServer server;
  auto client = ConnectTo(server);
  ASSERT_TRUE(client
                  ->Embed({.model = "m",
                           .texts = {"the keys", "to"},
                           .add_special_tokens = false,
                           .parse_special_tokens = true,
                           .truncation = Truncation::kRight,
                           .pooling = Pooling::kCls,
                           .normalize = true,
                           .dimensions = 2,
                           .token_vectors = true})
                  .ok());
  const v1::EmbedRequest& sent = server.last_embed;
  EXPECT_EQ(sent.model(), "m");
  ASSERT_EQ(sent.prompts_size(), 2);
  EXPECT_EQ(sent.prompts(0).text(), "the keys");
  EXPECT_EQ(sent.prompts(1).text(), "to");
  for (const v1::Prompt& prompt : sent.prompts()) {
    EXPECT_TRUE(prompt.has_add_special_tokens());
    EXPECT_FALSE(prompt.add_special_tokens());
    EXPECT_TRUE(prompt.parse_special_tokens());
    EXPECT_EQ(prompt.truncation(), v1::TRUNCATION_RIGHT);
  }
  EXPECT_EQ(sent.pooling(), v1::POOLING_CLS);
  EXPECT_TRUE(sent.has_normalize() && sent.normalize());
  EXPECT_EQ(sent.dimensions(), 2);
  EXPECT_TRUE(sent.token_vectors());
}

TEST(ClientEmbedTest, UnsetOptionsStayUnsetOnTheWire) {
  FakeServer server;
  auto client = ConnectTo(server);
  ASSERT_TRUE(client->Embed({.token_ids = {{7, 8}, {9}}}).ok());
  const v1::EmbedRequest& sent = server.last_embed;
  EXPECT_THAT(sent.prompts(0).tokens().ids(), ElementsAre(7, 8));
  EXPECT_THAT(sent.prompts(1).tokens().ids(), ElementsAre(9));
  EXPECT_FALSE(sent.prompts(0).has_add_special_tokens());
  EXPECT_EQ(sent.pooling(), v1::POOLING_UNSPECIFIED);
  EXPECT_FALSE(sent.has_normalize());
  EXPECT_FALSE(sent.has_dimensions());
  EXPECT_FALSE(sent.token_vectors());
}

TEST(ClientEmbedTest, ReadsEveryField) {
  FakeServer server;
  // "the keys": ids 100 and 101.
  const auto result = ConnectTo(server)->Embed(
      {.texts = {"the keys"}, .pooling = Pooling::kLast, .token_vectors = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->model.name, "decoder");
  EXPECT_EQ(result->pooling, Pooling::kLast);
  EXPECT_FALSE(result->normalized);
  EXPECT_EQ(result->timings.compute, absl::Microseconds(3100));
  ASSERT_EQ(result->embeddings.size(), 1u);
  const TextEmbedding& text = result->embeddings[0];
  ASSERT_EQ(text.prompt.tokens.size(), 2u);
  EXPECT_EQ(text.prompt.tokens[1].bytes, " keys");
  EXPECT_THAT(text.vector, ElementsAre(1, 1, 1));
  EXPECT_THAT(text.token_vectors, ElementsAre(0, 0, 1, 1, 1, 1));
}

TEST(ClientEmbedTest, ReadsWhatWasPooledByDefault) {
  FakeServer server;
  const auto result =
      ConnectTo(server)->Embed({.texts = {"the keys", "to"}, .normalize = true, .dimensions = 2});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->pooling, Pooling::kMean);
  EXPECT_TRUE(result->normalized);
  EXPECT_THAT(result->embeddings[0].vector,
              ElementsAre(FloatEq(0.70710677f), FloatEq(0.70710677f)));
  EXPECT_EQ(result->embeddings[1].prompt.tokens.size(), 1u);
  EXPECT_THAT(result->embeddings[1].token_vectors, IsEmpty());
}

TEST(ClientEmbedTest, RefusesTextsAndIdsAtOnce) {
  FakeServer server;
  EXPECT_TRUE(absl::IsInvalidArgument(
      ConnectTo(server)->Embed({.texts = {"a"}, .token_ids = {{1}}}).status()));
  EXPECT_EQ(server.call_count(), 0);
}

TEST(ClientEmbedTest, TensorsThatDoNotFitAreInternalErrors) {
  const std::function<void(v1::TextEmbedding&)> damages[] = {
      [](v1::TextEmbedding& text) { text.clear_vector(); },
      [](v1::TextEmbedding& text) { text.mutable_vector()->mutable_data()->pop_back(); },
      [](v1::TextEmbedding& text) { text.mutable_vector()->set_shape(0, 4); },
      [](v1::TextEmbedding& text) { text.mutable_vector()->set_shape(0, -1); },
      [](v1::TextEmbedding& text) { text.mutable_vector()->add_shape(1); },
      [](v1::TextEmbedding& text) { text.mutable_vector()->set_dtype(v1::DATA_TYPE_UNSPECIFIED); },
      [](v1::TextEmbedding& text) { text.mutable_token_vectors()->clear_shape(); },
      [](v1::TextEmbedding& text) { text.mutable_token_vectors()->set_shape(0, 3); },
      [](v1::TextEmbedding& text) { text.mutable_token_vectors()->set_shape(1, 0); },
      [](v1::TextEmbedding& text) {
        text.mutable_token_vectors()->set_shape(1, 0);
        text.mutable_token_vectors()->clear_data();
      },
      // Times four tokens in 64 bits: the 12 elements that there are.
      [](v1::TextEmbedding& text) {
        text.mutable_token_vectors()->set_shape(1, (int64_t{1} << 62) + 3);
      },
      [](v1::TextEmbedding& text) { text.mutable_prompt()->mutable_tokens()->RemoveLast(); },
  };
  for (const auto& damage : damages) {
    FakeServer server;
    server.script.edit_embed = [&](v1::EmbedResponse& response) {
      damage(*response.mutable_embeddings(1));
    };
    const auto result =
        ConnectTo(server)->Embed({.texts = {"a", "the keys to the"}, .token_vectors = true});
    EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("the server's answer is broken"));
  }
}

TEST(ClientEmbedTest, ErrorsOfTheServerComeThrough) {
  FakeServer server;
  server.FailNext(1, testing::HeedError(grpc::RESOURCE_EXHAUSTED, "too much", "EMBEDDING_BUDGET",
                                        {{"limit_bytes", "3145728"}}));
  const absl::Status status = ConnectTo(server)->Embed({.texts = {"a"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetServerError(status).reason, "EMBEDDING_BUDGET");
}

}  // namespace
}  // namespace heed
