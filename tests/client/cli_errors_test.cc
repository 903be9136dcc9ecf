// Exit codes and messages of commands that fail.
#include <signal.h>

#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_join.h"
#include "client/cli/interrupt.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using ::testing::HasSubstr;
using testing::HeedError;

struct WrongUsage {
  std::vector<std::string> words;
  const char* message;
};

void PrintTo(const WrongUsage& usage, std::ostream* out) {
  *out << absl::StrJoin(usage.words, " ");
}

class WrongUsageTest : public CliFixture, public ::testing::WithParamInterface<WrongUsage> {};

TEST_P(WrongUsageTest, ExitsWithTwoAndSaysWhatWouldBeRight) {
  EXPECT_THAT(RunToFail(kExitUsage, GetParam().words), HasSubstr(GetParam().message));
  EXPECT_EQ(result_.out, "");
  EXPECT_EQ(server_.call_count(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongUsageTest,
    ::testing::Values(
        WrongUsage{{}, "Usage: heed VERB"},
        WrongUsage{{"predikt", "x"}, "unknown verb \"predikt\".\n      Did you mean \"predict\"?"},
        WrongUsage{{"frobnicate"}, "heed --help lists the verbs."},
        WrongUsage{{"--json"}, "no verb."},
        WrongUsage{{"help", "predikt"}, "Did you mean \"predict\"?"},
        WrongUsage{{"models", "x"}, "takes no argument, but got \"x\""},
        WrongUsage{{"predict", "the", "keys", "to"}, "in quotes: \"the keys …\""},
        WrongUsage{{"predict"}, "no prompt."},
        WrongUsage{{"predict", "ab\xff"}, "not well-formed UTF-8: byte 2 is 0xff"},
        WrongUsage{{"tokenize", "\xc3"}, "not well-formed UTF-8: byte 0 is 0xc3"},
        WrongUsage{{"predict", "x", "--ids=1"}, "both a prompt and --ids"},
        WrongUsage{{"predict", "--ids=1,x"}, "--ids: \"x\" is not a whole number"},
        WrongUsage{{"predict", "x", "--top=0"}, "--top is 0; expected 1 or more"},
        WrongUsage{{"predict", "x", "--tpo=1"}, "Did you mean --top?"},
        WrongUsage{{"predict", "x", "--top=1", "--candidates=a"}, "--top and --candidates"},
        WrongUsage{{"predict", "x", "--candidates=,"}, "--candidates is empty"},
        WrongUsage{{"predict", "x", "--all", "--position=1"}, "both --all and --position"},
        WrongUsage{{"predict", "x", "--truncate=middle"}, "expected left (keep the end)"},
        WrongUsage{{"predict", "x", "--deadline=soon"}, "expected a time such as 2s"},
        WrongUsage{{"predict", "x", "--color=blue"}, "expected auto, always or never"},
        WrongUsage{{"tokenize"}, "heed tokenize needs TEXT.\n      For example: heed tokenize"},
        WrongUsage{{"detokenize", "1,a"}, "IDS: \"a\" is not a whole number"},
        WrongUsage{{"detokenize", "99999999999"}, "IDS: 99999999999 is out of range"},
        WrongUsage{{"describe", "a", "--model=b"}, "both MODEL and --model"},
        WrongUsage{{"generate", "x", "--temperature=hot"}, "expected a number"},
        WrongUsage{{"generate", "x", "--top-k=1.5"}, "expected a whole number"},
        WrongUsage{{"generate", "x", "--logit-bias=5"}, "expected ID=VALUE"},
        WrongUsage{{"generate", "x", "--logit-bias=a=1"}, "expected ID=VALUE"},
        WrongUsage{{"generate", "x", "--top=2"}, "--top needs --logprobs"},
        WrongUsage{{"generate", "x", "--layer=2"}, "need --attention"},
        WrongUsage{{"attention", "x", "--layer=a"}, "--layer: \"a\" is not a whole number"},
        WrongUsage{{"attention", "x", "--top-k=1", "--npy=f"}, "--top-k leaves weights out"},
        WrongUsage{{"attention", "x", "--top-k=1", "--html=f"}, "--top-k leaves weights out"},
        WrongUsage{{"attention", "x", "--top-k=1", "--output=f.csv"}, "--top-k leaves weights out"},
        WrongUsage{{"attention", "x", "--output=f.json"}, "one of npy, safetensors, csv, bertviz"},
        WrongUsage{{"attention", "x", "--query=0", "--output=f", "--format=circuitsvis"},
                   "every token as a row"},
        WrongUsage{{"stats", "x", "--output=f.txt"}, "does not end like a format"},
        WrongUsage{{"lens", "x", "--output=f", "--format=bertviz"}, "not one of npy"},
        WrongUsage{{"sweep", "x", "--format=csv"}, "give a file"}));

class CliErrorsTest : public CliFixture {};

TEST_F(CliErrorsTest, ServerErrorsExitWithOne) {
  EXPECT_EQ(RunToFail(kExitServerError, {"describe", "decodr"}),
            "heed: model \"decodr\" is not loaded. Loaded: decoder. Did you mean \"decoder\"?\n");
}

TEST_F(CliErrorsTest, TooLongPromptSaysWhatToType) {
  server_.FailNext(1, HeedError(grpc::FAILED_PRECONDITION,
                                "context window exceeded: the prompt has 1311 tokens, decoder "
                                "takes 256",
                                "CONTEXT_WINDOW_EXCEEDED",
                                {{"prompt_tokens", "1311"}, {"context_window", "256"}}));
  EXPECT_EQ(RunToFail(kExitServerError, {"predict", "x"}),
            "heed: context window exceeded: the prompt has 1311 tokens, decoder takes 256.\n"
            "      Shorten it, or add --truncate=left to drop the first 1055.\n");
}

TEST_F(CliErrorsTest, WrongFieldsAreNamedByTheirOptions) {
  server_.FailNext(1, HeedError(grpc::INVALID_ARGUMENT, "ignored", "INVALID_FIELD", {},
                                {{"sampling.top_p", "is 3; must be in (0, 1]"},
                                 {"positions[0]", "positions[0] is 9"},
                                 {"new_field", "is odd"}}));
  EXPECT_EQ(RunToFail(kExitServerError, {"generate", "x", "--top-p=3"}),
            "heed: --top-p is 3; must be in (0, 1] (sampling.top_p)\n"
            "      --position is 9 (positions[0])\n"
            "      new_field is odd\n");
}

TEST_F(CliErrorsTest, AQuotaIsInUnitsOfPeople) {
  const auto quota = [](const char* used) {
    return HeedError(
        grpc::RESOURCE_EXHAUSTED, "this would hold 3145728 bytes", "TRACE_QUOTA",
        {{"requested_bytes", "3145728"}, {"used_bytes", used}, {"limit_bytes", "2097152"}});
  };
  server_.FailNext(1, quota("1048576"));
  EXPECT_EQ(RunToFail(kExitServerError, {"predict", "x"}),
            "heed: this would hold 3.0 MiB, and your traces hold 1.0 MiB of 2.0 MiB.\n"
            "      Close traces, wait until some expire, or shorten the prompt.\n");
  server_.FailNext(1, quota("0"));  // nothing to close
  EXPECT_EQ(RunToFail(kExitServerError, {"predict", "x"}),
            "heed: this would hold 3.0 MiB, and at most 2.0 MiB may be held.\n"
            "      Shorten the prompt.\n");
}

TEST_F(CliErrorsTest, AttentionBudgetSaysHowToAskForLess) {
  server_.FailNext(
      1, HeedError(grpc::RESOURCE_EXHAUSTED, "this much attention is 9 bytes", "ATTENTION_BUDGET"));
  EXPECT_THAT(RunToFail(kExitServerError, {"attention", "x"}),
              HasSubstr("Choose with --layer, --head or --query"));
}

TEST_F(CliErrorsTest, JsonErrorsAreJsonOnStandardError) {
  const auto json = ParseJson(RunToFail(kExitServerError, {"describe", "no-such-model", "--json"}));
  EXPECT_EQ(result_.out, "");
  EXPECT_EQ(testing::At(json, "error.code").string_value(), "NOT_FOUND");
  EXPECT_EQ(testing::At(json, "error.reason").string_value(), "MODEL_NOT_FOUND");
  EXPECT_EQ(testing::At(json, "error.metadata.model").string_value(), "no-such-model");
}

TEST_F(CliErrorsTest, NoServerExitsWithThree) {
  server_.Shutdown();
  result_ = RunCommand("", {"models", "--server=" + server_.address()});
  EXPECT_EQ(result_.exit_code, kExitUnreachable);
  EXPECT_EQ(result_.err, "heed: no heed server answers at " + server_.address() +
                             ".\n      Is heed-server running? Name another server with "
                             "--server=HOST:PORT or HEED_SERVER.\n");
}

TEST_F(CliErrorsTest, AnAddressThatIsNoneIsWrongUsage) {
  for (const char* address : {"--server=", "--server=localhost", "--server=https://x:1"}) {
    EXPECT_THAT(RunToFail(kExitUsage, {"models", address}), HasSubstr("the server's address"));
  }
}

TEST_F(CliErrorsTest, ADrainingServerIsReachedAllTheSame) {
  server_.FailNext(100, HeedError(grpc::UNAVAILABLE, "the server is shutting down", "DRAINING"));
  RunToFail(kExitServerError, {"models"});
}

TEST_F(CliErrorsTest, NotServingExitsWithOne) {
  server_.SetServing("heed.v1.InspectionService", false);
  EXPECT_EQ(RunToFail(kExitServerError, {"health"}),
            "heed: heed.v1.InspectionService is NOT_SERVING.\n");
  EXPECT_THAT(result_.out, HasSubstr("heed.v1.InspectionService  NOT_SERVING\n"));
  Run({"health", "heed.v1.ModelService"});
  RunToFail(kExitServerError, {"health", "nothing"});
}

TEST_F(CliErrorsTest, DeadlineExitsWithOne) {
  server_.script.endless = true;
  EXPECT_THAT(RunToFail(kExitServerError, {"generate", "the", "--deadline=500ms"}),
              HasSubstr("heed: no answer in time.\n"));
  // On a slow machine the time can be up before the call is there.
  if (server_.call_count() > 0) server_.cancelled().WaitForNotification();
}

TEST_F(CliErrorsTest, AFullOutputIsAnError) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);
  Environment environment{.in = &in, .out = &out, .err = &err, .server = server_.address()};
  EXPECT_EQ(RunHeed({"models"}, environment), kExitServerError);
  EXPECT_THAT(err.str(), HasSubstr("the output could not be written"));
}

// Ctrl-C as a real signal, while a generation without end is running.
TEST_F(CliErrorsTest, InterruptCancelsTheCallOnTheServerAndSaysSo) {
  server_.script.endless = true;
  CancelToken cancel;
  {
    InterruptGuard guard(&cancel);
    std::thread command([&] {
      RunToFail(kExitInterrupted, {"generate", "the"}, {.cancel = &cancel});
    });
    // The call is under way once the server has been asked; only then is there something to cancel.
    while (server_.call_count() == 0) std::this_thread::yield();
    raise(SIGINT);
    command.join();
  }
  EXPECT_THAT(result_.err, HasSubstr("heed: cancelled; the server was told to stop.\n"));
  server_.cancelled().WaitForNotification();
}

TEST_F(CliErrorsTest, ATooLargeMessageIsSaidInWords) {
  server_.FailNext(1, grpc::Status(grpc::RESOURCE_EXHAUSTED,
                                   "Received message larger than max (5000012 vs. 4194304)"));
  EXPECT_EQ(RunToFail(kExitServerError, {"predict", "the"}),
            "heed: the message has 5000012 bytes; its receiver takes at most 4194304.\n");
}

TEST_F(CliErrorsTest, AnInterruptedCallSaysSoInJsonToo) {
  server_.script.endless = true;
  CancelToken cancel;
  server_.script.edit_generate = [&](v1::GenerateResponse& message) {
    if (message.has_token()) cancel.Cancel();
    return true;
  };
  RunToFail(kExitInterrupted, {"generate", "the", "--json"}, {.cancel = &cancel});
  server_.cancelled().WaitForNotification();
  const auto json = ParseJson(result_.err);
  EXPECT_EQ(testing::At(json, "error.code").string_value(), "CANCELLED");
  EXPECT_EQ(testing::At(json, "error.message").string_value(),
            "cancelled; the server was told to stop");
}

TEST(CliErrorsDeathTest, InterruptWithoutACallEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        CancelToken cancel;
        InterruptGuard guard(&cancel);
        raise(SIGINT);
        while (true) std::this_thread::yield();
      },
      ::testing::ExitedWithCode(kExitInterrupted), "");
}

}  // namespace
}  // namespace heed::cli
