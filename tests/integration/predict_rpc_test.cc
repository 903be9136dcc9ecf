// Predict over the wire, without heed's own client.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/raw_requests.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class PredictRpcTest : public SharedServerTest {
 protected:
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
};

TEST_F(PredictRpcTest, AnUnknownModelIsNotFoundWithASuggestion) {
  const grpc::Status status = PredictError(PredictText("lama", "hello"));
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(ReasonOf(status), "MODEL_NOT_FOUND");
  EXPECT_THAT(status.error_message(), HasSubstr("Did you mean \"llama\"?"));
}

TEST_F(PredictRpcTest, PredictAnswersAtTheLastPositionByDefault) {
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

TEST_F(PredictRpcTest, ASecondCallIsAnsweredTheSameWithoutComputingItsPromptAgain) {
  v1::PredictRequest request;
  request.set_model("llama");
  for (int id = 0; id < 40; ++id) request.mutable_prompt()->mutable_tokens()->add_ids(7 * id);
  request.mutable_candidates()->set_full(true);
  v1::PredictResponse cold = PredictOk(request), warm = PredictOk(request);
  EXPECT_EQ(cold.timings().cached_token_count(), 0);
  EXPECT_EQ(warm.timings().cached_token_count(), 32);
  cold.clear_timings();
  warm.clear_timings();
  EXPECT_EQ(warm.SerializeAsString(), cold.SerializeAsString());
  request.mutable_positions()->set_all(true);
  const v1::PredictResponse all = PredictOk(request);
  EXPECT_EQ(all.timings().cached_token_count(), 0);
  EXPECT_EQ(all.predictions(39).log_probabilities().data(),
            cold.predictions(0).log_probabilities().data());
}

TEST_F(PredictRpcTest, PredictAtEveryPositionScoresTheRealNextToken) {
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

TEST_F(PredictRpcTest, ChosenPositionsAreAnsweredInTheOrderGiven) {
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

TEST_F(PredictRpcTest, NamedCandidatesComeInTheOrderGivenWithTheirRank) {
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

TEST_F(PredictRpcTest, CandidateTextsAreFoundWithAndWithoutASpace) {
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

TEST_F(PredictRpcTest, AMaskedModelPredictsItsMasks) {
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

TEST_F(PredictRpcTest, APromptLongerThanTheWindowIsRefusedWithBothNumbersOrCut) {
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

TEST_F(PredictRpcTest, AMillionCharactersAreRefusedOrCut) {
  v1::PredictRequest request = PredictText("llama", std::string(1'000'000, 'a'));
  EXPECT_EQ(ReasonOf(PredictError(request)), "CONTEXT_WINDOW_EXCEEDED");
  request.mutable_prompt()->set_truncation(v1::TRUNCATION_LEFT);
  const v1::PredictResponse response = PredictOk(request);
  EXPECT_EQ(response.prompt().tokens_size(), 128);
  EXPECT_GT(response.prompt().dropped_token_count(), 1000);
  request.mutable_prompt()->set_text(std::string((1 << 20) + 1, 'a'));
  EXPECT_THAT(WrongFields(PredictError(request)), ElementsAre("prompt.text"));
}

TEST_F(PredictRpcTest, AnAnswerTooLargeToSendIsRefusedBeforeItIsComputed) {
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

}  // namespace
}  // namespace heed
