// Blanks and masks in prompts, and candidates as words, against the server of canned answers.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/json_check.h"

namespace heed::cli {
namespace {

using testing::At;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CliMasksTest : public CliFixture {
 protected:
  CliMasksTest() {
    server_.script.models = {"decoder", "encoder"};
    server_.script.bidirectional = {"encoder"};
  }
};

TEST_F(CliMasksTest, ABlankIsTheMaskOfAModelThatFillsThem) {
  const std::string out = Run({"predict", "--model=encoder", "the ____ to", "--top=1"});
  EXPECT_EQ(server_.last_predict.prompt().text(), "the [MASK] to");
  EXPECT_EQ(out,
            "the [MASK] to\n"
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "      (all others)        0.588\n"
            "entropy 1.46 nats · encoder sha256:0123456789ab · 3.4 ms\n");
}

TEST_F(CliMasksTest, SeveralMasksHaveATableEach) {
  const std::string out = Run({"predict", "--model=encoder", "the ____ to [MASK]", "--top=1"});
  EXPECT_EQ(server_.last_predict.prompt().text(), "the [MASK] to [MASK]");
  EXPECT_EQ(out,
            "the [MASK]#1 to [MASK]#2\n"
            "position 1 [MASK]#1\n"
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "      (all others)        0.588\n"
            "entropy 1.46 nats\n\n"
            "position 3 [MASK]#2\n"
            "rank  token         probability\n"
            "   1  ·were               0.412\n"
            "      (all others)        0.588\n"
            "entropy 1.46 nats\n\n"
            "encoder sha256:0123456789ab · 3.4 ms\n");
}

// A mask is there to be filled in, and what a model sees is no measure of its guesses.
TEST_F(CliMasksTest, AllPositionsOfATextWithAMaskHaveNoPerplexity) {
  EXPECT_EQ(Run({"predict", "--model=encoder", "the ____ to", "--all", "--top=1"}),
            "position  token   actual  probability  rank    entropy  predicted\n"
            "       0  the     the           0.250     2  1.46 nats  ·were 0.412\n"
            "       1  [MASK]                             1.46 nats  ·were 0.412\n"
            "       2  ·to     ·to           0.250     2  1.46 nats  ·were 0.412\n"
            "mean log-probability -1.386 nats over 2 tokens, each of which the model saw\n"
            "encoder sha256:0123456789ab · 3.4 ms\n");
}

TEST_F(CliMasksTest, JsonHasAPredictionForEachMask) {
  const auto json = RunJson({"predict", "--model=encoder", "the ____ to ____"});
  EXPECT_EQ(At(json, "predictions.0.position").number_value(), 1);
  EXPECT_EQ(At(json, "predictions.1.position").number_value(), 3);
}

TEST_F(CliMasksTest, ForAModelThatLooksBackABlankIsText) {
  Run({"predict", "the ____"});
  EXPECT_EQ(server_.last_predict.prompt().text(), "the ____");
  EXPECT_EQ(result_.err,
            "heed: decoder looks back only and reads ____ as text; --model=encoder fills it in.\n");
}

TEST_F(CliMasksTest, LiteralKeepsBlanks) {
  Run({"predict", "--model=encoder", "a ____ b", "--literal", "--position=0"});
  EXPECT_EQ(server_.last_predict.prompt().text(), "a ____ b");
}

TEST_F(CliMasksTest, AttentionFillsInBlanksToo) {
  const std::string out = Run({"attention", "--model=encoder", "the ____ to"});
  EXPECT_EQ(server_.last_attention.prompt().text(), "the [MASK] to");
  EXPECT_THAT(out, HasSubstr("[MASK]"));
}

TEST_F(CliMasksTest, WithoutBlanksTheModelIsNotLookedUp) {
  Run({"predict", "--model=encoder", "a [MASK] snake__case", "--top=1"});
  EXPECT_EQ(server_.call_count(), 1);
}

TEST_F(CliMasksTest, CandidatesAreWordsAfterASpace) {
  const std::string out = Run({"predict", "the keys", "--candidates=were,was"});
  EXPECT_THAT(server_.last_predict.candidates().texts().texts(), ElementsAre(" were", " was"));
  EXPECT_THAT(out, HasSubstr("read as ·were, ·was, words after a space; without it: "
                             "--candidate-ids=904,903\n"));
}

TEST_F(CliMasksTest, CandidatesStayAsGivenWhereNoWordBegins) {
  const std::vector<std::vector<std::string>> cases = {
      {"the keys ", "--candidates=were"},  // the space is there already
      {"the keys", "--candidates= were"},
      {"the keys", "--candidates=.were"},
  };
  for (const auto& words : cases) {
    const std::string out = Run({"predict", words[0], words[1]});
    EXPECT_EQ("--candidates=" + server_.last_predict.candidates().texts().texts(0), words[1]);
    EXPECT_THAT(out, Not(HasSubstr("read as")));
  }
  Run({"predict", "--model=encoder", "____ keys", "--candidates=were"});
  EXPECT_EQ(server_.last_predict.candidates().texts().texts(0), "were");
  Run({"predict", "--ids=100", "--candidates=were"});
  EXPECT_EQ(server_.last_predict.candidates().texts().texts(0), "were");
}

}  // namespace
}  // namespace heed::cli
