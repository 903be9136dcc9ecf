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
#include "tests/client/fake_server.h"
#include "tests/client/json_check.h"
#include "tests/client/run_command.h"

namespace heed::cli {
namespace {

using testing::FakeServer;
using ::testing::HasSubstr;
using testing::HeedError;
using ::testing::StartsWith;

struct WrongUsage {
  std::vector<std::string> words;
  const char* message;
};

void PrintTo(const WrongUsage& usage, std::ostream* out) {
  *out << absl::StrJoin(usage.words, " ");
}

class WrongUsageTest : public ::testing::TestWithParam<WrongUsage> {};

TEST_P(WrongUsageTest, ExitsWithTwoAndSaysWhatWouldBeRight) {
  FakeServer server;
  const CommandResult result = RunCommand(server.address(), GetParam().words);
  EXPECT_EQ(result.exit_code, kExitUsage);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr(GetParam().message));
  EXPECT_EQ(server.call_count(), 0);
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
        WrongUsage{{"describe", "a", "--model=b"}, "both MODEL and --model"},
        WrongUsage{{"generate", "x", "--temperature=hot"}, "expected a number"},
        WrongUsage{{"generate", "x", "--top-k=1.5"}, "expected a whole number"},
        WrongUsage{{"generate", "x", "--logit-bias=5"}, "expected ID=VALUE"},
        WrongUsage{{"generate", "x", "--logit-bias=a=1"}, "expected ID=VALUE"},
        WrongUsage{{"generate", "x", "--top=2"}, "--top needs --logprobs"},
        WrongUsage{{"generate", "x", "--layer=2"}, "need --attention"},
        WrongUsage{{"attention", "x", "--layer=a"}, "--layer: \"a\" is not a whole number"},
        WrongUsage{{"attention", "x", "--top-k=1", "--npy=f"}, "--top-k leaves weights out"},
        WrongUsage{{"attention", "x", "--top-k=1", "--html=f"}, "--top-k leaves weights out"}));

TEST(CliErrorsTest, ServerErrorsExitWithOne) {
  FakeServer server;
  const CommandResult result = RunCommand(server.address(), {"describe", "decodr"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_EQ(result.err,
            "heed: model \"decodr\" is not loaded. Loaded: decoder. Did you mean \"decoder\"?\n");
}

TEST(CliErrorsTest, TooLongPromptSaysWhatToType) {
  FakeServer server;
  server.FailNext(1, HeedError(grpc::FAILED_PRECONDITION,
                               "context window exceeded: the prompt has 1311 tokens, decoder takes "
                               "256",
                               "CONTEXT_WINDOW_EXCEEDED",
                               {{"prompt_tokens", "1311"}, {"context_window", "256"}}));
  const CommandResult result = RunCommand(server.address(), {"predict", "x"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_EQ(result.err,
            "heed: context window exceeded: the prompt has 1311 tokens, decoder takes 256.\n"
            "      Shorten it, or add --truncate=left to drop the first 1055.\n");
}

TEST(CliErrorsTest, WrongFieldsAreNamedByTheirOptions) {
  FakeServer server;
  server.FailNext(1, HeedError(grpc::INVALID_ARGUMENT, "ignored", "INVALID_FIELD", {},
                               {{"sampling.top_p", "is 3; must be in (0, 1]"},
                                {"positions[0]", "positions[0] is 9"},
                                {"new_field", "is odd"}}));
  const CommandResult result = RunCommand(server.address(), {"generate", "x", "--top-p=3"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_EQ(result.err,
            "heed: --top-p is 3; must be in (0, 1] (sampling.top_p)\n"
            "      --position is 9 (positions[0])\n"
            "      new_field is odd\n");
}

TEST(CliErrorsTest, AttentionBudgetSaysHowToAskForLess) {
  FakeServer server;
  server.FailNext(
      1, HeedError(grpc::RESOURCE_EXHAUSTED, "this much attention is 9 bytes", "ATTENTION_BUDGET"));
  EXPECT_THAT(RunCommand(server.address(), {"attention", "x"}).err,
              HasSubstr("Choose with --layer, --head or --query"));
}

TEST(CliErrorsTest, JsonErrorsAreJsonOnStandardError) {
  FakeServer server;
  const CommandResult result = RunCommand(server.address(), {"describe", "x", "--json"});
  EXPECT_EQ(result.out, "");
  bool ok = false;
  const auto json = testing::ParseJson(result.err, &ok);
  ASSERT_TRUE(ok) << result.err;
  EXPECT_EQ(testing::At(json, "error.code").string_value(), "NOT_FOUND");
  EXPECT_EQ(testing::At(json, "error.reason").string_value(), "MODEL_NOT_FOUND");
  EXPECT_EQ(testing::At(json, "error.metadata.model").string_value(), "x");
}

TEST(CliErrorsTest, NoServerExitsWithThree) {
  std::string address;
  {
    FakeServer server;
    address = server.address();
  }
  const CommandResult result = RunCommand("", {"models", "--server=" + address});
  EXPECT_EQ(result.exit_code, kExitUnreachable);
  EXPECT_EQ(result.err, "heed: no heed server answers at " + address +
                            ".\n      Is heed-server running? Name another server with "
                            "--server=HOST:PORT or HEED_SERVER.\n");
}

TEST(CliErrorsTest, ADrainingServerIsReachedAllTheSame) {
  FakeServer server;
  server.FailNext(100, HeedError(grpc::UNAVAILABLE, "the server is shutting down", "DRAINING"));
  EXPECT_EQ(RunCommand(server.address(), {"models"}).exit_code, kExitServerError);
}

TEST(CliErrorsTest, NotServingExitsWithOne) {
  FakeServer server;
  server.SetServing("heed.v1.InspectionService", false);
  const CommandResult result = RunCommand(server.address(), {"health"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_THAT(result.out, HasSubstr("heed.v1.InspectionService  NOT_SERVING\n"));
  EXPECT_EQ(result.err, "heed: heed.v1.InspectionService is NOT_SERVING.\n");
  EXPECT_EQ(RunCommand(server.address(), {"health", "heed.v1.ModelService"}).exit_code, kExitDone);
  EXPECT_EQ(RunCommand(server.address(), {"health", "nothing"}).exit_code, kExitServerError);
}

TEST(CliErrorsTest, DeadlineExitsWithOne) {
  FakeServer server;
  server.script.endless = true;
  const CommandResult result =
      RunCommand(server.address(), {"generate", "the", "--deadline=100ms"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_THAT(result.err, HasSubstr("heed: no answer in time.\n"));
  server.cancelled().WaitForNotification();
}

TEST(CliErrorsTest, AFullOutputIsAnError) {
  FakeServer server;
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  out.setstate(std::ios::badbit);
  Environment environment{.in = &in, .out = &out, .err = &err, .server = server.address()};
  EXPECT_EQ(RunHeed({"models"}, environment), kExitServerError);
  EXPECT_THAT(err.str(), HasSubstr("the output could not be written"));
}

// Ctrl-C as a real signal, while a generation without end is running.
TEST(CliErrorsTest, InterruptCancelsTheCallOnTheServerAndSaysSo) {
  FakeServer server;
  server.script.endless = true;
  CancelToken cancel;
  CommandResult result;
  {
    InterruptGuard guard(&cancel);
    std::thread command([&] {
      result = RunCommand(server.address(), {"generate", "the"}, {.cancel = &cancel});
    });
    // The call is under way once the server has been asked; only then is there something to cancel.
    while (server.call_count() == 0) std::this_thread::yield();
    raise(SIGINT);
    command.join();
  }
  EXPECT_EQ(result.exit_code, kExitInterrupted);
  EXPECT_THAT(result.err, HasSubstr("heed: cancelled; the server was told to stop.\n"));
  server.cancelled().WaitForNotification();
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
