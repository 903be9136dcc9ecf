// Generate over the wire, without heed's own client.
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class GenerateRpcTest : public SharedServerTest {};

TEST_F(GenerateRpcTest, AllWrongFieldsAreNamedAtOnce) {
  v1::GenerateRequest request = GenerateText("llama", "x", 0);
  request.mutable_sampling()->set_top_p(0);
  request.mutable_sampling()->set_temperature(std::nanf(""));
  (*request.mutable_sampling()->mutable_logit_bias())[320] = 1;
  request.mutable_stopping()->add_stop_texts("");
  request.mutable_attention()->add_queries(0);
  request.mutable_attention()->add_layers(3);
  const Stream<v1::GenerateResponse> stream = Generate(*shared_, request);
  EXPECT_EQ(stream.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(stream.messages, IsEmpty());
  EXPECT_THAT(WrongFields(stream.status),
              UnorderedElementsAre("stopping.max_tokens", "sampling.top_p", "sampling.temperature",
                                   "sampling.logit_bias[320]", "stopping.stop_texts[0]",
                                   "attention.queries", "attention.layers[0]"));
}

TEST_F(GenerateRpcTest, AGenerationStartsGoesOnAndEnds) {
  const Stream<v1::GenerateResponse> stream =
      Generate(*shared_, GenerateText("gpt2", "the cat", 20));
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  ASSERT_THAT(stream.messages, SizeIs(22));
  const v1::GenerateStart& start = stream.messages[0].start();
  EXPECT_FALSE(start.has_seed());
  const int64_t prompt_length = start.prompt().tokens_size();
  std::string answer;
  for (int i = 1; i <= 20; ++i) {
    const v1::GeneratedToken& token = stream.messages[i].token();
    EXPECT_EQ(token.position(), prompt_length + i - 1);
    EXPECT_EQ(token.rank(), 1);  // greedy
    answer += token.text_delta();
  }
  const v1::GenerateEnd& end = stream.messages[21].end();
  EXPECT_EQ(end.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(end.generated_token_count(), 20);
  answer += end.text_delta();

  v1::DetokenizeRequest detokenize;
  detokenize.set_model("gpt2");
  detokenize.set_skip_special_tokens(true);
  for (int i = 1; i <= 20; ++i) detokenize.add_ids(stream.messages[i].token().token().id());
  v1::DetokenizeResponse text;
  grpc::ClientContext context;
  ASSERT_TRUE(shared_->models->Detokenize(&context, detokenize, &text).ok());
  EXPECT_EQ(answer, text.text());
}

TEST_F(GenerateRpcTest, AGenerationEndsWithTheContextWindow) {
  const Stream<v1::GenerateResponse> stream =
      Generate(*shared_, GenerateText("llama", "the cat", 128));
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  const v1::GenerateEnd& end = stream.messages.back().end();
  EXPECT_EQ(end.finish_reason(), v1::FINISH_REASON_CONTEXT);
  EXPECT_EQ(end.generated_token_count() + stream.messages[0].start().prompt().tokens_size(), 128);
}

TEST_F(GenerateRpcTest, TruncationMakesRoomForTheAnswer) {
  v1::GenerateRequest request = GenerateText("llama", std::string(4000, 'x'), 100);
  request.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  const Stream<v1::GenerateResponse> stream = Generate(*shared_, request);
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  EXPECT_EQ(stream.messages[0].start().prompt().tokens_size(), 28);
  EXPECT_EQ(stream.messages.back().end().finish_reason(), v1::FINISH_REASON_LENGTH);
  request.mutable_stopping()->set_max_tokens(128);
  EXPECT_EQ(ReasonOf(Generate(*shared_, request).status), "CONTEXT_WINDOW_EXCEEDED");
}

TEST_F(GenerateRpcTest, StopIdsStopTextsAndEndOfTextEndAGeneration) {
  const v1::GenerateRequest plain = GenerateText("llama", "the cat", 12);
  const Stream<v1::GenerateResponse> whole = Generate(*shared_, plain);
  ASSERT_THAT(whole.messages, SizeIs(14));
  v1::GenerateRequest by_id = plain;
  const int fifth = whole.messages[5].token().token().id();
  by_id.mutable_stopping()->add_stop_ids(fifth);
  const Stream<v1::GenerateResponse> stopped = Generate(*shared_, by_id);
  EXPECT_EQ(stopped.messages.back().end().finish_reason(), v1::FINISH_REASON_STOP_ID);
  EXPECT_EQ(stopped.messages.back().end().stop_id(), fifth);
  EXPECT_LE(stopped.messages.back().end().generated_token_count(), 5);

  // Forbidding all but the end-of-text token makes the model draw it.
  v1::GenerateRequest by_end = plain;
  by_end.mutable_stopping()->set_ignore_end_of_text(false);
  for (int id = 0; id < 312; ++id) {
    if (id == 309) continue;
    (*by_end.mutable_sampling()->mutable_logit_bias())[id] = -INFINITY;
  }
  const Stream<v1::GenerateResponse> ended = Generate(*shared_, by_end);
  ASSERT_TRUE(ended.status.ok()) << ended.status.error_message();
  EXPECT_EQ(ended.messages.back().end().finish_reason(), v1::FINISH_REASON_END_OF_TEXT);
  EXPECT_EQ(ended.messages.back().end().stop_id(), 309);
}

TEST_F(GenerateRpcTest, AStopTextIsLeftOutOfTheAnswer) {
  const auto answer_of = [](const Stream<v1::GenerateResponse>& stream) {
    std::string answer;
    for (const auto& message : stream.messages) {
      answer += message.has_token() ? message.token().text_delta() : message.end().text_delta();
    }
    return answer;
  };
  // A random model's answers are mostly broken characters; some have two letters in a row.
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  bool found = false;
  for (int seed = 1; seed <= 50 && !found; ++seed) {
    v1::GenerateRequest request = GenerateText("llama", "the cat", 60);
    request.mutable_sampling()->set_seed(seed);
    const std::string answer = answer_of(Generate(*shared_, request));
    for (size_t i = answer.size() / 3; i + 1 < answer.size() && !found; ++i) {
      found = is_letter(answer[i]) && is_letter(answer[i + 1]);
      if (!found) continue;
      const std::string stop_text = answer.substr(i, 2);
      request.mutable_stopping()->add_stop_texts(stop_text);
      const Stream<v1::GenerateResponse> cut = Generate(*shared_, request);
      ASSERT_TRUE(cut.status.ok()) << cut.status.error_message();
      EXPECT_EQ(answer_of(cut), answer.substr(0, answer.find(stop_text)));
      EXPECT_EQ(cut.messages.back().end().finish_reason(), v1::FINISH_REASON_STOP_TEXT);
      EXPECT_EQ(cut.messages.back().end().stop_text(), stop_text);
    }
  }
  EXPECT_TRUE(found);
}

TEST_F(GenerateRpcTest, WatchingAGenerationChangesNothingAndShowsTheRowsThatGetAttentionShows) {
  v1::GenerateRequest request = GenerateText("llama", "the cat", 6);
  const Stream<v1::GenerateResponse> plain = Generate(*shared_, request);
  request.mutable_attention()->add_layers(-1);
  request.mutable_attention()->add_heads(1);
  request.mutable_attention()->add_heads(2);
  const Stream<v1::GenerateResponse> watched = Generate(*shared_, request);
  ASSERT_TRUE(watched.status.ok()) << watched.status.error_message();
  ASSERT_EQ(watched.messages.size(), plain.messages.size());

  // The same sequence as one prompt.
  v1::GetAttentionRequest attention;
  for (const v1::Token& token : watched.messages[0].start().prompt().tokens()) {
    attention.mutable_prompt()->mutable_tokens()->add_ids(token.id());
  }
  for (int i = 1; i <= 6; ++i) {
    const v1::GeneratedToken& token = watched.messages[i].token();
    EXPECT_EQ(token.token().id(), plain.messages[i].token().token().id());
    EXPECT_EQ(token.log_probability(), plain.messages[i].token().log_probability());
    attention.mutable_prompt()->mutable_tokens()->add_ids(token.token().id());
  }
  *attention.mutable_selection()->mutable_layers() = request.attention().layers();
  *attention.mutable_selection()->mutable_heads() = request.attention().heads();
  const Stream<v1::GetAttentionResponse> whole = GetAttention(*shared_, attention);
  ASSERT_TRUE(whole.status.ok()) << whole.status.error_message();
  ASSERT_THAT(whole.messages, SizeIs(4));
  const int64_t key_count = whole.messages[0].header().key_count();
  for (int i = 1; i <= 6; ++i) {
    const v1::GeneratedToken& token = watched.messages[i].token();
    ASSERT_EQ(token.attention_size(), 2);
    for (int h = 0; h < 2; ++h) {
      const v1::AttentionTile& tile = token.attention(h);
      EXPECT_EQ(tile.layer(), 2);
      EXPECT_EQ(tile.head(), h + 1);
      EXPECT_THAT(tile.queries(), ElementsAre(token.position() - 1));
      const std::vector<float> row = Floats(tile.weights());
      ASSERT_EQ(static_cast<int64_t>(row.size()), token.position());
      const std::vector<float> all = Floats(whole.messages[1 + h].tile().weights());
      for (size_t key = 0; key < row.size(); ++key) {
        EXPECT_NEAR(row[key], all[(token.position() - 1) * key_count + key], 1e-5);
      }
    }
  }
}

TEST_F(GenerateRpcTest, ABidirectionalModelGeneratesNothing) {
  const grpc::Status status = Generate(*shared_, GenerateText("bert", "x", 3)).status;
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "NOT_GENERATIVE");
}

}  // namespace
}  // namespace heed
