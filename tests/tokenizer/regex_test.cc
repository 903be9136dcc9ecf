#include "model/tokenizer/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/tokenizer/regex_dialect.h"

namespace heed {
namespace {

std::vector<std::string> FindAll(absl::string_view pattern, const std::string& text) {
  const absl::StatusOr<std::unique_ptr<Regex>> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<std::string> found;
  if (!regex.ok()) return found;
  RegexSearch search(**regex);
  RegexSearch::Match match;
  for (size_t from = 0; from < text.size() && search.Find(text, from, &match).value();
       from = match.end) {
    found.push_back(text.substr(match.begin, match.end - match.begin));
    if (match.begin == match.end) break;
  }
  return found;
}

bool Matches(absl::string_view pattern, const std::string& text) {
  return FindAll(pattern, text) == std::vector<std::string>{text};
}

TEST(RegexTest, WhitespaceIsThePropertyWhiteSpace) {
  for (const char* const space :
       {" ", "\t", "\r", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u3000"}) {
    EXPECT_TRUE(Matches("\\s", space)) << space;
    EXPECT_TRUE(Matches("[\\s]", space)) << space;
    EXPECT_FALSE(Matches("\\S", space)) << space;
    EXPECT_FALSE(Matches("[^\\s]", space)) << space;
  }
  for (const char* const other : {"a", "\u180e", "\u200b", "\ufeff"}) {
    EXPECT_FALSE(Matches("\\s", other)) << other;
    EXPECT_TRUE(Matches("\\S", other)) << other;
    EXPECT_TRUE(Matches("[^\\s]", other)) << other;
  }
}

TEST(RegexTest, WordCharactersAreAlphabeticMarksDigitsAndConnectors) {
  for (const char* const word :
       {"a", "5", "_", "\u0301", "\u0939", "\u2163", "\u203f", "\u24d0", "\u0660"}) {
    EXPECT_TRUE(Matches("\\w", word)) << word;
    EXPECT_FALSE(Matches("\\W", word)) << word;
  }
  for (const char* const other : {" ", "-", "\u2153", "\u200d", "\u2603"}) {
    EXPECT_FALSE(Matches("\\w", other)) << other;
    EXPECT_TRUE(Matches("[^\\w]", other)) << other;
  }
}

TEST(RegexTest, LatinFractionsAreWordCharactersOnlyOutsideAClass) {
  EXPECT_TRUE(Matches("\\w", "\u00bd"));
  EXPECT_FALSE(Matches("[\\w]", "\u00bd"));
  EXPECT_FALSE(Matches("\\W", "\u00bd"));
  EXPECT_TRUE(Matches("[^\\w]", "\u00bd"));
  EXPECT_EQ(FindAll("\\b.", "\u00bda -\u0301"),
            (std::vector<std::string>{"\u00bd", " ", "\u0301"}));
}

// PCRE2 counts what several scripts share, by itself.
TEST(RegexTest, ScriptNamesMeanTheScriptAndNotItsExtensions) {
  for (const char* const han : {R"(\p{Han}+)", R"([\p{Han}]+)", R"([\p{han}]+)", R"(\p{Hani}+)"}) {
    EXPECT_EQ(FindAll(han, "你好。「再见」x"), (std::vector<std::string>{"你好", "再见"})) << han;
  }
  for (const char* const other :
       {R"(\P{Han}+)", R"(\p{^Han}+)", R"([^\p{Han}]+)", R"([\P{Han}]+)"}) {
    EXPECT_EQ(FindAll(other, "你好。「再见」x"), (std::vector<std::string>{"。「", "」x"}))
        << other;
  }
  EXPECT_EQ(FindAll(R"(\P{^Katakana}+|\p{Hiragana}+)", "らーラーメン"),
            (std::vector<std::string>{"ら", "ラ", "メン"}));
  EXPECT_EQ(FindAll(R"(\p{Old_Italic}+|\p{L}+)", "\U00010300a"),
            (std::vector<std::string>{"\U00010300", "a"}));
}

TEST(RegexTest, EscapesThatOnlyPcre2KnowsAreTheirLetters) {
  EXPECT_EQ(FindAll(R"(\v|[\v])", "\n\v\r\u2028"), std::vector<std::string>{"\v"});
  for (const char* const letter : {R"(\V)", R"([\V])", R"(\E\V|\Q\V|\V)"}) {
    EXPECT_EQ(FindAll(letter, "aV\n"), std::vector<std::string>{"V"}) << letter;
  }
  EXPECT_EQ(FindAll(R"(\pL|[\P]+)", "a pL P"), (std::vector<std::string>{"pL", "P"}));
}

TEST(RegexTest, LineAnchorsAndDotAreRubys) {
  EXPECT_EQ(FindAll("^.+$", "ab\ncd\r\ne"), (std::vector<std::string>{"ab", "cd\r", "e"}));
}

TEST(RegexTest, LookaheadGivesTheLastSpaceToTheWord) {
  EXPECT_EQ(FindAll("\\s+(?!\\S)|\\s+", "a   b  "), (std::vector<std::string>{"  ", " ", "  "}));
}

TEST(RegexTest, CaseIsFoldedByUnicode) {
  EXPECT_TRUE(Matches("(?i:'s)", "'\u017f"));
}

TEST(RegexTest, LiteralBracketsAndPosixClassesAreKept) {
  EXPECT_TRUE(Matches("[]x]", "]"));
  EXPECT_TRUE(Matches("[^]x]", "y"));
  EXPECT_TRUE(Matches("[[:alpha:]]", "z"));
  EXPECT_TRUE(Matches("\\[\\(", "[("));
}

TEST(RegexTest, MalformedPatternsAreRefusedWithThePlace) {
  for (const char* const pattern :
       {"(", "a)", "[a", "*", "\\p{Nonsense}", "(?<=a+)b", "a\\", "(?Z)"}) {
    const absl::Status status = Regex::Compile(pattern).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << pattern << ": " << status;
  }
  EXPECT_NE(Regex::Compile("ab(").status().message().find("at byte 3"), std::string::npos);
}

TEST(RegexTest, FlagsThatOnigurumaDoesNotHaveAreRefused) {
  for (const char* const pattern : {"(?s)a.b", "(?is:a.b)", "(?i-s:a)"}) {
    const absl::Status status = Regex::Compile(pattern).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << pattern << ": " << status;
  }
}

TEST(RegexTest, ClassesWithinClassesMatchOneCharacter) {
  EXPECT_EQ(FindAll(R"([a-w&&[^c-g]z]+)", "abcdhz"), (std::vector<std::string>{"ab", "h"}));
  EXPECT_EQ(FindAll(R"([^a&&\w]+)", "ab-a_"), (std::vector<std::string>{"b-", "_"}));
  EXPECT_EQ(FindAll(R"([\S\n]+)", "a\n b\tc"), (std::vector<std::string>{"a\n", "b", "c"}));
  EXPECT_EQ(FindAll(R"([^\S\n]+)", "a\n \tb"), (std::vector<std::string>{" \t"}));
}

// What stands beside each other once other classes are taken out must not make ranges, a negation
// or one escape.
TEST(RegexTest, MembersOfAClassKeepTheirMeaningBesideOtherClasses) {
  EXPECT_EQ(FindAll(R"([a[b]-z]+)", "abc-zd"), (std::vector<std::string>{"ab", "-z"}));
  EXPECT_EQ(FindAll(R"([[a]^b]+)", "ab^c"), std::vector<std::string>{"ab^"});
  EXPECT_EQ(FindAll(R"([\S^]+)", "a^ b"), (std::vector<std::string>{"a^", "b"}));
  EXPECT_EQ(FindAll(R"([a-z^&&^b]+)", "abc^"), (std::vector<std::string>{"b", "^"}));
  EXPECT_EQ(FindAll(R"([\x4[b]1]+)", "bA1\x04"), (std::vector<std::string>{"b", "1\x04"}));
  EXPECT_EQ(FindAll(R"([:alpha:]+)", "hal:b"), std::vector<std::string>{"hal:"});
  EXPECT_EQ(FindAll(R"([a-c-e\s-]+)", "abd -e"), (std::vector<std::string>{"ab", " -e"}));
  EXPECT_EQ(FindAll(R"([--/é-ë]+)", "-.+êe"), (std::vector<std::string>{"-.", "ê"}));
}

TEST(RegexTest, RangesWithASetAtAnEndAreRefused) {
  for (const char* const pattern :
       {R"([\s-z])", R"([\s-・])", R"([a\S-z])", R"([\d-z])", R"([[:alpha:]-z])", R"([a-\d])",
        R"([\t-\s])", R"([a-\p{Han}])"}) {
    const absl::Status status = Regex::Compile(pattern).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << pattern << ": " << status;
  }
  const absl::Status before_class = Regex::Compile("[a-[b]z]").status();
  EXPECT_TRUE(absl::IsUnimplemented(before_class)) << before_class;
}

TEST(RegexTest, ClassesWithoutMembersOrEndAreRefused) {
  for (const char* const pattern : {"[a&&]", "[&&a]", "[a[b]", "[[:a"}) {
    const absl::Status status = Regex::Compile(pattern).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << pattern << ": " << status;
  }
  const absl::Status deep = Regex::Compile(std::string(1000, '[')).status();
  EXPECT_TRUE(absl::IsUnimplemented(deep)) << deep;
}

TEST(RegexTest, APlusBehindAnIntervalRepeatsIt) {
  EXPECT_EQ(FindAll(R"(\d{1,2}+)", "12345"), std::vector<std::string>{"12345"});
  EXPECT_EQ(FindAll(R"((?:ab){2}+c)", "ababababc"), std::vector<std::string>{"ababababc"});
  EXPECT_EQ(FindAll(R"(a{,2}b)", "aaab"), std::vector<std::string>{"aab"});
  EXPECT_EQ(FindAll(R"(\p{L}++)", "ab1"), std::vector<std::string>{"ab"});
}

TEST(RegexTest, HugeAndDeepPatternsAreRefused) {
  EXPECT_FALSE(Regex::Compile(std::string(1 << 20, 'a')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(30'000, '(') + std::string(30'000, ')')).ok());
}

TEST(RegexTest, RunawayPatternsEndInResourceExhausted) {
  const std::unique_ptr<Regex> regex = Regex::Compile("(?:a+)+$").value();
  RegexSearch search(*regex);
  RegexSearch::Match match;
  const absl::Status status = search.Find(std::string(100, 'a') + "b", 0, &match).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(RegexTest, DeepBacktrackingEndsCleanly) {
  const std::unique_ptr<Regex> regex = Regex::Compile("(?:(a)|b)*c").value();
  RegexSearch search(*regex);
  RegexSearch::Match match;
  const absl::StatusOr<bool> found = search.Find(std::string(1 << 20, 'a') + "dc", 0, &match);
  EXPECT_EQ(found.status().code(), absl::StatusCode::kResourceExhausted) << found.status();
}

TEST(RegexDialectTest, OnlyShorthandsChange) {
  const auto no_script = [](absl::string_view) { return false; };
  EXPECT_EQ(ToPcre2Dialect(R"((?i:'s|'t)|[^\r\n\p{L}]?\p{N}{1,3})", no_script).value(),
            R"((?i:'s|'t)|[^\r\n\p{L}]?\p{N}{1,3})");
  EXPECT_EQ(ToPcre2Dialect(R"(\\s)", no_script).value(), R"(\\s)");
}

}  // namespace
}  // namespace heed
