#include "client/cli/base/arguments.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<OptionSpec> kSpecs = {{"top", "K", ""},
                                        {"all", "", ""},
                                        {"stop", "TEXT", "", /*repeatable=*/true},
                                        {"temperature", "T", ""}};

absl::StatusOr<Arguments> Parse(const std::vector<std::string>& words) {
  return Arguments::Parse(words, kSpecs, "heed test");
}

TEST(ArgumentsTest, OptionsMayStandAnywhereInBothForms) {
  const auto arguments = Parse({"--top", "3", "text", "--all", "--temperature=0.5"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_THAT(arguments->positionals(), ElementsAre("text"));
  EXPECT_TRUE(arguments->Has("all"));
  EXPECT_EQ(**arguments->Int("top"), 3);
  EXPECT_FLOAT_EQ(**arguments->Float("temperature"), 0.5F);
}

TEST(ArgumentsTest, NegativeValuesAndDashesAreValues) {
  const auto arguments = Parse({"--top", "-1", "-", "--stop=", "--stop=--x"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_EQ(**arguments->Int("top"), -1);
  EXPECT_THAT(arguments->positionals(), ElementsAre("-"));
  EXPECT_THAT(arguments->Strings("stop"), ElementsAre("", "--x"));
}

TEST(ArgumentsTest, TwoDashesEndTheOptions) {
  const auto arguments = Parse({"--all", "--", "--top", "-x"});
  ASSERT_TRUE(arguments.ok());
  EXPECT_THAT(arguments->positionals(), ElementsAre("--top", "-x"));
}

TEST(ArgumentsTest, AbsentOptionsHaveNoValue) {
  const auto arguments = Parse({});
  EXPECT_FALSE(arguments->Int("top")->has_value());
  EXPECT_FALSE(arguments->Float("temperature")->has_value());
  EXPECT_EQ(arguments->String("top", "7"), "7");
}

struct BadLine {
  std::vector<std::string> words;
  const char* message;
};

void PrintTo(const BadLine& bad, std::ostream* out) {
  *out << absl::StrJoin(bad.words, " ");
}

class BadLineTest : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadLineTest, IsAUsageErrorWithAHint) {
  const absl::Status status = Parse(GetParam().words).status();
  EXPECT_TRUE(IsUsageError(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadLineTest,
    ::testing::Values(BadLine{{"--tpo=3"}, "Did you mean --top?"},
                      BadLine{{"--temp=1"}, "Did you mean --temperature?"},
                      BadLine{{"--zzzzzz"}, "heed test --help lists the options"},
                      BadLine{{"-top"}, "unknown option -top"},
                      BadLine{{"--top"}, "--top needs a value: --top=K"},
                      BadLine{{"--top", "--all"}, "--top needs a value"},
                      BadLine{{"--all=yes"}, "--all takes no value"},
                      BadLine{{"--top=1", "--top=2"}, "--top is given twice"}));

TEST(ArgumentsTest, IntNamesWhatWouldBeRight) {
  const auto message = [](const std::string& value) {
    return std::string(Parse({"--top=" + value})->Int("top", 1, 9).status().message());
  };
  EXPECT_THAT(message("x"), HasSubstr("\"x\"; expected a whole number"));
  EXPECT_THAT(message("1.5"), HasSubstr("expected a whole number"));
  EXPECT_THAT(message(""), HasSubstr("expected a whole number"));
  EXPECT_THAT(message("99999999999999999999"), HasSubstr("expected a whole number"));
  EXPECT_THAT(message("0"), HasSubstr("expected 1 or more"));
  EXPECT_THAT(message("10"), HasSubstr("expected 9 or less"));
}

TEST(ArgumentsTest, FloatRefusesWhatIsNotANumber) {
  for (const char* text : {"x", "", "nan", "1,5"}) {
    EXPECT_TRUE(
        IsUsageError(Parse({std::string("--temperature=") + text})->Float("temperature").status()))
        << text;
  }
}

TEST(ArgumentsTest, DurationReadsUnitsAndPlainSeconds) {
  const auto duration = [](const std::string& text) {
    return Parse({"--top=" + text})->Duration("top");
  };
  EXPECT_EQ(**duration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(**duration("1m30s"), absl::Seconds(90));
  EXPECT_EQ(**duration("2"), absl::Seconds(2));
  EXPECT_EQ(**duration("0.5"), absl::Milliseconds(500));
  for (const char* bad : {"", "x", "0", "-1s", "5 minutes", "nan"}) {
    EXPECT_TRUE(IsUsageError(duration(bad).status())) << bad;
  }
}

TEST(ArgumentsTest, IntsTakesCommasSpacesAndRepeats) {
  const auto ints = [](std::vector<std::string> words) { return Parse(words)->Ints("stop"); };
  EXPECT_THAT(*ints({"--stop=1,2", "--stop=-3 4"}), ElementsAre(1, 2, -3, 4));
  EXPECT_TRUE(IsUsageError(ints({"--stop=1,x"}).status()));
  EXPECT_THAT(*ints({"--stop= 1 , 2  3"}), ElementsAre(1, 2, 3));
  for (const char* bad : {",", "5,", ",5", "5,,6", "5, ,6"}) {
    EXPECT_TRUE(IsUsageError(ints({absl::StrCat("--stop=", bad)}).status())) << bad;
  }
  EXPECT_TRUE(IsUsageError(ints({"--stop=3000000000"}).status()));
}

TEST(ArgumentsTest, NearestFindsTyposOnly) {
  EXPECT_EQ(Nearest("predcit", {"models", "predict"}), "predict");
  EXPECT_EQ(Nearest("gen", {"models", "generate"}), "generate");
  EXPECT_EQ(Nearest("zebra", {"models", "predict"}), std::nullopt);
  EXPECT_EQ(Nearest("", {"models"}), std::nullopt);
}

}  // namespace
}  // namespace heed::cli
