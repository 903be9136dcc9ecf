// What `heed embed` prints, against the server of canned answers.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/verbs/embed_output.h"
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

constexpr char kFooter[] = "\ndecoder sha256:0123456789ab · the mean of all tokens · 3.4 ms\n";

class CliEmbedTest : public CliFixture {
 protected:
  std::string UsageErrorOf(const std::vector<std::string>& words) {
    RunToFail(kExitUsage, words);
    EXPECT_EQ(server_.call_count(), 0);
    return result_.err;
  }
};

// Vectors of "the keys" are (0, 0, 1) and (1, 1, 1), whose mean is (1/2, 1/2, 1); of "the": (0, 0,
// 1).
TEST_F(CliEmbedTest, OneTextIsATableOfItsSizes) {
  EXPECT_EQ(Run({"embed", "the keys"}), absl::StrCat("   text      tokens  dimensions   norm\n"
                                                     "1  the keys       2           3  1.225\n",
                                                     kFooter));
}

TEST_F(CliEmbedTest, SeveralTextsAreComparedWithEachOther) {
  EXPECT_EQ(Run({"embed", "the keys", "the", "keys"}),
            absl::StrCat("   text      tokens  dimensions   norm\n"
                         "1  the keys       2           3  1.225\n"
                         "2  the            1           3  1.000\n"
                         "3  keys           1           3  4.123\n"
                         "\n"
                         "cosine similarity\n"
                         "       1      2      3\n"
                         "1  1.000  0.816  0.594\n"
                         "2  0.816  1.000  0.243\n"
                         "3  0.594  0.243  1.000\n",
                         kFooter));
}

TEST_F(CliEmbedTest, TokensAreComparedWithTheSameTokenElsewhere) {
  const std::string out = Run({"embed", "the keys to", "the the keys", "--tokens"});
  EXPECT_THAT(out, HasSubstr("\ntext 1: the keys to\n"
                             "position  token   norm  cosine in 2\n"
                             "       0  the    1.000        1.000\n"
                             "       1  ·keys  1.732        0.943\n"
                             "       2  ·to    3.000\n"));
  EXPECT_THAT(out, HasSubstr("\ntext 2: the the keys\n"
                             "position  token   norm  cosine in 1\n"
                             "       0  the    1.000        1.000\n"
                             "       1  ·the   3.317\n"
                             "       2  ·keys  2.449        0.943\n"));
  EXPECT_TRUE(server_.last_embed.token_vectors());
}

TEST_F(CliEmbedTest, TheNthTokenIsComparedWithTheNth) {
  TextEmbedding text;
  TextEmbedding other;
  for (int32_t id : {7, 8, 7, 7}) text.prompt.tokens.push_back({.id = id});
  for (int32_t id : {8, 7, 9, 7}) other.prompt.tokens.push_back({.id = id});
  EXPECT_EQ(SameToken(text, 0, other), 1);
  EXPECT_EQ(SameToken(text, 1, other), 0);
  EXPECT_EQ(SameToken(text, 2, other), 3);
  EXPECT_FALSE(SameToken(text, 3, other).has_value());
}

TEST_F(CliEmbedTest, CosinesAreThoseOfTheFormula) {
  EXPECT_DOUBLE_EQ(Norm({3, -4}), 5);
  EXPECT_DOUBLE_EQ(*Cosine({1, 2, 2}, {2, 0, 1}), 4 / (3 * std::sqrt(5.0)));
  EXPECT_EQ(Cosine({1, 1}, {1, 1}), 1.0);
  EXPECT_EQ(Cosine({1, 1}, {-2, -2}), -1.0);
  EXPECT_FALSE(Cosine({0, 0}, {1, 1}).has_value());
}

TEST_F(CliEmbedTest, OptionsReachTheServer) {
  Run({"embed", "the keys", "--model=m", "--pooling=last", "--normalize", "--dimensions=2",
       "--truncate=left", "--no-special", "--literal"});
  const v1::EmbedRequest& sent = server_.last_embed;
  EXPECT_EQ(sent.model(), "m");
  EXPECT_EQ(sent.pooling(), v1::POOLING_LAST);
  EXPECT_TRUE(sent.normalize());
  EXPECT_EQ(sent.dimensions(), 2);
  EXPECT_FALSE(sent.token_vectors());
  const v1::Prompt& prompt = sent.prompts(0);
  EXPECT_EQ(prompt.truncation(), v1::TRUNCATION_LEFT);
  EXPECT_FALSE(prompt.add_special_tokens());
  EXPECT_TRUE(prompt.has_parse_special_tokens());
  EXPECT_FALSE(prompt.parse_special_tokens());
  EXPECT_THAT(result_.out, HasSubstr(" · the last token, normalized · "));
  for (const auto& [way, pooling] :
       {std::pair("mean", v1::POOLING_MEAN), std::pair("cls", v1::POOLING_CLS)}) {
    Run({"embed", "the", absl::StrCat("--pooling=", way)});
    EXPECT_EQ(server_.last_embed.pooling(), pooling);
    EXPECT_FALSE(server_.last_embed.has_normalize());
    EXPECT_FALSE(server_.last_embed.has_dimensions());
  }
}

TEST_F(CliEmbedTest, StandardInputIsAText) {
  Run({"embed", "-", "the"}, {.in = "the keys\n"});
  EXPECT_EQ(server_.last_embed.prompts(0).text(), "the keys");
  EXPECT_EQ(server_.last_embed.prompts(1).text(), "the");
}

TEST_F(CliEmbedTest, EachListOfIdsIsAText) {
  const std::string out = Run({"embed", "--ids=0,1", "--ids=4"});
  ASSERT_EQ(server_.last_embed.prompts_size(), 2);
  EXPECT_THAT(server_.last_embed.prompts(0).tokens().ids(), ElementsAre(0, 1));
  EXPECT_THAT(server_.last_embed.prompts(1).tokens().ids(), ElementsAre(4));
  EXPECT_THAT(out, HasSubstr("\n1  the ·keys       2"));
}

TEST_F(CliEmbedTest, MistakesOfUsageAreExplained) {
  EXPECT_THAT(UsageErrorOf({"embed"}), HasSubstr("no text"));
  EXPECT_THAT(UsageErrorOf({"embed", "a", "--ids=1"}), HasSubstr("both texts and --ids"));
  EXPECT_THAT(UsageErrorOf({"embed", "a", "--pooling=max"}),
              HasSubstr("--pooling is \"max\"; expected mean, cls"));
  EXPECT_THAT(UsageErrorOf({"embed", "a", "--dimensions=0"}), HasSubstr("--dimensions"));
  EXPECT_THAT(UsageErrorOf({"embed", "a", "--truncate=middle"}), HasSubstr("--truncate"));
  EXPECT_THAT(UsageErrorOf({"embed", "--ids=x"}), HasSubstr("--ids"));
  EXPECT_THAT(UsageErrorOf({"embed", "caf\xe9"}), HasSubstr("not well-formed UTF-8"));
}

TEST_F(CliEmbedTest, ErrorsOfTheServerNameTheOption) {
  server_.FailNext(1, testing::HeedError(grpc::INVALID_ARGUMENT, "bad", "INVALID_FIELD", {},
                                         {{"dimensions", "is 9; must be in [1, 3]"},
                                          {"prompts[1].text", "is not well-formed UTF-8"}}));
  RunToFail(kExitServerError, {"embed", "a", "--dimensions=9"});
  EXPECT_THAT(result_.err, HasSubstr("--dimensions is 9; must be in [1, 3] (dimensions)"));
  EXPECT_THAT(result_.err, HasSubstr("text 2 is not well-formed UTF-8 (prompts[1].text)"));
}

TEST_F(CliEmbedTest, JsonHasEveryNumber) {
  const auto json = RunJson({"embed", "the keys", "the", "--tokens"});
  EXPECT_EQ(At(json, "model.name").string_value(), "decoder");
  EXPECT_EQ(At(json, "pooling").string_value(), "mean");
  EXPECT_FALSE(At(json, "normalized").bool_value());
  EXPECT_EQ(At(json, "embeddings.0.prompt.tokens.1.text").string_value(), " keys");
  EXPECT_EQ(At(json, "embeddings.0.vector").list_value().values_size(), 3);
  EXPECT_EQ(At(json, "embeddings.0.vector.0").number_value(), 0.5);
  EXPECT_DOUBLE_EQ(At(json, "embeddings.0.norm").number_value(), std::sqrt(1.5));
  EXPECT_EQ(At(json, "embeddings.0.token_vectors.1.2").number_value(), 1);
  EXPECT_DOUBLE_EQ(At(json, "embeddings.0.token_norms.1").number_value(), std::sqrt(3.0));
  EXPECT_EQ(At(json, "embeddings.0.token_cosines.0.1").number_value(), 1);
  EXPECT_TRUE(At(json, "embeddings.0.token_cosines.1").list_value().values(1).has_null_value());
  EXPECT_DOUBLE_EQ(At(json, "cosine_similarities.1.0").number_value(), 1 / std::sqrt(1.5));
  EXPECT_EQ(At(json, "timings_ms.compute").number_value(), 3.1);
  const auto plain = RunJson({"embed", "the"});
  EXPECT_EQ(At(plain, "embeddings.0").struct_value().fields().count("token_vectors"), 0u);
}

TEST_F(CliEmbedTest, AVectorOfZerosHasNoAngle) {
  server_.script.edit_embed = [](v1::EmbedResponse& response) {
    response.mutable_embeddings(0)->mutable_vector()->set_data(std::string(12, '\0'));
  };
  EXPECT_THAT(Run({"embed", "the", "the"}), HasSubstr("\n1  -      -\n2  -  1.000\n"));
  const auto json = RunJson({"embed", "the", "the"});
  EXPECT_TRUE(At(json, "cosine_similarities.0").list_value().values(0).has_null_value());
}

TEST_F(CliEmbedTest, ATextIsMadeSafeForATerminal) {
  const std::string out = Run({"embed", "a\x1b[31m b\nc"});
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(out, HasSubstr("b↵c"));
}

TEST_F(CliEmbedTest, AMatrixThatIsTooWideSaysSo) {
  std::vector<std::string> words = {"embed"};
  for (int i = 0; i < 12; ++i) words.push_back("the keys");
  const std::string narrow = Run(words, {.terminal = {.is_terminal = true, .width = 60}});
  EXPECT_THAT(narrow, HasSubstr("6 columns left out; --json has them all.\n"));
  EXPECT_THAT(Run(words), Not(HasSubstr("left out")));
}

}  // namespace
}  // namespace heed::cli
