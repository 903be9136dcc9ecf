// The services over the wire, without heed's own client: what each RPC answers, and how calls end.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

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

v1::PredictRequest PredictText(const std::string& model, const std::string& text) {
  v1::PredictRequest request;
  request.set_model(model);
  request.mutable_prompt()->set_text(text);
  return request;
}

v1::GenerateRequest GenerateText(const std::string& model, const std::string& text,
                                 int max_tokens) {
  v1::GenerateRequest request;
  request.set_model(model);
  request.mutable_prompt()->set_text(text);
  request.mutable_stopping()->set_max_tokens(max_tokens);
  request.mutable_stopping()->set_ignore_end_of_text(true);
  return request;
}

// All weights of a long prompt: several times what gRPC sends to a client that does not read.
v1::GetAttentionRequest BulkyAttention() {
  v1::GetAttentionRequest request;
  request.set_model("llama");
  for (int i = 0; i < 128; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(i);
  return request;
}

class RawRpcTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    google::protobuf::SetLogHandler(nullptr);
    shared_ = new RawServer;
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

  v1::PredictResponse PredictOk(const v1::PredictRequest& request) {
    v1::PredictResponse response;
    const grpc::Status status = Predict(*shared_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  grpc::Status PredictError(const v1::PredictRequest& request) {
    v1::PredictResponse response;
    const grpc::Status status = Predict(*shared_, request, &response);
    EXPECT_FALSE(status.ok());
    return status;
  }

  static inline RawServer* shared_ = nullptr;
};

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

TEST_F(RawRpcTest, AnUnknownModelIsNotFoundWithASuggestion) {
  const grpc::Status status = PredictError(PredictText("lama", "hello"));
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(ReasonOf(status), "MODEL_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("Did you mean \"llama\"?"));
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

TEST_F(RawRpcTest, PredictAnswersAtTheLastPositionByDefault) {
  const v1::PredictResponse response = PredictOk(PredictText("llama", "the cat"));
  ASSERT_EQ(response.predictions_size(), 1);
  const v1::PositionPrediction& last = response.predictions(0);
  EXPECT_EQ(last.position(), response.prompt().tokens_size() - 1);
  ASSERT_EQ(last.candidates_size(), 10);
  for (int i = 0; i < 10; ++i) {
    const v1::Candidate& candidate = last.candidates(i);
    EXPECT_EQ(candidate.rank(), i + 1);
    EXPECT_NEAR(std::exp(candidate.log_probability()), candidate.probability(), 1e-12);
    if (i > 0) {
      EXPECT_LE(candidate.probability(), last.candidates(i - 1).probability());
    }
  }
  EXPECT_GT(last.entropy(), 0);
  EXPECT_LE(last.entropy(), std::log(320.0));
  EXPECT_FALSE(last.has_actual());
  EXPECT_TRUE(response.has_timings());
  EXPECT_FALSE(response.model().digest().empty());
}

TEST_F(RawRpcTest, PredictAtEveryPositionScoresTheRealNextToken) {
  v1::PredictRequest request = PredictText("llama", "the cat sat");
  request.mutable_positions()->set_all(true);
  request.mutable_candidates()->set_full(true);
  const v1::PredictResponse response = PredictOk(request);
  const int n = response.prompt().tokens_size();
  ASSERT_EQ(response.predictions_size(), n);
  for (int i = 0; i < n; ++i) {
    const v1::PositionPrediction& at = response.predictions(i);
    EXPECT_EQ(at.position(), i);
    const std::vector<float> logs = Floats(at.log_probabilities());
    ASSERT_THAT(logs, SizeIs(320));
    double mass = 0;
    for (float log : logs) mass += std::exp(static_cast<double>(log));
    EXPECT_NEAR(mass, 1, 1e-5);
    ASSERT_EQ(at.has_actual(), i + 1 < n);
    if (i + 1 == n) continue;
    EXPECT_EQ(at.actual().token().id(), response.prompt().tokens(i + 1).id());
    EXPECT_NEAR(at.actual().log_probability(), logs[at.actual().token().id()], 1e-5);
  }
}

TEST_F(RawRpcTest, ChosenPositionsAreAnsweredInTheOrderGiven) {
  v1::PredictRequest request = PredictText("llama", "the cat sat");
  for (int64_t position : {-1, 0, 2, 0}) {
    request.mutable_positions()->mutable_list()->add_positions(position);
  }
  const v1::PredictResponse response = PredictOk(request);
  ASSERT_EQ(response.predictions_size(), 4);
  EXPECT_EQ(response.predictions(0).position(), response.prompt().tokens_size() - 1);
  EXPECT_EQ(response.predictions(1).position(), 0);
  EXPECT_EQ(response.predictions(2).position(), 2);
  EXPECT_EQ(response.predictions(3).position(), 0);
  request.mutable_positions()->mutable_list()->add_positions(1000);
  const grpc::Status status = PredictError(request);
  EXPECT_EQ(status.error_code(), grpc::OUT_OF_RANGE);
  EXPECT_EQ(ReasonOf(status), "POSITION_OUT_OF_RANGE");
  EXPECT_THAT(WrongFields(status), ElementsAre("positions.list.positions[4]"));
}

TEST_F(RawRpcTest, NamedCandidatesComeInTheOrderGivenWithTheirRank) {
  v1::PredictRequest all = PredictText("llama", "the");
  all.mutable_candidates()->set_top_k(320);
  const v1::PredictResponse ranked = PredictOk(all);
  std::map<int, int> rank_of;
  for (const v1::Candidate& candidate : ranked.predictions(0).candidates()) {
    rank_of[candidate.token().id()] = candidate.rank();
  }
  EXPECT_THAT(rank_of, SizeIs(320));
  v1::PredictRequest some = PredictText("llama", "the");
  for (int id : {319, 0, 5}) some.mutable_candidates()->mutable_ids()->add_ids(id);
  const v1::PredictResponse named = PredictOk(some);
  ASSERT_EQ(named.predictions(0).candidates_size(), 3);
  for (int i = 0; i < 3; ++i) {
    const v1::Candidate& candidate = named.predictions(0).candidates(i);
    EXPECT_EQ(candidate.token().id(), std::vector<int>({319, 0, 5})[i]);
    EXPECT_EQ(candidate.rank(), rank_of[candidate.token().id()]);
  }
  // A long list takes another way to the same ranks.
  v1::PredictRequest many = PredictText("llama", "the");
  for (int id = 319; id >= 0; --id) many.mutable_candidates()->mutable_ids()->add_ids(id);
  const v1::PredictResponse response = PredictOk(many);
  for (const v1::Candidate& candidate : response.predictions(0).candidates()) {
    EXPECT_EQ(candidate.rank(), rank_of[candidate.token().id()]);
  }
}

TEST_F(RawRpcTest, CandidateTextsAreFoundWithAndWithoutASpace) {
  v1::PredictRequest request = PredictText("llama", "x");
  for (const char* text : {"the", " to", "to", "\xc4\xa0to"}) {
    request.mutable_candidates()->mutable_texts()->add_texts(text);
  }
  const v1::PredictResponse response = PredictOk(request);
  const auto& candidates = response.predictions(0).candidates();
  ASSERT_EQ(candidates.size(), 4);
  EXPECT_EQ(candidates[0].token().text(), "the");
  for (int i = 1; i < 4; ++i) EXPECT_EQ(candidates[i].token().text(), " to") << i;

  request.mutable_candidates()->mutable_texts()->add_texts("several tokens");
  request.mutable_candidates()->mutable_texts()->add_texts("");
  const grpc::Status status = PredictError(request);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(WrongFields(status),
              ElementsAre("candidates.texts.texts[4]", "candidates.texts.texts[5]"));
  EXPECT_THAT(status.error_message(), HasSubstr("several"));
}

TEST_F(RawRpcTest, AMaskedModelPredictsItsMasks) {
  const v1::PredictResponse response = PredictOk(PredictText("bert", "the [MASK] sat [MASK]"));
  ASSERT_EQ(response.predictions_size(), 2);
  for (const v1::PositionPrediction& prediction : response.predictions()) {
    EXPECT_EQ(response.prompt().tokens(prediction.position()).piece(), "[MASK]");
    EXPECT_EQ(prediction.actual().token().id(), 4);
  }
  const grpc::Status status = PredictError(PredictText("bert", "no mask here"));
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(WrongFields(status), ElementsAre("prompt"));
  EXPECT_THAT(status.error_message(), HasSubstr("[MASK]"));
}

TEST_F(RawRpcTest, APromptLongerThanTheWindowIsRefusedWithBothNumbersOrCut) {
  v1::PredictRequest request = PredictText("bert", "");
  for (int i = 0; i < 100; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(5 + i);
  request.mutable_positions()->mutable_list()->add_positions(0);
  const grpc::Status status = PredictError(request);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "context window exceeded: the prompt has 100 tokens, bert takes 64");
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason(), "CONTEXT_WINDOW_EXCEEDED");
  EXPECT_EQ(info->metadata().at("prompt_tokens"), "100");
  EXPECT_EQ(info->metadata().at("context_window"), "64");

  request.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  const v1::PredictResponse left = PredictOk(request);
  EXPECT_EQ(left.prompt().tokens_size(), 64);
  EXPECT_EQ(left.prompt().tokens(0).id(), 5 + 36);
  EXPECT_EQ(left.prompt().dropped_token_count(), 36);
  EXPECT_EQ(left.prompt().truncation(), v1::TRUNCATION_LEFT);

  request.mutable_prompt()->set_truncation(v1::TRUNCATION_RIGHT);
  request.mutable_prompt()->set_add_special_tokens(true);
  const v1::PredictResponse right = PredictOk(request);
  EXPECT_EQ(right.prompt().tokens_size(), 64);
  EXPECT_EQ(right.prompt().tokens(0).piece(), "[CLS]");
  EXPECT_EQ(right.prompt().tokens(1).id(), 5);
  EXPECT_EQ(right.prompt().tokens(63).piece(), "[SEP]");
  EXPECT_EQ(right.prompt().dropped_token_count(), 38);
}

TEST_F(RawRpcTest, AMillionCharactersAreRefusedOrCut) {
  v1::PredictRequest request = PredictText("llama", std::string(1'000'000, 'a'));
  EXPECT_EQ(ReasonOf(PredictError(request)), "CONTEXT_WINDOW_EXCEEDED");
  request.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  const v1::PredictResponse response = PredictOk(request);
  EXPECT_EQ(response.prompt().tokens_size(), 128);
  EXPECT_GT(response.prompt().dropped_token_count(), 1000);
  request.mutable_prompt()->set_text(std::string((1 << 20) + 1, 'a'));
  EXPECT_THAT(WrongFields(PredictError(request)), ElementsAre("prompt.text"));
}

TEST_F(RawRpcTest, AnAnswerTooLargeToSendIsRefusedBeforeItIsComputed) {
  v1::PredictRequest request = PredictText("llama", "x");
  request.mutable_candidates()->set_top_k(320);
  for (int i = 0; i < 65536; ++i) request.mutable_positions()->mutable_list()->add_positions(0);
  EXPECT_EQ(ReasonOf(PredictError(request)), "REPLY_TOO_LARGE");
  request.mutable_candidates()->set_full(true);
  const grpc::Status status = PredictError(request);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "DISTRIBUTION_BUDGET");

  v1::TokenizeRequest tokenize;
  tokenize.set_text(std::string(1 << 20, '~'));
  v1::TokenizeResponse tokens;
  grpc::ClientContext context;
  EXPECT_EQ(ReasonOf(shared_->models->Tokenize(&context, tokenize, &tokens)), "REPLY_TOO_LARGE");
}

TEST_F(RawRpcTest, AllWrongFieldsAreNamedAtOnce) {
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
  EXPECT_THAT(
      WrongFields(stream.status),
      testing::UnorderedElementsAre("stopping.max_tokens", "sampling.top_p", "sampling.temperature",
                                    "sampling.logit_bias[320]", "stopping.stop_texts[0]",
                                    "attention.queries", "attention.layers[0]"));
}

TEST_F(RawRpcTest, AGenerationStartsGoesOnAndEnds) {
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

TEST_F(RawRpcTest, AGenerationEndsWithTheContextWindow) {
  const Stream<v1::GenerateResponse> stream =
      Generate(*shared_, GenerateText("llama", "the cat", 128));
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  const v1::GenerateEnd& end = stream.messages.back().end();
  EXPECT_EQ(end.finish_reason(), v1::FINISH_REASON_CONTEXT);
  EXPECT_EQ(end.generated_token_count() + stream.messages[0].start().prompt().tokens_size(), 128);
}

TEST_F(RawRpcTest, TruncationMakesRoomForTheAnswer) {
  v1::GenerateRequest request = GenerateText("llama", std::string(4000, 'x'), 100);
  request.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  const Stream<v1::GenerateResponse> stream = Generate(*shared_, request);
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  EXPECT_EQ(stream.messages[0].start().prompt().tokens_size(), 28);
  EXPECT_EQ(stream.messages.back().end().finish_reason(), v1::FINISH_REASON_LENGTH);
  request.mutable_stopping()->set_max_tokens(128);
  EXPECT_EQ(ReasonOf(Generate(*shared_, request).status), "CONTEXT_WINDOW_EXCEEDED");
}

TEST_F(RawRpcTest, StopIdsStopTextsAndEndOfTextEndAGeneration) {
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

TEST_F(RawRpcTest, AStopTextIsLeftOutOfTheAnswer) {
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

TEST_F(RawRpcTest, WatchingAGenerationChangesNothingAndShowsTheRowsThatGetAttentionShows) {
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

TEST_F(RawRpcTest, ABidirectionalModelGeneratesNothing) {
  const grpc::Status status = Generate(*shared_, GenerateText("bert", "x", 3)).status;
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonOf(status), "NOT_GENERATIVE");
}

TEST_F(RawRpcTest, AttentionComesAsHeaderTilesAndEnd) {
  v1::GetAttentionRequest request = BulkyAttention();
  for (int layer : {-1, 0, 2}) request.mutable_selection()->add_layers(layer);
  for (int64_t query : {-1, 3, 127}) request.mutable_selection()->add_queries(query);
  const Stream<v1::GetAttentionResponse> stream = GetAttention(*shared_, request);
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  ASSERT_THAT(stream.messages, SizeIs(2 + 2 * 4));
  const v1::AttentionHeader& header = stream.messages[0].header();
  EXPECT_THAT(header.layers(), ElementsAre(0, 2));
  EXPECT_THAT(header.heads(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(header.queries(), ElementsAre(3, 127));
  EXPECT_EQ(header.key_count(), 128);
  EXPECT_TRUE(header.causal());
  EXPECT_EQ(header.prompt().tokens_size(), 128);
  int64_t bytes = 0;
  for (int i = 0; i < 8; ++i) {
    const v1::AttentionTile& tile = stream.messages[1 + i].tile();
    EXPECT_EQ(tile.layer(), i < 4 ? 0 : 2);
    EXPECT_EQ(tile.head(), i % 4);
    EXPECT_THAT(tile.queries(), ElementsAre(3, 127));
    EXPECT_THAT(tile.weights().shape(), ElementsAre(2, 128));
    bytes += static_cast<int64_t>(tile.weights().data().size());
    const std::vector<float> weights = Floats(tile.weights());
    double sum = 0;
    for (int key = 0; key < 128; ++key) {
      sum += weights[key];
      if (key > 3) {
        EXPECT_EQ(weights[key], 0);
      }
    }
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  EXPECT_EQ(bytes, header.total_bytes());
  EXPECT_EQ(stream.messages.back().end().tile_count(), 8);
}

TEST_F(RawRpcTest, TopKRowsAreTheLargestOfTheDenseOnes) {
  v1::GetAttentionRequest dense = BulkyAttention();
  dense.mutable_selection()->add_layers(1);
  v1::GetAttentionRequest top_k = dense;
  top_k.mutable_selection()->mutable_top_k()->set_k(5);
  const Stream<v1::GetAttentionResponse> all = GetAttention(*shared_, dense);
  const Stream<v1::GetAttentionResponse> top = GetAttention(*shared_, top_k);
  ASSERT_TRUE(top.status.ok()) << top.status.error_message();
  ASSERT_THAT(top.messages, SizeIs(6));
  for (int head = 0; head < 4; ++head) {
    const std::vector<float> weights = Floats(all.messages[1 + head].tile().weights());
    const v1::TopKWeights& kept = top.messages[1 + head].tile().top_k();
    const std::vector<float> kept_weights = Floats(kept.weights());
    const std::vector<float> dropped = Floats(kept.dropped_mass());
    for (int row = 0; row < 128; ++row) {
      std::vector<std::pair<float, int>> order;  // largest first, ties by smaller key
      for (int key = 0; key <= row; ++key) order.push_back({-weights[row * 128 + key], key});
      std::sort(order.begin(), order.end());
      double mass = dropped[row];
      for (int i = 0; i < 5; ++i) {
        const bool visible = i < static_cast<int>(order.size());
        EXPECT_EQ(kept.keys(row * 5 + i), visible ? order[i].second : -1);
        EXPECT_EQ(kept_weights[row * 5 + i], visible ? -order[i].first : 0);
        mass += kept_weights[row * 5 + i];
      }
      EXPECT_NEAR(mass, 1, 1e-5);
    }
  }
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
  EXPECT_THAT(WrongFields(PredictError(PredictText("llama", "caf\xe9"))),
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
