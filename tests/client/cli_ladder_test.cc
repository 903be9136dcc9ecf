// heed ladder, against the server of canned answers.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/ladder/ladder_page.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using ::testing::AllOf;
using testing::At;
using ::testing::HasSubstr;
using testing::HeedError;
using ::testing::Not;

constexpr char kText[] = "the keys to the cabinet";

class CliLadderTest : public CliFixture {
 protected:
  CliLadderTest() {
    server_.script.models = {"decoder", "last-word", "average", "encoder"};
    server_.script.bidirectional = {"encoder"};
    server_.script.layers = 1;
    server_.script.heads = 1;
  }

  // Lets the decoder's distribution depend on the first word, and that of all others on nothing.
  void LetTheDecoderTellApart() {
    server_.script.edit_predict = [](v1::PredictResponse& response) {
      auto* prediction = response.mutable_predictions(0);
      if (response.model().name() != "decoder" || !prediction->has_log_probabilities()) return;
      if (response.prompt().tokens(0).bytes() != "big") return;
      const float values[] = {-3, -2, -1, -4};
      prediction->mutable_log_probabilities()->set_data(
          std::string(reinterpret_cast<const char*>(values), sizeof values));
    };
  }
};

TEST_F(CliLadderTest, OnePromptIsAskedOfEveryRungInOrder) {
  EXPECT_EQ(Run({"ladder", kText, "--top=2"}),
            "                  the ·keys  ·to ·the ·cabinet [MASK]\n"
            "0 last-word      only the last word counts                             1.46 nats\n"
            "  looks at       ░.06 ░░.06 ░.06 *.75 ░░░░░.06      ·\n"
            "  expects        ·were 0.412  ·are 0.287\n"
            "1 average        every word counts the same                            1.46 nats\n"
            "  looks at       ░.06 ░░.06 ░.06 *.75 ░░░░░.06      ·\n"
            "  expects        ·were 0.412  ·are 0.287\n"
            "5 decoder        1 layer of 1 head; a word sees those before it        1.46 nats\n"
            "  looks at       ░.06 ░░.06 ░.06 *.75 ░░░░░.06      ·\n"
            "  expects        ·were 0.412  ·are 0.287\n"
            "6 encoder        1 layer of 1 head; a word sees those after it too     1.46 nats\n"
            "  looks at       ░.06 ░░.06 ░.06 ░.06 ████*.71 ░░░.06\n"
            "  at the mask    ·were 0.412  ·are 0.287\n"
            "\n"
            "encoder: asked with [MASK] put at the end, which it fills.\n"
            "looks at: how much the place that predicts reads from each word; a row adds up\n"
            "to 1, * is its largest weight. nats: the answer's entropy, from 0 (certain) to\n"
            "6.9 (any token alike).\n"
            "Not loaded: weighted, attention, attention-pos.\n"
            "What can each rung tell apart?\n"
            "  heed ladder \"the big cat sat on the\" \"the small dog ran to the\"\n");
}

TEST_F(CliLadderTest, OfSeveralHeadsTheClearestIsShownAndNamed) {
  server_.script.layers = 2;
  server_.script.heads = 2;
  const std::string out = Run({"ladder", kText, "--models=decoder"});
  EXPECT_THAT(out, HasSubstr("5 decoder        2 layers of 2 heads; a word sees those before it"));
  EXPECT_THAT(out, HasSubstr("  layer 1 head 0 ░.05 █*.80 ░.05 ░.05 ░░░░░.05\n"));
  EXPECT_THAT(out, HasSubstr("looks\nhardest at a word past its"));
}

TEST_F(CliLadderTest, TwoPromptsAreToldApartOrNot) {
  LetTheDecoderTellApart();
  const std::string out =
      Run({"ladder", "big cat", "small dog", "--models=average,decoder", "--top=1"});
  EXPECT_THAT(out, HasSubstr("A  big cat\nB  small dog\n\n"));
  EXPECT_THAT(out, HasSubstr("1 average        every word counts the same\n"
                             "  A  1.46 nats   ·were 0.412\n"
                             "  B  1.46 nats   ·were 0.412\n"
                             "                 = the same answer, bit for bit\n"));
  EXPECT_THAT(out, HasSubstr("≠ up to 0.318 apart: "));
  EXPECT_THAT(out, HasSubstr("looked at in A    big ·cat\n1 average        *.92 ░.08\n"));
  EXPECT_THAT(out, HasSubstr("looked at in B   small ·dog\n"));
  EXPECT_THAT(out, HasSubstr("Cannot tell A from B: average.\nTells them apart: decoder.\n"));
}

TEST_F(CliLadderTest, JsonHasEverything) {
  LetTheDecoderTellApart();
  const auto json = RunJson({"ladder", "big cat", "small [MASK]", "--top=1"});
  EXPECT_EQ(At(json, "prompts.1").string_value(), "small [MASK]");
  EXPECT_EQ(At(json, "missing.0").string_value(), "weighted");
  EXPECT_EQ(At(json, "rungs.0.rung").number_value(), 0);
  EXPECT_EQ(At(json, "rungs.0.model.name").string_value(), "last-word");
  EXPECT_EQ(At(json, "rungs.0.answers.1.asked").string_value(), "small");
  EXPECT_TRUE(At(json, "rungs.0.answers.1.at_mask").bool_value());
  EXPECT_FALSE(At(json, "rungs.0.answers.0.at_mask").bool_value());
  EXPECT_TRUE(At(json, "rungs.0.comparison.identical").bool_value());
  EXPECT_EQ(At(json, "rungs.2.rung").number_value(), 5);
  EXPECT_EQ(At(json, "rungs.2.answers.0.candidates.0.token.text").string_value(), " were");
  EXPECT_NEAR(At(json, "rungs.2.answers.0.looks_at.weights.0").number_value(), 12.0 / 13, 1e-6);
  EXPECT_NEAR(At(json, "rungs.2.answers.0.looks_at.last_layer_mean_weights.1").number_value(),
              1.0 / 13, 1e-6);
  EXPECT_FALSE(At(json, "rungs.2.comparison.identical").bool_value());
  EXPECT_NEAR(At(json, "rungs.2.comparison.largest_difference").number_value(),
              std::exp(-1) - std::exp(-3), 1e-6);
  EXPECT_EQ(At(json, "rungs.3.answers.1.asked").string_value(), "small [MASK]");
  EXPECT_EQ(At(json, "rungs.3.answers.1.position").number_value(), 1);
}

TEST_F(CliLadderTest, AMaskInsideIsAskedOfModelsThatLookBackWithWhatStandsBefore) {
  const std::string out = Run({"ladder", "the keys ____ the cabinet"});
  EXPECT_THAT(out, HasSubstr("the ·keys [MASK] ·the ·cabinet\n"));
  EXPECT_THAT(out, HasSubstr("  looks at       *.92 ░░.08      ·    ·        ·\n"
                             "  at the mask    ·were"));
  // Of the encoder, the row of the mask.
  EXPECT_THAT(out, HasSubstr("  looks at       ░.06 █*.75 ░░░.06 ░.06 ░░░░░.06\n"));
  EXPECT_THAT(out,
              HasSubstr("last-word, average, decoder: asked at the mask, with the words before "
                        "it; it\ncannot see \"the cabinet\".\n"));
}

TEST_F(CliLadderTest, OneRungsErrorHidesNoOthersAnswer) {
  server_.script.refuse = [](const std::string& rpc, const std::string& model) {
    if (model != "average" || rpc != "Predict") return grpc::Status::OK;
    return HeedError(grpc::FAILED_PRECONDITION, "context window exceeded: the prompt has 9 tokens",
                     "CONTEXT_WINDOW_EXCEEDED");
  };
  EXPECT_EQ(RunToFail(kExitServerError, {"ladder", kText}),
            "heed: 1 of 4 models could not answer: average.\n");
  EXPECT_THAT(result_.out, HasSubstr("  no answer      context window exceeded: the prompt has 9 "
                                     "tokens. Shorten it,\n"));
  EXPECT_THAT(result_.out, HasSubstr("0 last-word"));
  EXPECT_THAT(result_.out, HasSubstr("6 encoder"));
  RunToFail(kExitServerError, {"ladder", kText, "--json"});
  const auto json = ParseJson(result_.out);
  EXPECT_EQ(At(json, "rungs.1.answers.0.error.reason").string_value(), "CONTEXT_WINDOW_EXCEEDED");
  EXPECT_EQ(At(json, "rungs.0.answers.0.candidates.0.rank").number_value(), 1);
}

TEST_F(CliLadderTest, TheFirstRungsErrorHidesNoOthersAnswer) {
  server_.script.refuse = [](const std::string&, const std::string& model) {
    const bool refused = model == "last-word";
    return refused ? HeedError(grpc::INTERNAL, "gone", "LOST") : grpc::Status::OK;
  };
  EXPECT_EQ(RunToFail(kExitServerError, {"ladder", kText}),
            "heed: 1 of 4 models could not answer: last-word.\n");
  EXPECT_THAT(result_.out, AllOf(HasSubstr("  no answer      gone.\n"), HasSubstr("6 encoder")));
}

TEST_F(CliLadderTest, WhatIsExpectedIsShownWithoutWhatIsLookedAt) {
  server_.script.refuse = [](const std::string& rpc, const std::string& model) {
    const bool refused = model == "average" && rpc == "GetAttention";
    return refused ? HeedError(grpc::INTERNAL, "no weights", "LOST") : grpc::Status::OK;
  };
  RunToFail(kExitServerError, {"ladder", kText});
  EXPECT_THAT(result_.out, HasSubstr("  looks at       no weights.\n  expects        ·were 0.412"));
}

TEST_F(CliLadderTest, AServerThatSendsTooManyPredictionsIsTold) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    if (response.model().name() == "average") response.clear_predictions();
  };
  RunToFail(kExitServerError, {"ladder", kText});
  EXPECT_THAT(result_.out, HasSubstr("the server sent 0 predictions where one was asked for"));
}

TEST_F(CliLadderTest, AServerThatSendsWeightsForAnotherPromptIsTold) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    if (response.model().name() == "average") response.mutable_prompt()->add_tokens();
  };
  RunToFail(kExitServerError, {"ladder", kText});
  EXPECT_THAT(result_.out, HasSubstr("the server sent weights for another prompt"));
}

TEST_F(CliLadderTest, AServerThatSendsDistributionsThatDoNotCompareIsTold) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    auto* prediction = response.mutable_predictions(0);
    if (response.prompt().tokens(0).bytes() != "big" || !prediction->has_log_probabilities()) {
      return;
    }
    prediction->mutable_log_probabilities()->set_shape(0, 3);
    prediction->mutable_log_probabilities()->mutable_data()->resize(12);
  };
  RunToFail(kExitServerError, {"ladder", "big cat", "small dog", "--models=average"});
  EXPECT_THAT(result_.out, HasSubstr("different lengths"));
}

TEST_F(CliLadderTest, WhenNoRungAnswersTheErrorIsTheirs) {
  server_.script.refuse = [](const std::string&, const std::string&) {
    return HeedError(grpc::RESOURCE_EXHAUSTED, "the queue is full", "QUEUE_FULL");
  };
  RunToFail(kExitServerError, {"ladder", kText});
  EXPECT_EQ(result_.out, "");
  EXPECT_THAT(result_.err, HasSubstr("heed: the queue is full."));
}

TEST_F(CliLadderTest, WrongUsageExitsWithTwo) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "heed ladder needs PROMPT [PROMPT]"},
      {{"a", "b", "c"}, "heed ladder takes at most 2 arguments, but got 3."},
      {{""}, "the prompt is empty."},
      {{"a", ""}, "the prompt is empty."},
      {{"a", "--top=0"}, "--top is 0; expected 1 or more."},
      {{"a", "--models="}, "--models is empty"},
      {{"a", "--models=x,x"}, "--models names x twice."},
      {{"a", "--model=x"}, "--model names one model, and a ladder has several"},
      {{"a", "--truncate=middle"}, "--truncate is \"middle\""},
      {{"the ____ of ____"}, "the prompt has 2 masks; the ladder asks at one place."},
  };
  for (const auto& [words, message] : cases) {
    std::vector<std::string> command = {"ladder"};
    command.insert(command.end(), words.begin(), words.end());
    EXPECT_THAT(RunToFail(kExitUsage, command), HasSubstr(message));
  }
}

TEST_F(CliLadderTest, NoServerExitsWithThree) {
  server_.Shutdown();
  EXPECT_THAT(RunToFail(kExitUnreachable, {"ladder", kText}), HasSubstr("Is heed-server running?"));
}

TEST_F(CliLadderTest, NoRungLoadedSaysWhatIs) {
  server_.script.models = {"mine"};
  EXPECT_THAT(RunToFail(kExitServerError, {"ladder", kText}),
              HasSubstr("none of the ladder's models is loaded"));
  Run({"ladder", kText, "--models=mine"});
  EXPECT_THAT(RunToFail(kExitServerError, {"ladder", kText, "--models=mind"}),
              HasSubstr("Did you mean \"mine\"?"));
}

// Also when some answers are there already.
TEST_F(CliLadderTest, CtrlCEndsItWithoutAnswers) {
  CancelToken cancel;
  server_.script.refuse = [&](const std::string& rpc, const std::string&) {
    if (rpc == "GetAttention") cancel.Cancel();
    return grpc::Status::OK;
  };
  EXPECT_EQ(RunToFail(kExitInterrupted, {"ladder", kText}, {.cancel = &cancel}),
            "heed: cancelled; the server was told to stop.\n");
  EXPECT_EQ(result_.out, "");
  server_.Shutdown();  // its calls still use the token
}

TEST_F(CliLadderTest, NoLineIsWiderThanTheTerminal) {
  const std::string text = "the trophy would not fit in the suitcase because it was too ____";
  for (int width : {40, 60, 80, 120}) {
    for (const auto& words :
         {std::vector<std::string>{"ladder", text}, {"ladder", text, "the keys to"}}) {
      const Terminal terminal{.is_terminal = true, .width = width};
      std::vector<std::string> plain = words;
      plain.push_back("--color=never");
      const std::string out = Run(plain, {.terminal = terminal});
      for (absl::string_view line : absl::StrSplit(out, '\n')) {
        const bool is_command = absl::StartsWith(line, "  heed ladder");
        if (is_command || width < 80) continue;  // names and words are not cut
        EXPECT_LE(DisplayWidth(line), width) << line;
      }
      EXPECT_EQ(absl::StrContains(out, "rest\n"), width < 120);
    }
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST_F(CliLadderTest, HtmlIsOnePageThatLoadsNothing) {
  LetTheDecoderTellApart();
  const std::string path = absl::StrCat(::testing::TempDir(), "/ladder_", getpid(), ".html");
  EXPECT_EQ(Run({"ladder", "big cat", "</script><b>", "--html=" + path}), "");
  EXPECT_THAT(result_.err, HasSubstr("heed: wrote " + path));
  const std::string page = ReadFile(path);
  std::remove(path.c_str());
  EXPECT_THAT(page, HasSubstr("<title>heed ladder: big cat / &lt;/script&gt;&lt;b&gt;</title>"));
  EXPECT_THAT(page, HasSubstr(R"("title":"1 average")"));
  EXPECT_THAT(page, HasSubstr(R"("verdict":"= the same answer, bit for bit","alike":true)"));
  EXPECT_THAT(page, HasSubstr("sha256:0123456789abcdef"));
  EXPECT_THAT(page, AllOf(Not(HasSubstr("</script><b>")), Not(HasSubstr("{{"))));
  for (const char* address : {"http:", "https:", "src=", "href=", "@import", "url(", "fetch("}) {
    EXPECT_THAT(page, Not(HasSubstr(address))) << address;
  }
}

TEST_F(CliLadderTest, StandardInputIsAPrompt) {
  const auto json = RunJson({"ladder", "-"}, {.in = "the keys\n"});
  EXPECT_EQ(At(json, "prompts.0").string_value(), "the keys");
}

}  // namespace
}  // namespace heed::cli
