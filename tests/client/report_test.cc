#include "client/cli/base/report.h"

#include <string>

#include "absl/status/status.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/progress.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

TEST(ReportTest, WrapsAndIndents) {
  const std::string text = FormatError(
      absl::NotFoundError("model \"decodr\" is not loaded. Loaded: last-word, average, weighted, "
                          "attention, attention-pos, decoder, encoder."),
      "s:1", false);
  EXPECT_EQ(
      text,
      "heed: model \"decodr\" is not loaded. Loaded: last-word, average, weighted, attention, "
      "attention-pos,\n      decoder, encoder.\n");
}

TEST(ReportTest, ConnectionErrorsSayWhereAndWhatNext) {
  EXPECT_EQ(FormatError(absl::UnavailableError("connection refused"), "localhost:1", false),
            "heed: could not reach the server at localhost:1: connection refused.\n"
            "      Is heed-server running? Name another server with --server=HOST:PORT or "
            "HEED_SERVER.\n");
}

TEST(ReportTest, AServerThatGoesAwayIsLost) {
  EXPECT_THAT(FormatError(absl::UnavailableError("Socket closed"), "localhost:1", false),
              ::testing::StartsWith("heed: lost the server at localhost:1: Socket closed.\n"));
}

TEST(ReportTest, InterruptionIsNotAnError) {
  EXPECT_EQ(FormatError(absl::CancelledError("CANCELLED"), "s:1", true),
            "heed: cancelled; the server was told to stop.\n");
}

TEST(ReportTest, DeadlineNamesTheOption) {
  EXPECT_EQ(FormatError(absl::DeadlineExceededError("Deadline Exceeded"), "s:1", false),
            "heed: no answer in time.\n"
            "      Allow more time with --deadline, for example 60s.\n");
}

TEST(ReportTest, ServerTextIsMadeSafe) {
  EXPECT_EQ(FormatError(absl::InternalError("bad \033[2J"), "s:1", false), "heed: bad <1B>[2J.\n");
}

TEST(ReportTest, AFieldThatAMessageBeginsWithIsWhatWasTyped) {
  const FieldNames names = {{"interventions[0]", "--mean-ablate=2"}};
  const auto shown = [&](const char* message) {
    return FormatError(absl::FailedPreconditionError(message), "s:1", false, {}, names);
  };
  EXPECT_EQ(shown("interventions[0].mean_site needs more"),
            "heed: --mean-ablate=2 needs more (interventions[0].mean_site).\n");
  EXPECT_EQ(shown("model.safetensors is a file"), "heed: model.safetensors is a file.\n");
}

TEST(ReportTest, FieldsBecomeOptions) {
  EXPECT_EQ(OptionForField("sampling.top_p"), "--top-p");
  EXPECT_EQ(OptionForField("selection.queries[3]"), "--query");
  EXPECT_EQ(OptionForField("positions[3]"), "--position");
  EXPECT_EQ(OptionForField("layers[0]"), "--layer");
  EXPECT_EQ(OptionForField("head_ablation.heads[2]"), "--head");
  EXPECT_EQ(OptionForField("hover.query"), "--query");
  EXPECT_EQ(OptionForField("metric.probability.text"), "--token");
  EXPECT_EQ(OptionForField("prompt.tokens.ids[0]"), "--ids");
  EXPECT_EQ(OptionForField("prompt"), "the prompt");
  EXPECT_EQ(OptionForField("prompts"), "the texts");
  EXPECT_EQ(OptionForField("prompts[0].text"), "text 1");
  EXPECT_EQ(OptionForField("prompts[11].tokens.ids[3]"), "text 12");
  EXPECT_EQ(OptionForField("prompts[x"), "the texts");
  EXPECT_EQ(OptionForField("promptness"), "");
  EXPECT_EQ(OptionForField("rollout.queries"), "--query");
  EXPECT_EQ(OptionForField("sweep.head_ablation.heads[2]"), "--head");
  EXPECT_EQ(OptionForField(""), "");
}

TEST(ReportTest, FieldsBecomeWhatWasTyped) {
  const FieldNames names = {{"sets[0].interventions[0]", "--cut=cabinet->keys"},
                            {"sets[0].interventions[0].layers", "--layer"},
                            {"sets[0].interventions[1]", "--ablate=9.1"},
                            {"b.interventions[0]", "--focus=-1"}};
  EXPECT_EQ(OptionForField("sets[0].interventions[0].layers[0]", names), "--layer");
  EXPECT_EQ(OptionForField("sets[0].interventions[0].positions[0].begin", names),
            "--cut=cabinet->keys: position");
  EXPECT_EQ(OptionForField("sets[0].interventions[1].layers[0]", names), "--ablate=9.1: layer");
  EXPECT_EQ(OptionForField("sets[0].interventions[1].heads[0]", names), "--ablate=9.1: head");
  EXPECT_EQ(OptionForField("sets[0].interventions[10].heads[0]", names), "");
  EXPECT_EQ(OptionForField("b.interventions[0].scale_scores.beta", names), "--focus=-1");
  EXPECT_EQ(OptionForField("a.prompt.text", names), "the first prompt");
  EXPECT_EQ(OptionForField("b.prompt.text", names), "the second prompt");
  EXPECT_EQ(OptionForField("metrics[1].position"), "--position");
  EXPECT_EQ(OptionForField("metrics[0].logit_difference.against.text"), "--against");
  EXPECT_EQ(OptionForField("metrics[0"), "");
}

TEST(ReportTest, JsonHasCodeAndMessage) {
  EXPECT_EQ(FormatErrorJson(absl::NotFoundError("no \"x\"")),
            "{\"error\":{\"code\":\"NOT_FOUND\",\"reason\":\"\",\"message\":\"no \\\"x\\\"\","
            "\"metadata\":{},\"wrong_fields\":[]}}\n");
}

TEST(ProgressTest, LineTellsHowFarAndHowLong) {
  EXPECT_EQ(ProgressLine("reading", absl::Seconds(3), 0, 79), "reading … 3 s (Ctrl-C cancels)");
  EXPECT_EQ(ProgressLine("reading", absl::Seconds(3), 0.25, 79),
            "reading … 25 %, 3 s, about 9 s left (Ctrl-C cancels)");
}

TEST(ProgressTest, LineIsNoWiderThanTheTerminal) {
  const std::string line = ProgressLine("reading", absl::Seconds(3), 0.25, 29);
  EXPECT_EQ(DisplayWidth(line), 29) << line;
  EXPECT_THAT(line, ::testing::StartsWith("reading … 25 %, 3 s"));
}

}  // namespace
}  // namespace heed::cli
