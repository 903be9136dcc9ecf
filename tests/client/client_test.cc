#include "client/client.h"

#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/connect_to.h"
#include "tests/client/fake_server.h"

namespace heed {
namespace {

using testing::ConnectTo;
using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::HeedError;

TEST(ClientTest, ListsModelsWithEveryField) {
  FakeServer server;
  const auto models = ConnectTo(server)->ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1u);
  const ModelInfo& model = models->front();
  EXPECT_EQ(model.identity.name, "decoder");
  EXPECT_EQ(model.identity.digest.substr(0, 11), "sha256:0123");
  EXPECT_EQ(model.architecture, "llama");
  EXPECT_EQ(model.direction, AttentionDirection::kCausal);
  EXPECT_EQ(model.parameter_count, 1234567);
  EXPECT_EQ(model.layer_count, 2);
  EXPECT_EQ(model.head_count, 2);
  EXPECT_EQ(model.kv_head_count, 1);
  EXPECT_EQ(model.head_dim, 64);
  EXPECT_EQ(model.hidden_size, 128);
  EXPECT_EQ(model.feed_forward_size, 512);
  EXPECT_EQ(model.vocabulary_size, 1000);
  EXPECT_EQ(model.context_window, 256);
  EXPECT_EQ(model.checkpoint_dtype, "BF16");
  EXPECT_EQ(model.compute_dtype, "F32");
  EXPECT_EQ(model.kv_cache_dtype, "F16");
  EXPECT_EQ(model.weight_bytes, 4938268);
  EXPECT_EQ(model.tokenizer.kind, "byte-level BPE");
  EXPECT_EQ(model.tokenizer.vocabulary_size, 998);
  EXPECT_THAT(model.tokenizer.end_of_text_ids, ElementsAre(0));
  EXPECT_FALSE(model.tokenizer.mask_id.has_value());
  EXPECT_THAT(model.capabilities, ElementsAre(Capability::kPredict, Capability::kGenerate,
                                              Capability::kAttention, Capability::kEmbed));
  EXPECT_EQ(model.mixing, Mixing::kAttention);
}

TEST(ClientTest, ReadsMaskAndMixing) {
  FakeServer server;
  server.script.causal = false;
  const std::pair<v1::MixingPattern, Mixing> patterns[] = {
      {v1::MIXING_PATTERN_UNSPECIFIED, Mixing::kUnknown},
      {v1::MIXING_PATTERN_LAST_WORD, Mixing::kLastWord},
      {v1::MIXING_PATTERN_AVERAGE, Mixing::kAverage},
      {v1::MIXING_PATTERN_WEIGHTED, Mixing::kWeighted},
  };
  for (const auto& [wire, pattern] : patterns) {
    server.script.mixing = wire;
    const auto model = ConnectTo(server)->GetModel("");
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(model->mixing, pattern);
    EXPECT_EQ(model->tokenizer.mask_id, 4);
    EXPECT_EQ(model->tokenizer.mask_text, "[MASK]");
  }
}

TEST(ClientTest, TokenizeSendsAndReadsEverything) {
  FakeServer server;
  const auto result = ConnectTo(server)->Tokenize({.model = "m",
                                                   .text = "the keys",
                                                   .add_special_tokens = false,
                                                   .parse_special_tokens = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server.last_tokenize.model(), "m");
  EXPECT_EQ(server.last_tokenize.text(), "the keys");
  EXPECT_TRUE(server.last_tokenize.has_add_special_tokens());
  EXPECT_FALSE(server.last_tokenize.add_special_tokens());
  EXPECT_TRUE(server.last_tokenize.parse_special_tokens());
  ASSERT_EQ(result->tokens.size(), 2u);
  EXPECT_EQ(result->tokens[1].id, 101);
  EXPECT_EQ(result->tokens[1].bytes, " keys");
  EXPECT_EQ(result->tokens[1].piece, "Ġkeys");
  EXPECT_EQ(result->tokens[1].byte_begin, 3);
  EXPECT_EQ(result->tokens[1].byte_end, 8);
  EXPECT_EQ(result->timings.tokenize, absl::Microseconds(100));
  EXPECT_EQ(result->timings.queue, absl::Microseconds(200));
  EXPECT_EQ(result->timings.compute, absl::Microseconds(3100));
}

TEST(ClientTest, UnsetOptionsStayUnsetOnTheWire) {
  FakeServer server;
  auto client = ConnectTo(server);
  ASSERT_TRUE(client->Predict({.text = "the"}).ok());
  EXPECT_FALSE(server.last_predict.prompt().has_add_special_tokens());
  EXPECT_FALSE(server.last_predict.has_positions());
  EXPECT_FALSE(server.last_predict.has_candidates());
  ASSERT_TRUE(client->Generate({.text = "the"}).ok());
  const v1::SamplingParameters& sampling = server.last_generate.sampling();
  EXPECT_FALSE(sampling.has_temperature() || sampling.has_top_k() || sampling.has_top_p() ||
               sampling.has_min_p() || sampling.has_repetition_penalty() ||
               sampling.has_presence_penalty() || sampling.has_frequency_penalty() ||
               sampling.has_seed());
  EXPECT_FALSE(server.last_generate.stopping().has_max_tokens());
  EXPECT_FALSE(server.last_generate.has_attention());
}

TEST(ClientTest, DetokenizeReadsTheText) {
  FakeServer server;
  const auto result =
      ConnectTo(server)->Detokenize({.ids = {100, 101}, .skip_special_tokens = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->text, "the keys");
  EXPECT_TRUE(server.last_detokenize.skip_special_tokens());
}

TEST(ClientTest, PredictReadsCandidatesAndActual) {
  FakeServer server;
  const auto result = ConnectTo(server)->Predict(
      {.text = "the keys to", .truncation = Truncation::kLeft, .positions = {0, -1}, .top_k = 2});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(server.last_predict.prompt().truncation(), v1::TRUNCATION_LEFT);
  EXPECT_THAT(server.last_predict.positions().list().positions(), ElementsAre(0, -1));
  ASSERT_EQ(result->predictions.size(), 2u);
  EXPECT_EQ(result->prompt.tokens.size(), 3u);
  const PositionPrediction& first = result->predictions[0];
  EXPECT_EQ(first.position, 0);
  ASSERT_EQ(first.candidates.size(), 2u);
  EXPECT_EQ(first.candidates[1].token.text, " are");
  EXPECT_DOUBLE_EQ(first.candidates[1].probability, 0.287);
  EXPECT_EQ(first.candidates[1].rank, 2);
  EXPECT_DOUBLE_EQ(first.entropy, 1.4556);
  ASSERT_TRUE(first.actual.has_value());
  EXPECT_EQ(first.actual->token.text, " keys");
  EXPECT_FALSE(result->predictions[1].actual.has_value());
}

TEST(ClientTest, PredictReadsFullDistribution) {
  FakeServer server;
  const auto result = ConnectTo(server)->Predict({.token_ids = {1}, .full_distribution = true});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->predictions[0].log_probabilities, ElementsAre(-1, -2, -3, -4));
}

TEST(ClientTest, PredictRefusesFieldsThatExcludeEachOther) {
  FakeServer server;
  auto client = ConnectTo(server);
  EXPECT_TRUE(absl::IsInvalidArgument(client->Predict({.text = "a", .token_ids = {1}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      client->Predict({.text = "a", .positions = {0}, .all_positions = true}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      client->Predict({.text = "a", .top_k = 1, .full_distribution = true}).status()));
  EXPECT_EQ(server.call_count(), 0);
}

struct DamagedTensor {
  const char* name;
  void (*damage)(v1::Tensor&);
};

void PrintTo(const DamagedTensor& damage, std::ostream* out) {
  *out << damage.name;
}

class DamagedPredictTest : public ::testing::TestWithParam<DamagedTensor> {};

TEST_P(DamagedPredictTest, IsInternalError) {
  FakeServer server;
  server.script.edit_predict = [](v1::PredictResponse& response) {
    GetParam().damage(*response.mutable_predictions(0)->mutable_log_probabilities());
  };
  const auto result = ConnectTo(server)->Predict({.text = "a", .full_distribution = true});
  EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("the server's answer is broken"));
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedPredictTest,
    ::testing::Values(
        DamagedTensor{"Type", [](v1::Tensor& t) { t.set_dtype(v1::DATA_TYPE_UNSPECIFIED); }},
        DamagedTensor{"Short", [](v1::Tensor& t) { t.mutable_data()->pop_back(); }},
        DamagedTensor{"Long", [](v1::Tensor& t) { t.mutable_data()->append("1234"); }},
        DamagedTensor{"Shape", [](v1::Tensor& t) { t.set_shape(0, 5); }},
        DamagedTensor{"NegativeShape", [](v1::Tensor& t) { t.set_shape(0, -1); }},
        DamagedTensor{"TwoDimensions", [](v1::Tensor& t) { t.add_shape(1); }},
        DamagedTensor{"NoShape", [](v1::Tensor& t) { t.clear_shape(); }}),
    [](const auto& param) { return param.param.name; });

GenerateRequest FullGenerateRequest() {
  return {.model = "m",
          .token_ids = {100, 101},
          .temperature = 0.5F,
          .top_k = 3,
          .top_p = 0.9F,
          .min_p = 0.1F,
          .repetition_penalty = 1.1F,
          .presence_penalty = 0.2F,
          .frequency_penalty = 0.3F,
          .seed = 7,
          .logit_bias = {{5, -1.0F}},
          .max_tokens = 9,
          .stop_texts = {"."},
          .stop_ids = {2},
          .ignore_end_of_text = true,
          .top_candidates = 2,
          .attention = AttentionSelection{.layers = {0}, .heads = {1}, .top_k = 2}};
}

TEST(ClientTest, GenerateSendsEveryField) {
  FakeServer server;
  ASSERT_TRUE(ConnectTo(server)->Generate(FullGenerateRequest()).ok());
  const v1::GenerateRequest& wire = server.last_generate;
  EXPECT_EQ(wire.model(), "m");
  EXPECT_THAT(wire.prompt().tokens().ids(), ElementsAre(100, 101));
  EXPECT_FLOAT_EQ(wire.sampling().temperature(), 0.5F);
  EXPECT_EQ(wire.sampling().top_k(), 3);
  EXPECT_FLOAT_EQ(wire.sampling().top_p(), 0.9F);
  EXPECT_FLOAT_EQ(wire.sampling().min_p(), 0.1F);
  EXPECT_FLOAT_EQ(wire.sampling().repetition_penalty(), 1.1F);
  EXPECT_FLOAT_EQ(wire.sampling().presence_penalty(), 0.2F);
  EXPECT_FLOAT_EQ(wire.sampling().frequency_penalty(), 0.3F);
  EXPECT_EQ(wire.sampling().seed(), 7);
  EXPECT_FLOAT_EQ(wire.sampling().logit_bias().at(5), -1.0F);
  EXPECT_EQ(wire.stopping().max_tokens(), 9);
  EXPECT_THAT(wire.stopping().stop_texts(), ElementsAre("."));
  EXPECT_THAT(wire.stopping().stop_ids(), ElementsAre(2));
  EXPECT_TRUE(wire.stopping().ignore_end_of_text());
  EXPECT_EQ(wire.top_candidates(), 2);
  EXPECT_THAT(wire.attention().layers(), ElementsAre(0));
  EXPECT_THAT(wire.attention().heads(), ElementsAre(1));
  EXPECT_EQ(wire.attention().top_k().k(), 2);
}

TEST(ClientTest, GenerateCollectsTheAnswerAndCallsBackForEachEvent) {
  FakeServer server;
  std::vector<size_t> kinds;
  const auto result = ConnectTo(server)->Generate(
      FullGenerateRequest(), [&](const GenerateEvent& event) { kinds.push_back(event.index()); });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(kinds, ElementsAre(0, 1, 1, 1, 1, 2));
  EXPECT_EQ(result->text, " were on the table");
  EXPECT_EQ(result->start.seed, 7);
  ASSERT_EQ(result->tokens.size(), 4u);
  EXPECT_EQ(result->tokens[0].position, 2);
  EXPECT_EQ(result->tokens[0].alternatives.size(), 2u);
  ASSERT_EQ(result->tokens[0].attention.size(), 1u);
  EXPECT_EQ(result->tokens[0].attention[0].head, 1);
  EXPECT_EQ(result->tokens[0].attention[0].keys.size(), 2u);
  EXPECT_EQ(result->end.finish_reason, FinishReason::kLength);
  EXPECT_EQ(result->end.generated_token_count, 4);
}

TEST(ClientTest, ReaderGivesEventsThenTheEndAgainAndAgain) {
  FakeServer server;
  auto client = ConnectTo(server);
  auto reader = client->StartGenerate({.text = "the"});
  ASSERT_TRUE(reader.ok()) << reader.status();
  client.reset();  // the reader keeps the connection
  int events = 0;
  while (true) {
    auto event = (*reader)->Next();
    ASSERT_TRUE(event.ok()) << event.status();
    if (!event->has_value()) break;
    ++events;
  }
  EXPECT_EQ(events, 6);
  auto again = (*reader)->Next();
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->has_value());
}

TEST(ClientTest, StreamWithoutItsLastMessageIsAnError) {
  FakeServer server;
  server.script.edit_generate = [](v1::GenerateResponse& message) { return !message.has_end(); };
  const auto result = ConnectTo(server)->Generate({.text = "the"});
  EXPECT_TRUE(absl::IsInternal(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("broke off"));
}

TEST(ClientTest, MessageWithoutContentIsAnError) {
  FakeServer server;
  server.script.edit_generate = [](v1::GenerateResponse& message) {
    if (message.has_token()) message.clear_token();
    return true;
  };
  EXPECT_TRUE(absl::IsInternal(ConnectTo(server)->Generate({.text = "the"}).status()));
}

TEST(ClientTest, CancelTokenEndsACallFromAnotherThread) {
  FakeServer server;
  server.script.endless = true;
  CancelToken cancel;
  auto client = ConnectTo(server);
  absl::Notification first_token;
  std::thread canceller([&] {
    first_token.WaitForNotification();
    cancel.Cancel();
  });
  const auto result = client->Generate(
      {.text = "the"},
      [&](const GenerateEvent& event) {
        if (std::holds_alternative<GeneratedToken>(event) && !first_token.HasBeenNotified()) {
          first_token.Notify();
        }
      },
      {.cancel = &cancel});
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(result.status())) << result.status();
  server.cancelled().WaitForNotification();
  EXPECT_FALSE(cancel.in_use());
  // Later calls with the same token do not begin.
  EXPECT_TRUE(absl::IsCancelled(client->ListModels({.cancel = &cancel}).status()));
}

TEST(ClientTest, DestroyingAReaderCancelsTheCall) {
  FakeServer server;
  server.script.endless = true;
  auto client = ConnectTo(server);
  auto reader = client->StartGenerate({.text = "the"});
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE((*reader)->Next().ok());
  reader->reset();
  server.cancelled().WaitForNotification();
}

TEST(ClientTest, DeadlineEndsAnEndlessCall) {
  FakeServer server;
  server.script.endless = true;
  const auto result =
      ConnectTo(server)->Generate({.text = "the"}, {.deadline = absl::Milliseconds(50)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  // On a slow machine the time can be up before the call is there.
  if (server.call_count() > 0) server.cancelled().WaitForNotification();
}

TEST(ClientTest, ErrorsCarryWhatTheServerSaid) {
  FakeServer server;
  server.FailNext(
      1, HeedError(grpc::INVALID_ARGUMENT, "two fields are wrong", "INVALID_FIELD",
                   {{"count", "2"}}, {{"sampling.top_p", "is 3"}, {"positions[1]", "is 9"}}));
  const absl::Status status = ConnectTo(server)->Predict({.text = "the"}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "two fields are wrong");
  const ServerError error = GetServerError(status);
  EXPECT_EQ(error.reason, "INVALID_FIELD");
  EXPECT_EQ(error.metadata.at("count"), "2");
  ASSERT_EQ(error.wrong_fields.size(), 2u);
  EXPECT_EQ(error.wrong_fields[1].field, "positions[1]");
  EXPECT_EQ(error.wrong_fields[1].description, "is 9");
  EXPECT_FALSE(IsConnectionError(status));
}

TEST(ClientTest, DetailsThatDoNotParseLeaveTheStatus) {
  FakeServer server;
  server.FailNext(1, grpc::Status(grpc::NOT_FOUND, "none", "\xff\xff\xff"));
  const absl::Status status = ConnectTo(server)->ListModels().status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(GetServerError(status).reason, "");
}

TEST(ClientTest, RetriesUnavailable) {
  FakeServer server;
  server.FailNext(2, grpc::Status(grpc::UNAVAILABLE, "restarting"));
  EXPECT_TRUE(ConnectTo(server)->ListModels().ok());
  EXPECT_EQ(server.call_count(), 3);
}

TEST(ClientTest, GivesUpAfterFourAttempts) {
  FakeServer server;
  server.FailNext(100, HeedError(grpc::UNAVAILABLE, "shutting down", "DRAINING"));
  const absl::Status status = ConnectTo(server)->ListModels().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(server.call_count(), 4);
  EXPECT_FALSE(IsConnectionError(status));
}

TEST(ClientTest, OneAttemptMeansNoRetry) {
  FakeServer server;
  server.FailNext(100, grpc::Status(grpc::UNAVAILABLE, "restarting"));
  EXPECT_FALSE(ConnectTo(server, {.max_attempts = 1})->ListModels().ok());
  EXPECT_EQ(server.call_count(), 1);
}

TEST(ClientTest, DoesNotRetryOtherErrors) {
  FakeServer server;
  server.FailNext(100, HeedError(grpc::RESOURCE_EXHAUSTED, "full", "QUEUE_FULL"));
  EXPECT_TRUE(absl::IsResourceExhausted(ConnectTo(server)->ListModels().status()));
  EXPECT_EQ(server.call_count(), 1);
}

TEST(ClientTest, ConnectFailsWhenNothingListens) {
  std::string address;
  {
    FakeServer server;
    address = server.address();
  }
  const absl::Status status = Client::Connect(address).status();
  EXPECT_TRUE(IsConnectionError(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(address));
}

TEST(ClientTest, WithoutConnectTimeoutTheFirstCallFailsInstead) {
  std::string address;
  {
    FakeServer server;
    address = server.address();
  }
  auto client = Client::Connect(address, {.connect_timeout = absl::ZeroDuration()});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(IsConnectionError((*client)->ListModels().status()));
}

TEST(ClientTest, ConnectRefusesBadOptions) {
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect("").status()));
  EXPECT_THAT(std::string(Client::Connect("localhost").status().message()),
              HasSubstr("has no port; expected host:port, for example localhost:50051"));
  EXPECT_THAT(std::string(Client::Connect("http://localhost:1").status().message()),
              HasSubstr("expected host:port without http://"));
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect("x:1", {.max_attempts = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect("x:1", {.max_attempts = 6}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Client::Connect("x:1", {.max_message_bytes = 0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Connect("x:1", {.max_message_bytes = int64_t{1} << 31}).status()));
}

TEST(ClientTest, RepliesOverTheMessageLimitAreRefused) {
  FakeServer server;
  auto client = ConnectTo(server, {.max_message_bytes = 64});
  EXPECT_TRUE(absl::IsResourceExhausted(client->ListModels().status()));
}

TEST(ClientTest, HealthTellsServicesApart) {
  FakeServer server;
  server.SetServing("heed.v1.InspectionService", false);
  auto client = ConnectTo(server);
  EXPECT_EQ(*client->Health(), Serving::kServing);
  EXPECT_EQ(*client->Health("heed.v1.InspectionService"), Serving::kNotServing);
  EXPECT_EQ(*client->Health("heed.v1.NoService"), Serving::kServiceUnknown);
}

TEST(ClientTest, ManyThreadsShareOneClient) {
  FakeServer server;
  auto client = ConnectTo(server);
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 20; ++call) {
        const auto result = client->Tokenize({.text = "the keys"});
        if (result.ok() && result->tokens.size() == 2) ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 160);
}

}  // namespace
}  // namespace heed
