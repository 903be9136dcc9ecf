// Every limit that the protos state, from both sides, and how requests become jobs.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "server/convert/attention.h"
#include "server/convert/generate.h"
#include "server/convert/indices.h"
#include "server/convert/model.h"
#include "server/convert/predict.h"
#include "server/engine/registry.h"
#include "tests/server/convert_testing.h"
#include "tests/server/golden_models.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<ResolvedPredict> Predict(const std::string& request,
                                        const ServedModel& model = Llama()) {
  return ConvertPredict(FromText<v1::PredictRequest>(request), model, RequestLimits{});
}

absl::StatusOr<ResolvedGenerate> Generate(const std::string& request,
                                          const ServedModel& model = Llama()) {
  return ConvertGenerate(FromText<v1::GenerateRequest>(request), model, RequestLimits{});
}

// A setting, and the field that is wrong with it; "": none.
struct Limit {
  std::string setting;
  std::string wrong_field;
};

void Check(const absl::Status& status, const Limit& limit) {
  const std::string shown = limit.setting.substr(0, 200);
  if (limit.wrong_field.empty()) {
    EXPECT_TRUE(status.ok()) << shown << ": " << status;
  } else {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << shown << ": " << status;
    EXPECT_THAT(WrongFields(status), ElementsAre(limit.wrong_field)) << shown;
  }
}

TEST(ConvertTest, ListsOfLayersHeadsAndPositionsHaveAnEnd) {
  for (const bool one_more : {false, true}) {
    WireIndices indices;
    indices.Resize(one_more ? 65537 : 65536, 1);
    Violations violations;
    CheckIndices("heads", indices, 2, &violations);
    Check(violations.ToStatus(), {"1, 1, ..", one_more ? "heads" : ""});
    const WirePositions positions(indices.begin(), indices.end());
    Check(ResolvePositions("queries", positions, 2, {}).status(),
          {"1, 1, ..", one_more ? "queries" : ""});
    // A longer prompt has as many that differ.
    EXPECT_TRUE(ResolvePositions("queries", positions, 65537, {}).ok());
  }
}

TEST(ConvertTest, PredictLimits) {
  const Limit limits[] = {
      {"candidates { top_k: 0 }", "candidates.top_k"},
      {"candidates { top_k: 1 }", ""},
      {"candidates { top_k: 320 }", ""},
      {"candidates { top_k: 321 }", "candidates.top_k"},
      {"candidates { top_k: -1 }", "candidates.top_k"},
      {"candidates { ids { ids: 0 ids: 319 } }", ""},
      {"candidates { ids { ids: 0 ids: 320 } }", "candidates.ids.ids[1]"},
      {"candidates { ids { ids: -1 } }", "candidates.ids.ids[0]"},
      {"candidates { ids { } }", "candidates.ids.ids"},
      {absl::StrCat("candidates { ids {", Repeat("ids: 5", 65536), "} }"), ""},
      {absl::StrCat("candidates { ids {", Repeat("ids: 5", 65537), "} }"), "candidates.ids.ids"},
      {"candidates { texts { texts: 'the' } }", ""},
      {"candidates { texts { } }", "candidates.texts.texts"},
      {"candidates { texts { texts: 'the' texts: '' } }", "candidates.texts.texts[1]"},
      {"candidates { texts { texts: 'two words' } }", "candidates.texts.texts[0]"},
      {absl::StrCat("candidates { texts {", Repeat("texts: 'the'", 1024), "} }"), ""},
      {absl::StrCat("candidates { texts {", Repeat("texts: 'the'", 1025), "} }"),
       "candidates.texts.texts"},
      {"candidates { full: true }", ""},
      {"candidates { full: false }", "candidates.full"},
      {"positions { all: true }", ""},
      {"positions { all: false }", "positions.all"},
      {"positions { list { positions: 0 positions: -2 } }", ""},
      {"positions { list { } }", "positions.list.positions"},
      {absl::StrCat("candidates { top_k: 1 } positions { list {", Repeat("positions: 0", 65536),
                    "} }"),
       ""},
      {absl::StrCat("positions { list {", Repeat("positions: 0", 65537), "} }"),
       "positions.list.positions"},
  };
  for (const Limit& limit : limits) {
    Check(Predict("prompt { text: 'x' } " + limit.setting).status(), limit);
  }
}

TEST(ConvertTest, PromptLimits) {
  const Limit limits[] = {
      {"", "prompt"},
      {"prompt { }", "prompt"},
      {"prompt { text: '' }", ""},  // the tokenizer adds a token
      {"prompt { text: '' add_special_tokens: false }", "prompt.text"},
      {"prompt { tokens { } }", "prompt.tokens.ids"},
      {"prompt { tokens { } add_special_tokens: true }", ""},
      {"prompt { tokens { ids: 0 ids: 319 } }", ""},
      {"prompt { tokens { ids: 0 ids: 320 } }", "prompt.tokens.ids[1]"},
      {"prompt { tokens { ids: -1 } }", "prompt.tokens.ids[0]"},
      {"prompt { text: 'x' truncation: TRUNCATION_RIGHT }", ""},
      {"prompt { text: 'x' truncation: 4 }", "prompt.truncation"},
      {"prompt { text: 'x' truncation: -1 }", "prompt.truncation"},
      {"prompt { text: '\\xff' }", "prompt.text"},
  };
  for (const Limit& limit : limits) {
    v1::PredictRequest request;
    google::protobuf::TextFormat::ParseFromString(limit.setting, &request);
    if (limit.setting.find("-1 }") != std::string::npos &&
        limit.setting.find("truncation") != std::string::npos) {
      request.mutable_prompt()->set_text("x");
      request.mutable_prompt()->set_truncation(static_cast<v1::Truncation>(-1));
    }
    if (limit.setting.find("truncation: 4") != std::string::npos) {
      request.mutable_prompt()->set_text("x");
      request.mutable_prompt()->set_truncation(static_cast<v1::Truncation>(4));
    }
    if (limit.setting.find("xff") != std::string::npos) request.mutable_prompt()->set_text("\xff");
    Check(ConvertPredict(request, Llama(), RequestLimits{}).status(), limit);
  }
}

TEST(ConvertTest, ThePromptIsBoundedInBytes) {
  v1::PredictRequest request;
  RequestLimits limits;
  limits.max_prompt_bytes = 10;
  request.mutable_prompt()->set_text(std::string(10, 'x'));
  EXPECT_TRUE(ConvertPredict(request, Llama(), limits).ok());
  request.mutable_prompt()->set_text(std::string(11, 'x'));
  const absl::Status status = ConvertPredict(request, Llama(), limits).status();
  EXPECT_THAT(WrongFields(status), ElementsAre("prompt.text"));
  EXPECT_THAT(status.message(), HasSubstr("has 11 bytes; at most 10"));
}

TEST(ConvertTest, TextFormLimitsOfGenerate) {
  const Limit limits[] = {
      {"sampling { temperature: 0 }", ""},
      {"sampling { temperature: 100 }", ""},
      {"sampling { temperature: 100.01 }", "sampling.temperature"},
      {"sampling { temperature: -0.01 }", "sampling.temperature"},
      {"sampling { temperature: nan }", "sampling.temperature"},
      {"sampling { temperature: inf }", "sampling.temperature"},
      {"sampling { top_k: 0 }", "sampling.top_k"},
      {"sampling { top_k: 1 }", ""},
      {"sampling { top_k: 320 }", ""},
      {"sampling { top_k: 321 }", "sampling.top_k"},
      {"sampling { top_p: 0 }", "sampling.top_p"},
      {"sampling { top_p: -0.0 }", "sampling.top_p"},
      {"sampling { top_p: 1e-45 }", ""},
      {"sampling { top_p: 1 }", ""},
      {"sampling { top_p: 1.0001 }", "sampling.top_p"},
      {"sampling { top_p: nan }", "sampling.top_p"},
      {"sampling { min_p: 0 }", ""},
      {"sampling { min_p: 1 }", ""},
      {"sampling { min_p: 1.0001 }", "sampling.min_p"},
      {"sampling { min_p: -1e-45 }", "sampling.min_p"},
      {"sampling { min_p: nan }", "sampling.min_p"},
      {"sampling { repetition_penalty: 0 }", "sampling.repetition_penalty"},
      {"sampling { repetition_penalty: 0.001 }", ""},
      {"sampling { repetition_penalty: 10 }", ""},
      {"sampling { repetition_penalty: 10.001 }", "sampling.repetition_penalty"},
      {"sampling { repetition_penalty: nan }", "sampling.repetition_penalty"},
      {"sampling { presence_penalty: -10 }", ""},
      {"sampling { presence_penalty: 10 }", ""},
      {"sampling { presence_penalty: 10.001 }", "sampling.presence_penalty"},
      {"sampling { presence_penalty: -10.001 }", "sampling.presence_penalty"},
      {"sampling { presence_penalty: nan }", "sampling.presence_penalty"},
      {"sampling { frequency_penalty: -10 }", ""},
      {"sampling { frequency_penalty: 10 }", ""},
      {"sampling { frequency_penalty: 10.001 }", "sampling.frequency_penalty"},
      {"sampling { frequency_penalty: -10.001 }", "sampling.frequency_penalty"},
      {"sampling { frequency_penalty: nan }", "sampling.frequency_penalty"},
      {"sampling { seed: -9223372036854775808 }", ""},
      {"sampling { logit_bias { key: 0 value: 100 } }", ""},
      {"sampling { logit_bias { key: 319 value: -100 } }", ""},
      {"sampling { logit_bias { key: 1 value: -inf } }", ""},
      {"sampling { logit_bias { key: 1 value: inf } }", "sampling.logit_bias[1]"},
      {"sampling { logit_bias { key: 1 value: nan } }", "sampling.logit_bias[1]"},
      {"sampling { logit_bias { key: 1 value: 100.01 } }", "sampling.logit_bias[1]"},
      {"sampling { logit_bias { key: 320 value: 1 } }", "sampling.logit_bias[320]"},
      {"sampling { logit_bias { key: -1 value: 1 } }", "sampling.logit_bias[-1]"},
      {"stopping { max_tokens: 0 }", "stopping.max_tokens"},
      {"stopping { max_tokens: 1 }", ""},
      {"stopping { max_tokens: 128 }", ""},
      {"stopping { max_tokens: 129 }", "stopping.max_tokens"},
      {"stopping { max_tokens: -1 }", "stopping.max_tokens"},
      {"stopping { stop_texts: '' }", "stopping.stop_texts[0]"},
      {absl::StrCat("stopping { stop_texts: '", std::string(256, 'x'), "' }"), ""},
      {absl::StrCat("stopping { stop_texts: '", std::string(257, 'x'), "' }"),
       "stopping.stop_texts[0]"},
      {absl::StrCat("stopping {", Repeat("stop_texts: 'x'", 16), "}"), ""},
      {absl::StrCat("stopping {", Repeat("stop_texts: 'x'", 17), "}"), "stopping.stop_texts"},
      {"stopping { stop_ids: 0 stop_ids: 319 }", ""},
      {"stopping { stop_ids: 320 }", "stopping.stop_ids[0]"},
      {"stopping { stop_ids: 1 stop_ids: -1 }", "stopping.stop_ids[1]"},
      {absl::StrCat("stopping {", Repeat("stop_ids: 1", 1024), "}"), ""},
      {absl::StrCat("stopping {", Repeat("stop_ids: 1", 1025), "}"), "stopping.stop_ids"},
      {"top_candidates: 0", ""},
      {"top_candidates: 320", ""},
      {"top_candidates: 321", "top_candidates"},
      {"top_candidates: -1", "top_candidates"},
      {"attention { layers: -3 layers: 2 }", ""},
      {"attention { layers: 3 }", "attention.layers[0]"},
      {"attention { layers: 0 layers: -4 }", "attention.layers[1]"},
      {"attention { heads: -4 heads: 3 }", ""},
      {"attention { heads: 4 }", "attention.heads[0]"},
      {"attention { heads: -5 }", "attention.heads[0]"},
      {"attention { top_k { k: 1 } }", ""},
      {"attention { top_k { k: 2147483647 } }", ""},
      {"attention { top_k { k: 0 } }", "attention.top_k.k"},
      {"attention { top_k { k: -1 } }", "attention.top_k.k"},
      {"attention { queries: 0 }", "attention.queries"},
  };
  for (const Limit& limit : limits) {
    Check(Generate("prompt { text: 'x' } " + limit.setting).status(), limit);
  }
}

TEST(ConvertTest, LogitBiasesAreBoundedInNumberAndLeaveAToken) {
  v1::GenerateRequest request;
  request.mutable_prompt()->set_text("x");
  auto& bias = *request.mutable_sampling()->mutable_logit_bias();
  for (int id = 0; id < 311; ++id) bias[id] = -std::numeric_limits<float>::infinity();
  EXPECT_TRUE(ConvertGenerate(request, Llama(), RequestLimits{}).ok());
  bias[311] = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(WrongFields(ConvertGenerate(request, Llama(), RequestLimits{}).status()),
              ElementsAre("sampling.logit_bias"))
      << "rows 312 to 319 are no tokens";
  for (int id = 0; id < 1025; ++id) bias[id] = 0;
  EXPECT_THAT(WrongFields(ConvertGenerate(request, Llama(), RequestLimits{}).status()),
              ElementsAre("sampling.logit_bias"));
}

TEST(ConvertTest, AMillionWrongIdsAreOneShortError) {
  v1::PredictRequest request;
  for (int i = 0; i < 1'000'000; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(-1);
  const absl::Status status = ConvertPredict(request, Llama(), RequestLimits{}).status();
  EXPECT_EQ(WrongFields(status).size(), 16u);
  EXPECT_LT(status.message().size(), 4000u);
  EXPECT_THAT(status.message(), HasSubstr("999984 more"));
}

TEST(ConvertTest, SamplingDefaultsToGreedyUnlessAFieldNeedsChance) {
  const auto plain = Generate("prompt { text: 'x' }");
  EXPECT_EQ(plain->job.sampling.temperature, 0);
  EXPECT_FALSE(plain->seed.has_value());
  for (const char* field : {"top_k: 5", "top_p: 0.5", "min_p: 0.1", "seed: 7"}) {
    const auto drawn = Generate(absl::StrCat("prompt { text: 'x' } sampling {", field, "}"));
    EXPECT_EQ(drawn->job.sampling.temperature, 1) << field;
    EXPECT_TRUE(drawn->seed.has_value()) << field;
  }
  const auto seeded = Generate("prompt { text: 'x' } sampling { seed: -7 temperature: 0.5 }");
  EXPECT_EQ(seeded->seed, -7);
  EXPECT_EQ(seeded->job.sampling.temperature, 0.5f);
  const auto cold = Generate("prompt { text: 'x' } sampling { seed: 7 temperature: 0 }");
  EXPECT_FALSE(cold->seed.has_value());
}

// Its rotary frequencies are others beyond 24 tokens, so that is where shorter prompts end.
TEST(ConvertTest, LongRopeEndsAPromptOfTheShortPartThere) {
  const auto model = LoadGolden("phi3-long-f16");
  ASSERT_NE(model, nullptr);
  const auto max_tokens = [&](int prompt_tokens) {
    const auto resolved =
        Generate(absl::StrCat("prompt { tokens {", Repeat("ids: 1", prompt_tokens), "} }"), *model);
    EXPECT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_TRUE(resolved->job.ends_at_context);
    return resolved->job.max_tokens;
  };
  EXPECT_EQ(max_tokens(1), 24);
  EXPECT_EQ(max_tokens(24), 1);
  EXPECT_EQ(max_tokens(25), 39);
  EXPECT_EQ(max_tokens(63), 1);
}

TEST(ConvertTest, MaxTokensDefaultsToWhatIsLeftOfTheWindow) {
  const auto plain = Generate("prompt { tokens { ids: 1 } }");
  EXPECT_EQ(plain->job.max_tokens, 127);
  EXPECT_TRUE(plain->job.ends_at_context);
  const auto few = Generate("prompt { tokens { ids: 1 } } stopping { max_tokens: 5 }");
  EXPECT_EQ(few->job.max_tokens, 5);
  EXPECT_FALSE(few->job.ends_at_context);
  EXPECT_THAT(few->job.end_of_text_ids, ElementsAre(309));
  const auto full = Generate(absl::StrCat("prompt { tokens {", Repeat("ids: 1", 127), "} }"));
  EXPECT_EQ(full->job.max_tokens, 1);
  const auto over = Generate(absl::StrCat("prompt { tokens {", Repeat("ids: 1", 128), "} }"));
  EXPECT_EQ(over.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorDetails(over.status()).reason, "CONTEXT_WINDOW_EXCEEDED");
  const auto ignoring = Generate("prompt { text: 'x' } stopping { ignore_end_of_text: true }");
  EXPECT_THAT(ignoring->job.end_of_text_ids, IsEmpty());
}

TEST(ConvertTest, TruncationKeepsTheTokensThatTheTokenizerAdds) {
  const std::string text(300, '7');
  for (const char* side : {"TRUNCATION_LEFT", "TRUNCATION_RIGHT"}) {
    const auto resolved = Predict(absl::StrCat("prompt { text: '", text, "' truncation: ", side,
                                               "}", "positions { all: true }"),
                                  Bert());
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->prompt.size(), 64);
    EXPECT_EQ(resolved->prompt.ids.front(), 2);
    EXPECT_EQ(resolved->prompt.ids.back(), 3);
    EXPECT_GT(resolved->prompt.dropped, 0);
    const int64_t covered = resolved->prompt.offsets[62].end;
    const int64_t first = resolved->prompt.offsets[1].begin;
    if (side == std::string("TRUNCATION_LEFT")) {
      EXPECT_EQ(covered, 300);
      EXPECT_GT(first, 0);
    } else {
      EXPECT_EQ(first, 0);
      EXPECT_LT(covered, 300);
    }
  }
}

TEST(ConvertTest, ARangeMayEndWhereThePromptDoes) {
  EXPECT_EQ(ResolveEnd("end", 3, 3).value_or(-1), 3);
  EXPECT_EQ(ResolveEnd("end", -1, 3).value_or(-1), 2);
  for (int end : {-4, 4}) {
    const auto resolved = ResolveEnd("end", end, 3);
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(resolved.status().message(), HasSubstr("must be in [-3, 3]"));
  }
}

TEST(ConvertTest, PositionsPastThePromptAreOutOfRange) {
  for (int position : {-4, 3}) {
    const auto resolved = Predict(absl::StrCat(
        "prompt { tokens { ids: 1 ids: 2 ids: 3 } } positions { list { positions: 0 positions: ",
        position, "} }"));
    EXPECT_EQ(resolved.status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_THAT(resolved.status().message(), HasSubstr("must be in [-3, 2]"));
  }
  const auto resolved = Predict(
      "prompt { tokens { ids: 1 ids: 2 ids: 3 } } positions { list { positions: -3 positions: 2 "
      "positions: -3 } }");
  ASSERT_TRUE(resolved.ok());
  EXPECT_THAT(resolved->positions, ElementsAre(0, 2, 0));
  EXPECT_THAT(resolved->DistinctPositions(), ElementsAre(0, 2));
}

TEST(ConvertTest, AModelWithoutATokenizerTakesIdsOnly) {
  EXPECT_TRUE(Predict("prompt { tokens { ids: 1 } }", WithoutTokenizer()).ok());
  for (const char* request :
       {"prompt { text: 'x' }", "prompt { tokens { ids: 1 } add_special_tokens: true }",
        "prompt { tokens { ids: 1 } } candidates { texts { texts: 'x' } }"}) {
    const absl::Status status = Predict(request, WithoutTokenizer()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << request;
    EXPECT_EQ(GetErrorDetails(status).reason, "NO_TOKENIZER") << request;
  }
  const absl::Status status =
      Generate("prompt { tokens { ids: 1 } } stopping { stop_texts: 'x' }", WithoutTokenizer())
          .status();
  EXPECT_EQ(GetErrorDetails(status).reason, "NO_TOKENIZER");
  v1::Token token;
  FillToken(nullptr, 5, {}, &token);
  EXPECT_EQ(token.id(), 5);
  EXPECT_EQ(token.text(), "");
}

TEST(ConvertTest, AttentionSelectionsAreResolvedSortedAndWithoutRepeats) {
  const ModelConfig& config = Llama().model->config();
  const auto choice =
      ResolveSelection(FromText<v1::AttentionSelection>(
                           "layers: -1 layers: 0 layers: 2 queries: 4 queries: -1 queries: 4"),
                       config, 6);
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(choice->layers, ElementsAre(0, 2));
  EXPECT_THAT(choice->heads, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(choice->queries, ElementsAre(4, 5));
  EXPECT_EQ(SelectionBytes(*choice, 6), 2 * 4 * 2 * 6 * 4);
  const auto all =
      ResolveSelection(FromText<v1::AttentionSelection>("top_k { k: 100 }"), config, 6);
  EXPECT_EQ(all->top_k, 6);
  EXPECT_EQ(SelectionBytes(*all, 6), 3 * 4 * 6 * (6 * 8 + 4));
  EXPECT_EQ(
      ResolveSelection(FromText<v1::AttentionSelection>("queries: 6"), config, 6).status().code(),
      absl::StatusCode::kOutOfRange);
}

TEST(ConvertTest, AttentionIsPriced) {
  const AttentionChoice one{.layers = {0}, .heads = {0}, .queries = {0}};
  EXPECT_EQ(SelectionBytes(one, 250), 1000);
  const AttentionChoice some{.layers = {0, 2}, .heads = {0, 1, 2}, .queries = {0, 5}};
  EXPECT_EQ(SelectionBytes(some, 250), 12000);
  EXPECT_TRUE(CheckAttentionBytes(1000, 1000).ok());
  const absl::Status over = CheckAttentionBytes(1004, 1000);
  EXPECT_EQ(over.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(over).reason, "ATTENTION_BUDGET");
  EXPECT_THAT(over.message(), HasSubstr("is 1004 bytes and the limit is 1000"));
  // A row that fits no tile is refused.
  EXPECT_TRUE(CheckRowBytes(one, kMaxTensorBytes / 4).ok());
  EXPECT_FALSE(CheckRowBytes(one, kMaxTensorBytes / 4 + 1).ok());
  AttentionChoice top_k = one;
  top_k.top_k = kMaxTensorBytes;
  EXPECT_FALSE(CheckRowBytes(top_k, kMaxTensorBytes / 4).ok());
}

TEST(ConvertTest, TheAttentionOfAGenerationIsPricedOverAllItsTokens) {
  RequestLimits limits;
  const auto request = FromText<v1::GenerateRequest>(
      "prompt { tokens { ids: 1 ids: 2 } } stopping { max_tokens: 3 } attention { layers: 0 }");
  // Rows of 2, 3 and 4 keys for 4 heads.
  limits.max_attention_bytes = 4 * 4 * (2 + 3 + 4);
  EXPECT_TRUE(ConvertGenerate(request, Llama(), limits).ok());
  limits.max_attention_bytes -= 1;
  EXPECT_EQ(GetErrorDetails(ConvertGenerate(request, Llama(), limits).status()).reason,
            "ATTENTION_BUDGET");
}

TEST(ConvertTest, DurationsAreSplitIntoSecondsAndNanoseconds) {
  google::protobuf::Duration duration;
  FillDuration(absl::Seconds(3) + absl::Nanoseconds(5), &duration);
  EXPECT_EQ(duration.seconds(), 3);
  EXPECT_EQ(duration.nanos(), 5);
  FillDuration(-absl::Seconds(1), &duration);
  EXPECT_EQ(duration.seconds(), 0);
}

// --- Models --------------------------------------------------------------------------------------

TEST(FillModelTest, SaysHowAModelMixes) {
  const auto mixing_of = [](const std::string& name) {
    v1::Model model;
    FillModel(*LoadGolden(name), &model);
    return model.mixing();
  };
  EXPECT_EQ(mixing_of("gpt2-f32"), v1::MIXING_PATTERN_ATTENTION);
  EXPECT_EQ(mixing_of("mixing-attention"), v1::MIXING_PATTERN_ATTENTION);
  EXPECT_EQ(mixing_of("mixing-last-word"), v1::MIXING_PATTERN_LAST_WORD);
  EXPECT_EQ(mixing_of("mixing-average"), v1::MIXING_PATTERN_AVERAGE);
  EXPECT_EQ(mixing_of("mixing-weighted"), v1::MIXING_PATTERN_WEIGHTED);
}

TEST(FillModelTest, AMixingModelHasOneLayerAndNoFeedForward) {
  v1::Model model;
  FillModel(*LoadGolden("mixing-attention-pos"), &model);
  EXPECT_EQ(model.architecture(), "heed_mixing");
  EXPECT_EQ(model.direction(), v1::ATTENTION_DIRECTION_CAUSAL);
  EXPECT_EQ(model.layer_count(), 1);
  EXPECT_EQ(model.head_count(), 1);
  EXPECT_EQ(model.kv_head_count(), 1);
  EXPECT_EQ(model.head_dim(), 20);
  EXPECT_EQ(model.hidden_size(), 20);
  EXPECT_EQ(model.feed_forward_size(), 0);
  EXPECT_EQ(model.context_window(), 64);
  EXPECT_EQ(model.checkpoint_dtype(), "F16");
  EXPECT_FALSE(model.has_tokenizer());
}

}  // namespace
}  // namespace heed
