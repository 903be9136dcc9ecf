// heed bench: its statistics on times made up by hand, and whole commands against the server of
// canned answers.
#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/bench/bench_load.h"
#include "client/cli/bench/bench_report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using testing::At;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

absl::Time Second(double seconds) {
  return absl::UnixEpoch() + absl::Seconds(seconds);
}

// A call due at `due` whose tokens come at `tokens` and which ends with the last of them.
BenchCall CallOf(double due, const std::vector<double>& tokens) {
  BenchCall call{.due = Second(due), .end = Second(due + 1), .prompt_tokens = 10};
  for (double token : tokens) call.tokens.push_back(call.end = Second(token));
  return call;
}

// --- Statistics ----------------------------------------------------------------------------------

TEST(QuantilesTest, AreTheSmallestValuesThatSoManyDoNotExceed) {
  std::vector<absl::Duration> values;
  for (int i = 200; i > 0; --i) values.push_back(absl::Milliseconds(i));
  const Quantiles all = *QuantilesOf(values);
  EXPECT_EQ(all.p50, absl::Milliseconds(100));
  EXPECT_EQ(all.p90, absl::Milliseconds(180));
  EXPECT_EQ(all.p99, absl::Milliseconds(198));
  EXPECT_EQ(all.mean, absl::Microseconds(100500));
  EXPECT_EQ(all.max, absl::Milliseconds(200));
  const Quantiles one = *QuantilesOf({absl::Seconds(3)});
  EXPECT_EQ(one.p50, absl::Seconds(3));
  EXPECT_EQ(one.p99, absl::Seconds(3));
  EXPECT_FALSE(QuantilesOf({}).has_value());
}

TEST(BenchReportTest, LatenciesAreOfTheCallsDueInTheWindow) {
  const BenchReport report = Summarize({CallOf(9, {10.5, 10.6}), CallOf(10, {10.25, 10.5, 11}),
                                        CallOf(19.5, {20.5, 20.75}), CallOf(20, {20.1})},
                                       {Second(10), Second(20)}, {});
  EXPECT_EQ(report.calls, 2);
  EXPECT_EQ(report.failed, 0);
  EXPECT_EQ(report.first_token->p50, absl::Milliseconds(250));
  EXPECT_EQ(report.first_token->max, absl::Seconds(1));
  EXPECT_EQ(report.gaps->p50, absl::Milliseconds(250));
  EXPECT_EQ(report.gaps->max, absl::Milliseconds(500));
  EXPECT_EQ(report.whole_call->max, absl::Milliseconds(1250));
}

TEST(BenchReportTest, ThroughputIsOfWhatCameInTheWindow) {
  std::vector<BenchCall> calls = {CallOf(9, {10.5, 10.6}), CallOf(10, {10.25, 10.5, 11}),
                                  CallOf(19.5, {19.75, 20.75}), CallOf(20, {20.1})};
  calls[0].accepted_tokens = 1;
  calls[1].cached_tokens = 4;
  calls[1].accepted_tokens = 2;
  calls[2].accepted_tokens = 1;
  const BenchReport report = Summarize(calls, {Second(10), Second(20)}, {});
  EXPECT_DOUBLE_EQ(report.calls_per_second, 0.2);
  EXPECT_DOUBLE_EQ(report.generated_tokens_per_second, 0.6);
  EXPECT_DOUBLE_EQ(report.prompt_tokens_per_second, 3);
  EXPECT_DOUBLE_EQ(report.cached_tokens_per_second, 0.4);
  EXPECT_DOUBLE_EQ(report.accepted_tokens_per_second, 0.3);
}

TEST(BenchReportTest, GoodCallsKeepEveryLimit) {
  const std::vector<BenchCall> calls = {CallOf(0, {1, 1.5, 2}), CallOf(0, {1.1, 1.2}),
                                        CallOf(0, {0.5, 1.5}), CallOf(0, {1})};
  const BenchWindow window{Second(0), Second(4)};
  const auto good = [&](const BenchLimits& limits) {
    return Summarize(calls, window, limits).good;
  };
  EXPECT_EQ(good({}), 4);
  EXPECT_EQ(good({.first_token = absl::Seconds(1)}), 3);
  EXPECT_EQ(good({.mean_gap = absl::Milliseconds(500)}), 3);
  EXPECT_EQ(good({.first_token = absl::Seconds(1), .mean_gap = absl::Milliseconds(500)}), 2);
  EXPECT_DOUBLE_EQ(Summarize(calls, window, {}).good_calls_per_second, 1);
}

TEST(BenchReportTest, FailedCallsAreCountedByCodeAndCutOnesNotAtAll) {
  std::vector<BenchCall> calls = {CallOf(0, {1}), CallOf(0, {}), CallOf(1, {1.5}), CallOf(2, {}),
                                  CallOf(2, {2.5})};
  calls[1].status = absl::ResourceExhaustedError("full");
  calls[2].status = absl::ResourceExhaustedError("fuller");
  calls[3].status = absl::InternalError("broken");
  calls[4].status = absl::CancelledError();
  calls[4].cut = true;
  const BenchReport report = Summarize(calls, {Second(0), Second(4)}, {});
  EXPECT_EQ(report.calls, 4);
  EXPECT_EQ(report.failed, 3);
  EXPECT_EQ(report.good, 1);
  EXPECT_EQ(report.errors.at("RESOURCE_EXHAUSTED").count, 2);
  EXPECT_EQ(report.errors.at("RESOURCE_EXHAUSTED").message, "full");
  EXPECT_EQ(report.errors.at("INTERNAL").count, 1);
  EXPECT_DOUBLE_EQ(report.calls_per_second, 0.25);
  EXPECT_DOUBLE_EQ(report.generated_tokens_per_second, 0.75);
}

TEST(BenchReportTest, GoodputIsOfWhatCameInTheWindowToo) {
  const std::vector<BenchCall> calls = {CallOf(9, {10.5}), CallOf(11, {12}), CallOf(18, {20}),
                                        CallOf(19, {20.5})};
  const BenchWindow window{Second(10), Second(20)};
  const BenchReport report = Summarize(calls, window, {.first_token = absl::Seconds(2)});
  EXPECT_EQ(report.calls, 3);
  EXPECT_EQ(report.good, 3);
  EXPECT_DOUBLE_EQ(report.calls_per_second, 0.2);
  EXPECT_DOUBLE_EQ(report.good_calls_per_second, 0.2);
  const BenchReport strict = Summarize(calls, window, {.first_token = absl::Seconds(1)});
  EXPECT_EQ(strict.good, 1);
  EXPECT_DOUBLE_EQ(strict.good_calls_per_second, 0.1);
}

TEST(PoissonArrivalsTest, AreSoManyASecondAtRandomAndTheSameForASeed) {
  PoissonArrivals arrivals(50, 7), again(50, 7), other(50, 8);
  absl::Duration sum, squares;
  bool differs = false;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const absl::Duration gap = arrivals.NextGap();
    EXPECT_GE(gap, absl::ZeroDuration());
    EXPECT_EQ(gap, again.NextGap());
    differs |= gap != other.NextGap();
    sum += gap;
    squares += gap * absl::ToDoubleSeconds(gap);
  }
  EXPECT_TRUE(differs);
  // An exponential distribution's deviation is its mean; the mean of so many is within 2 % of that.
  const double mean = absl::ToDoubleSeconds(sum) / kCount;
  EXPECT_NEAR(mean, 0.02, 0.0004);
  EXPECT_NEAR(absl::ToDoubleSeconds(squares) / kCount / (mean * mean), 2, 0.1);
}

TEST(BenchRequestTest, PromptsDifferAfterWhatTheyShare) {
  const LoadPlan plan{.prompt_tokens = {20, 30},
                      .new_tokens = {3, 5},
                      .shared_tokens = 12,
                      .seed = 4,
                      .vocabulary_size = 500};
  const std::vector<int32_t> first = MakeBenchRequest(plan, 0).token_ids;
  EXPECT_EQ(MakeBenchRequest(plan, 0).token_ids, first);
  std::set<size_t> lengths;
  std::set<int32_t> answers;
  for (int64_t i = 1; i < 100; ++i) {
    const GenerateRequest request = MakeBenchRequest(plan, i);
    const std::vector<int32_t>& ids = request.token_ids;
    EXPECT_TRUE(std::equal(ids.begin(), ids.begin() + 12, first.begin()));
    EXPECT_FALSE(std::equal(ids.begin() + 12, ids.begin() + 20, first.begin() + 12));
    for (int32_t id : ids) EXPECT_TRUE(id >= 0 && id < 500);
    lengths.insert(ids.size());
    answers.insert(*request.max_tokens);
  }
  EXPECT_EQ(lengths.size(), 11u);
  EXPECT_EQ(*lengths.begin(), 20u);
  EXPECT_EQ(answers, (std::set<int32_t>{3, 4, 5}));
}

TEST(BenchRequestTest, AnswersAreDrawnWhereAsked) {
  LoadPlan plan{.prompt_tokens = {5, 5}, .new_tokens = {3, 3}, .seed = 4, .vocabulary_size = 500};
  const GenerateRequest greedy = MakeBenchRequest(plan, 1);
  EXPECT_FALSE(greedy.temperature || greedy.top_p || greedy.seed);
  plan.temperature = 0.5f;
  const GenerateRequest drawn = MakeBenchRequest(plan, 1);
  EXPECT_EQ(drawn.temperature, 0.5f);
  EXPECT_EQ(drawn.token_ids, greedy.token_ids);
  ASSERT_TRUE(drawn.seed.has_value());
  EXPECT_EQ(MakeBenchRequest(plan, 1).seed, drawn.seed);
  EXPECT_NE(MakeBenchRequest(plan, 2).seed, drawn.seed);
  plan.temperature.reset();
  plan.top_p = 0.9f;
  EXPECT_EQ(MakeBenchRequest(plan, 1).top_p, 0.9f);
  EXPECT_EQ(MakeBenchRequest(plan, 1).seed, drawn.seed);
}

// --- Commands ------------------------------------------------------------------------------------

class BenchTest : public CliFixture {};

TEST_F(BenchTest, AClosedLoopMakesSoManyCalls) {
  const auto json =
      RunJson({"bench", "--calls=12", "--streams=3", "--warm-up=0", "--prompt-tokens=5",
               "--max-tokens=4", "--first-token-limit=1h", "--seed=3"});
  EXPECT_EQ(server_.call_count(), 12 + 1);  // and one for the model
  EXPECT_EQ(At(json, "call_count").number_value(), 12);
  EXPECT_EQ(At(json, "failed_count").number_value(), 0);
  EXPECT_EQ(At(json, "good_count").number_value(), 12);
  EXPECT_EQ(At(json, "plan.loop").string_value(), "closed");
  EXPECT_EQ(At(json, "plan.seed").number_value(), 3);
  EXPECT_GT(At(json, "first_token_ms.p50").number_value(), 0);
  const double calls = At(json, "calls_per_s").number_value();
  EXPECT_GT(calls, 0);
  EXPECT_NEAR(At(json, "generated_tokens_per_s").number_value(), 4 * calls, 1e-6 * calls);
  EXPECT_NEAR(At(json, "prompt_tokens_per_s").number_value(), 5 * calls, 1e-6 * calls);
  EXPECT_EQ(server_.last_generate.prompt().tokens().ids_size(), 5);
  EXPECT_EQ(server_.last_generate.stopping().max_tokens(), 4);
  EXPECT_TRUE(server_.last_generate.stopping().ignore_end_of_text());
}

TEST_F(BenchTest, AnswersAreDrawnWhereAsked) {
  const auto plain = RunJson({"bench", "--calls=1", "--warm-up=0"});
  for (const char* key : {"plan.temperature", "plan.top_p"}) {
    EXPECT_EQ(At(plain, key).kind_case(), google::protobuf::Value::kNullValue) << key;
  }
  EXPECT_FALSE(server_.last_generate.sampling().has_temperature());
  const auto drawn =
      RunJson({"bench", "--calls=1", "--warm-up=0", "--temperature=0.5", "--top-p=0.75"});
  EXPECT_EQ(At(drawn, "plan.temperature").number_value(), 0.5);
  EXPECT_EQ(At(drawn, "plan.top_p").number_value(), 0.75);
  EXPECT_EQ(server_.last_generate.sampling().temperature(), 0.5f);
  EXPECT_EQ(server_.last_generate.sampling().top_p(), 0.75f);
  EXPECT_TRUE(server_.last_generate.sampling().has_seed());
  const std::string text = Run({"bench", "--calls=1", "--temperature=0.5", "--top-p=0.75"});
  EXPECT_THAT(text, HasSubstr(", temperature 0.5, top-p 0.75, seed "));
}

TEST_F(BenchTest, AnOpenLoopMakesSoManyCalls) {
  const auto json = RunJson({"bench", "--calls=12", "--rate=2000", "--warm-up=0"});
  EXPECT_EQ(server_.call_count(), 12 + 1);
  EXPECT_EQ(At(json, "call_count").number_value(), 12);
  EXPECT_EQ(At(json, "plan.rate_per_s").number_value(), 2000);
}

// The server answers none before all have come.
TEST_F(BenchTest, AnOpenLoopDoesNotWaitForAnswers) {
  server_.script.edit_generate = [this](v1::GenerateResponse&) {
    while (server_.call_count() < 5 + 1) absl::SleepFor(absl::Milliseconds(1));
    return true;
  };
  const auto json = RunJson({"bench", "--calls=5", "--rate=2000", "--warm-up=0"});
  EXPECT_EQ(At(json, "good_count").number_value(), 5);
}

TEST_F(BenchTest, TheWarmUpIsNotCounted) {
  // So long that a busy machine begins a call in it, too.
  const auto json = RunJson({"bench", "--duration=400ms", "--streams=1", "--warm-up=250ms"});
  EXPECT_NEAR(At(json, "window_s").number_value(), 0.4, 1e-6);
  EXPECT_LT(At(json, "call_count").number_value(), server_.call_count() - 1);
  const auto counted = RunJson({"bench", "--calls=2", "--streams=1", "--warm-up=100ms"});
  EXPECT_EQ(At(counted, "call_count").number_value(), 2);
}

// Calls of the warm-up, which end after it, are no part of what so many calls achieved.
TEST_F(BenchTest, SoManyCallsAreThoseOfTheThroughput) {
  server_.script.edit_generate = [](v1::GenerateResponse& message) {
    if (message.has_start()) absl::SleepFor(absl::Milliseconds(10));
    return true;
  };
  const auto json = RunJson({"bench", "--calls=4", "--streams=8", "--warm-up=1ms",
                             "--prompt-tokens=5", "--first-token-limit=1h"});
  const double seconds = At(json, "window_s").number_value();
  EXPECT_NEAR(At(json, "calls_per_s").number_value() * seconds, 4, 1e-6);
  EXPECT_NEAR(At(json, "good_calls_per_s").number_value() * seconds, 4, 1e-6);
  EXPECT_NEAR(At(json, "prompt_tokens_per_s").number_value() * seconds, 4 * 5, 1e-6);
  EXPECT_NEAR(At(json, "generated_tokens_per_s").number_value() * seconds, 4 * 4, 1e-6);
}

// The server answers none before all have come, for as long as a test may wait.
TEST_F(BenchTest, MoreStreamsThanAConnectionTakesAreAllInFlight) {
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  std::atomic<bool> waited_in_vain = false;
  server_.script.edit_generate = [&](v1::GenerateResponse&) {
    while (server_.call_count() < 230 + 1 && !waited_in_vain) {
      absl::SleepFor(absl::Milliseconds(1));
      if (absl::Now() > give_up) waited_in_vain = true;
    }
    return true;
  };
  const auto json = RunJson({"bench", "--calls=230", "--streams=230", "--warm-up=0"});
  EXPECT_FALSE(waited_in_vain);
  EXPECT_EQ(At(json, "call_count").number_value(), 230);
  EXPECT_EQ(At(json, "failed_count").number_value(), 0);
}

TEST_F(BenchTest, ErrorsAreReportedBesideTheAnswers) {
  server_.script.edit_generate = [this](v1::GenerateResponse& message) {
    if (message.has_start() && server_.call_count() == 3)
      server_.FailNext(2, grpc::Status(grpc::INTERNAL, "no"));
    return true;
  };
  const std::string out = Run({"bench", "--calls=6", "--streams=1", "--warm-up=0"});
  EXPECT_THAT(out, HasSubstr("1 stream (closed loop) against decoder"));
  EXPECT_THAT(out, HasSubstr("errors      2 INTERNAL: no"));
}

TEST_F(BenchTest, FailsWhenNoCallIsAnswered) {
  server_.script.edit_generate = [](v1::GenerateResponse& message) {
    message.clear_event();
    return true;
  };
  RunToFail(kExitServerError, {"bench", "--calls=1", "--streams=1", "--warm-up=0"});
  EXPECT_THAT(result_.out, HasSubstr("throughput  0.00 calls/s"));
  EXPECT_THAT(result_.out, ContainsRegex("first token +- +- +- +- +-\n"));
  EXPECT_THAT(result_.out, ContainsRegex("whole call +- +- +- +- +-\n"));
}

TEST_F(BenchTest, WhatWasNotMeasuredHasNoNumbers) {
  server_.script.answer = {" were"};
  const std::vector<std::string> words = {"bench", "--calls=2", "--warm-up=0", "--max-tokens=1"};
  EXPECT_THAT(Run(words), ContainsRegex("between tokens +- +- +- +- +-\n"));
  EXPECT_THAT(result_.out, ContainsRegex("first token +[0-9.]+ ms"));
  const auto json = RunJson(words);
  const auto gaps = At(json, "between_tokens_ms");
  EXPECT_TRUE(gaps.struct_value().fields().at("p50").has_null_value());
}

TEST_F(BenchTest, AWindowWithoutACallShowsNoTable) {
  std::vector<std::string> words = {"bench", "--rate=0.0001", "--duration=5ms", "--warm-up=0"};
  EXPECT_THAT(RunToFail(kExitServerError, words), HasSubstr("no call was measured"));
  EXPECT_EQ(result_.out, "");
  words.push_back("--json");
  RunToFail(kExitServerError, words);
  const auto json = ParseJson(result_.out);
  EXPECT_EQ(At(json, "call_count").number_value(), 0);
  const auto times = At(json, "first_token_ms");
  EXPECT_TRUE(times.struct_value().fields().at("p50").has_null_value());
  EXPECT_EQ(At(json, "plan.rate_per_s").number_value(), 0.0001);
}

TEST_F(BenchTest, CtrlCEndsItWithTheReportSoFar) {
  server_.script.endless = true;
  CancelToken cancel;
  absl::Notification answering;
  int messages = 0;
  server_.script.edit_generate = [&](v1::GenerateResponse&) {
    if (++messages == 3) answering.Notify();
    return true;
  };
  std::thread user([&] {
    answering.WaitForNotification();
    cancel.Cancel();
  });
  const auto json =
      RunJson({"bench", "--duration=1h", "--streams=1", "--warm-up=0"}, {.cancel = &cancel});
  user.join();
  EXPECT_TRUE(At(json, "interrupted").bool_value());
  EXPECT_EQ(At(json, "call_count").number_value(), 0);
  EXPECT_EQ(At(json, "failed_count").number_value(), 0);
  server_.cancelled().WaitForNotification();
}

TEST_F(BenchTest, AServerThatHasGoneIsNotAskedWithoutPause) {
  absl::Notification answering;
  bool said = false;
  server_.script.edit_generate = [&](v1::GenerateResponse&) {
    if (!std::exchange(said, true)) answering.Notify();
    return true;
  };
  std::thread user([&] {
    answering.WaitForNotification();
    server_.Shutdown();
  });
  // As long as it takes for retries to be given up.
  const CommandResult result = RunCommand(
      server_.address(), {"bench", "--duration=2s", "--streams=1", "--warm-up=0", "--json"});
  user.join();
  const double failed = At(ParseJson(result.out), "failed_count").number_value();
  EXPECT_GE(failed, 1);
  EXPECT_LE(failed, 40);
}

TEST_F(BenchTest, CtrlCBeforeACallWasMeasuredShowsNoTable) {
  CancelToken cancel;
  server_.script.edit_generate = [&](v1::GenerateResponse&) {
    cancel.Cancel();
    return true;
  };
  RunToFail(kExitInterrupted, {"bench", "--warm-up=1h", "--streams=1"}, {.cancel = &cancel});
  EXPECT_EQ(result_.out, "");
  EXPECT_EQ(result_.err, "heed: cancelled; the server was told to stop.\n");
  server_.Shutdown();  // its calls still use the token
}

TEST_F(BenchTest, AModelThatCannotGenerateIsNotAsked) {
  server_.script.capabilities = {v1::CAPABILITY_PREDICT, v1::CAPABILITY_EMBED};
  EXPECT_THAT(RunToFail(kExitServerError, {"bench", "--calls=1", "--warm-up=0"}),
              HasSubstr("decoder cannot generate; it can predict, embed"));
  EXPECT_EQ(server_.call_count(), 1);
}

TEST_F(BenchTest, WrongUsageIsSaid) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"bench", "--rate=2", "--streams=3"}, "two loops"},
      {{"bench", "--rate=0"}, "--rate is \"0\"; expected a number of calls a second, above 0"},
      {{"bench", "--rate=x"}, "--rate is \"x\"; expected a number"},
      {{"bench", "--streams=0"}, "--streams is 0"},
      {{"bench", "--temperature=-1"}, "--temperature is -1; must be in [0, 100]"},
      {{"bench", "--temperature=101"}, "--temperature is 101; must be in [0, 100]"},
      {{"bench", "--temperature=hot"}, "--temperature is \"hot\""},
      {{"bench", "--top-p=0"}, "--top-p is 0; must be above 0 and at most 1"},
      {{"bench", "--top-p=1.5"}, "--top-p is 1.5; must be above 0 and at most 1"},
      {{"bench", "--calls=2", "--duration=2s"}, "both say when to end"},
      {{"bench", "--prompt-tokens=9-3"}, "\"9-3\"; expected a number of tokens"},
      {{"bench", "--max-tokens=x"}, "\"x\"; expected a number of tokens"},
      {{"bench", "--max-tokens=0"}, "\"0\"; expected a number of tokens, 1 or more"},
      {{"bench", "--shared-prefix=100", "--prompt-tokens=5"},
       "--shared-prefix is 100, but a prompt may have only 5 tokens"},
      {{"bench", "--shared-prefix=6", "--prompt-tokens=5-9"}, "a prompt may have only 5 tokens"},
      {{"bench", "--prompt-tokens=1000000"}, "the model's context window has"}};
  for (const auto& [words, message] : cases) {
    EXPECT_THAT(RunToFail(kExitUsage, words), HasSubstr(message));
  }
}

}  // namespace
}  // namespace heed::cli
