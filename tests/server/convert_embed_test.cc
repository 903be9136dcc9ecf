// Every limit of Embed from both sides, its defaults, and its answer.
#include "server/convert/embed.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "server/convert/model.h"
#include "tests/server/convert_testing.h"
#include "tests/server/fake_language_model.h"
#include "tests/server/golden_models.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<ResolvedEmbed> Convert(const std::string& request,
                                      const ServedModel& model = Llama()) {
  return ConvertEmbed(FromText<v1::EmbedRequest>(request), model, RequestLimits{});
}

TEST(ConvertEmbedTest, Limits) {
  const std::string one = "prompts { text: 'the' } ";
  const std::pair<std::string, std::string> limits[] = {
      {one, ""},
      {"", "prompts"},
      {Repeat(one, 256), ""},
      {Repeat(one, 257), "prompts"},
      {one + "prompts { }", "prompts[1]"},
      {one + "prompts { text: '' add_special_tokens: false }", "prompts[1].text"},
      {one + "prompts { tokens { } }", "prompts[1].tokens.ids"},
      {one + "prompts { tokens { ids: 319 } }", ""},
      {one + "prompts { tokens { ids: 0 ids: 320 } }", "prompts[1].tokens.ids[1]"},
      {one + "prompts { tokens { ids: -1 } }", "prompts[1].tokens.ids[0]"},
      {one + "prompts { text: 'a' truncation: 9 }", "prompts[1].truncation"},
      {one + "pooling: POOLING_MEAN", ""},
      {one + "pooling: 4", "pooling"},
      {one + "pooling: -1", "pooling"},
      {one + "dimensions: 0", "dimensions"},
      {one + "dimensions: 1", ""},
      {one + "dimensions: 40", ""},
      {one + "dimensions: 41", "dimensions"},
      {one + "dimensions: -1", "dimensions"},
  };
  for (const auto& [setting, wrong_field] : limits) {
    const absl::Status status = Convert(setting).status();
    const std::string shown = setting.substr(0, 200);
    if (wrong_field.empty()) {
      EXPECT_TRUE(status.ok()) << shown << ": " << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << shown << ": " << status;
      EXPECT_THAT(WrongFields(status), ElementsAre(wrong_field)) << shown;
    }
  }
}

TEST(ConvertEmbedTest, AllWrongFieldsComeTogether) {
  const absl::Status status =
      Convert("prompts { } prompts { tokens { ids: 999 } } pooling: 77 dimensions: 0").status();
  EXPECT_THAT(WrongFields(status),
              ElementsAre("prompts[0]", "prompts[1].tokens.ids[0]", "pooling", "dimensions"));
}

TEST(ConvertEmbedTest, ThePromptIsBoundedInBytes) {
  const absl::Status status =
      ConvertEmbed(FromText<v1::EmbedRequest>("prompts { text: 'a' } prompts { text: 'four' }"),
                   Llama(), {.max_prompt_bytes = 3})
          .status();
  EXPECT_THAT(WrongFields(status), ElementsAre("prompts[1].text"));
}

TEST(ConvertEmbedTest, TheDefaultsAreTheModels) {
  const auto causal = Convert("prompts { text: 'the' }");
  ASSERT_TRUE(causal.ok()) << causal.status();
  EXPECT_EQ(causal->job.pooling, (PoolingConfig{PoolingKind::kLast, false}));
  EXPECT_EQ(causal->job.dimensions, 40);
  EXPECT_FALSE(causal->job.token_vectors);
  const auto bidirectional = Convert("prompts { text: 'the' }", Bert());
  ASSERT_TRUE(bidirectional.ok()) << bidirectional.status();
  EXPECT_EQ(bidirectional->job.pooling, (PoolingConfig{PoolingKind::kMean, false}));
}

TEST(ConvertEmbedTest, WhatTheCallSaysComesBeforeWhatTheFolderSays) {
  ServedModel model;
  model.model = std::make_unique<FakeLanguageModel>();
  model.pooling = {PoolingKind::kFirst, true};
  const std::string ids = "prompts { tokens { ids: 1 } } ";
  EXPECT_EQ(Convert(ids, model)->job.pooling, (PoolingConfig{PoolingKind::kFirst, true}));
  EXPECT_EQ(Convert(ids + "pooling: POOLING_LAST", model)->job.pooling,
            (PoolingConfig{PoolingKind::kLast, true}));
  EXPECT_EQ(Convert(ids + "normalize: false pooling: POOLING_MEAN", model)->job.pooling,
            (PoolingConfig{PoolingKind::kMean, false}));
  EXPECT_EQ(Convert(ids + "normalize: true pooling: POOLING_CLS", model)->job.pooling,
            (PoolingConfig{PoolingKind::kFirst, true}));
}

TEST(ConvertEmbedTest, AModelWithoutATokenizerTakesIdsOnly) {
  const absl::Status text =
      Convert("prompts { tokens { ids: 1 } } prompts { text: 'a' }", WithoutTokenizer()).status();
  EXPECT_EQ(text.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorDetails(text).reason, "NO_TOKENIZER");
  const auto ids = Convert("prompts { tokens { ids: 1 ids: 2 } }", WithoutTokenizer());
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(ids->TokenLists(), ElementsAre(ElementsAre(1, 2)));
}

TEST(ConvertEmbedTest, ATextThatIsTooLongIsNamedOrCut) {
  const std::string ids = Repeat("ids: 7", 129);
  const absl::Status status =
      Convert(absl::StrCat("prompts { tokens { ids: 1 } } prompts { tokens {", ids, "} }"))
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorDetails(status).reason, "CONTEXT_WINDOW_EXCEEDED");
  EXPECT_THAT(status.message(), HasSubstr("prompts[1] has 129 tokens"));
  const auto cut =
      Convert(absl::StrCat("prompts { tokens {", ids, "} truncation: TRUNCATION_LEFT }"));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->prompts[0].size(), 128);
  EXPECT_EQ(cut->prompts[0].dropped, 1);
}

// --- Budgets -------------------------------------------------------------------------------------

// A model of one token a row, whose sizes a test chooses.
ServedModel Sized(int64_t width, int64_t context_window) {
  ModelConfig config = FakeConfig();
  config.width = width;
  config.context_window = context_window;
  ServedModel model;
  model.name = "sized";
  model.model = std::make_unique<FakeLanguageModel>(config);
  return model;
}

// `texts` prompts of `tokens` tokens.
std::string Prompts(int texts, int tokens, const std::string& more = "") {
  return absl::StrCat(
      Repeat(absl::StrCat("prompts { tokens {", Repeat("ids: 1", tokens), "} }"), texts), more);
}

void ExpectBudget(const absl::Status& status, int64_t bytes, int64_t limit) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, "EMBEDDING_BUDGET");
  EXPECT_THAT(
      details.metadata,
      ElementsAre(std::pair<std::string, std::string>("requested_bytes", absl::StrCat(bytes)),
                  std::pair<std::string, std::string>("limit_bytes", absl::StrCat(limit))));
  EXPECT_THAT(status.message(), HasSubstr(absl::StrCat(bytes, " bytes and the limit is ", limit)));
}

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(ConvertEmbedTest, TheTokensOfOneTextAreBounded) {
  const ServedModel model = Sized(/*width=*/1024, /*context_window=*/512);
  EXPECT_TRUE(Convert(Prompts(1, 256, "token_vectors: true"), model).ok());
  const absl::Status status = Convert(Prompts(1, 257, "token_vectors: true"), model).status();
  ExpectBudget(status, 257 * 1024 * 4, kMiB);
  EXPECT_THAT(status.message(), HasSubstr("prompts[0]"));
  EXPECT_TRUE(Convert(Prompts(1, 257), model).ok());
}

TEST(ConvertEmbedTest, AllVectorsTogetherAreBounded) {
  // Each text has 1 + 191 vectors of 4 KiB: four of them make 3 MiB.
  const ServedModel model = Sized(/*width=*/1024, /*context_window=*/512);
  EXPECT_TRUE(Convert(Prompts(4, 191, "token_vectors: true"), model).ok());
  ExpectBudget(
      Convert(Prompts(4, 191, "token_vectors: true prompts { tokens { ids: 1 } }"), model).status(),
      3 * kMiB + 2 * 4096, 3 * kMiB);
}

TEST(ConvertEmbedTest, PooledVectorsAreBoundedWithoutTokens) {
  const ServedModel model = Sized(/*width=*/4096, /*context_window=*/4);
  EXPECT_TRUE(Convert(Prompts(192, 1), model).ok());
  ExpectBudget(Convert(Prompts(193, 1), model).status(), 193 * 4096 * 4, 3 * kMiB);
  EXPECT_TRUE(Convert(Prompts(193, 1, "dimensions: 100"), model).ok());
}

TEST(ConvertEmbedTest, OneVectorFitsATensor) {
  const ServedModel model = Sized(/*width=*/(1 << 18) + 1, /*context_window=*/4);
  ExpectBudget(Convert(Prompts(1, 1), model).status(), kMiB + 4, kMiB);
  EXPECT_TRUE(Convert(Prompts(1, 1, "dimensions: 262144"), model).ok());
}

// What the tokens of the texts take on the wire counts too, and is known before anything is run.
TEST(ConvertEmbedTest, AnAnswerThatCannotBeSentIsRefusedBeforehand) {
  const ServedModel model = Sized(/*width=*/3072, /*context_window=*/16384);
  v1::EmbedResponse response;
  const auto fits = Convert(Prompts(256, 1), model);
  ASSERT_TRUE(fits.ok());
  EXPECT_TRUE(BeginEmbedResponse(*fits, model, &response).ok());
  const auto too_many = Convert(Prompts(256, 1200), model);
  ASSERT_TRUE(too_many.ok());
  response.Clear();
  const absl::Status status = BeginEmbedResponse(*too_many, model, &response);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(status).reason, "REPLY_TOO_LARGE");
  EXPECT_LT(response.embeddings_size(), 256);
}

// --- The answer ----------------------------------------------------------------------------------

std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

TEST(ConvertEmbedTest, TheAnswerHoldsEveryTextInItsPlace) {
  const ServedModel model = Sized(/*width=*/2, /*context_window=*/8);
  auto resolved = Convert(
      "prompts { tokens { ids: 4 ids: 9 } } prompts { tokens { ids: 5 } } dimensions: 1 "
      "token_vectors: true pooling: POOLING_CLS normalize: true",
      model);
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  resolved->prompts[0].tokenize_time = absl::Milliseconds(2);
  resolved->prompts[1].tokenize_time = absl::Milliseconds(3);
  v1::EmbedResponse response;
  ASSERT_TRUE(BeginEmbedResponse(*resolved, model, &response).ok());
  const std::vector<EmbeddedText> texts = {{{1}, {1, 2, 3, 4}}, {{7}, {5, 6}}};
  FinishEmbedResponse(*resolved, texts, {absl::Milliseconds(4), absl::Milliseconds(5)}, &response);

  EXPECT_EQ(response.model().name(), "sized");
  EXPECT_EQ(response.pooling(), v1::POOLING_CLS);
  EXPECT_TRUE(response.normalized());
  ASSERT_EQ(response.embeddings_size(), 2);
  const v1::TextEmbedding& first = response.embeddings(0);
  ASSERT_EQ(first.prompt().tokens_size(), 2);
  EXPECT_EQ(first.prompt().tokens(1).id(), 9);
  EXPECT_EQ(first.vector().dtype(), v1::DATA_TYPE_F32);
  EXPECT_THAT(first.vector().shape(), ElementsAre(1));
  EXPECT_THAT(Floats(first.vector()), ElementsAre(1));
  EXPECT_THAT(first.token_vectors().shape(), ElementsAre(2, 2));
  EXPECT_THAT(Floats(first.token_vectors()), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(response.embeddings(1).token_vectors().shape(), ElementsAre(1, 2));
  EXPECT_EQ(response.timings().tokenize().nanos(), 5'000'000);
  EXPECT_EQ(response.timings().queue().nanos(), 4'000'000);
  EXPECT_EQ(response.timings().compute().nanos(), 5'000'000);
}

TEST(ConvertEmbedTest, TokenVectorsComeOnlyWhenAskedFor) {
  const ServedModel model = Sized(/*width=*/2, /*context_window=*/8);
  const auto resolved = Convert(Prompts(1, 2), model);
  v1::EmbedResponse response;
  ASSERT_TRUE(BeginEmbedResponse(*resolved, model, &response).ok());
  FinishEmbedResponse(*resolved, std::vector<EmbeddedText>{{{1, 2}, {}}}, {}, &response);
  EXPECT_FALSE(response.embeddings(0).has_token_vectors());
  EXPECT_EQ(response.pooling(), v1::POOLING_MEAN);
  EXPECT_FALSE(response.normalized());
}

TEST(ConvertModelTest, EveryModelEmbedsAndAMaskIsSpelledOut) {
  v1::Model bert;
  FillModel(Bert(), &bert);
  EXPECT_EQ(bert.tokenizer().mask_text(), "[MASK]");
  EXPECT_THAT(bert.capabilities(), ::testing::Contains(v1::CAPABILITY_EMBED));
  v1::Model llama;
  FillModel(Llama(), &llama);
  EXPECT_THAT(llama.tokenizer().mask_text(), IsEmpty());
  EXPECT_FALSE(llama.tokenizer().has_mask_id());
  EXPECT_THAT(llama.capabilities(), ::testing::Contains(v1::CAPABILITY_EMBED));
}

}  // namespace
}  // namespace heed
