#include "model/tokenizer/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;

Strings Cut(const std::string& json, const std::string& text) {
  const JsonDocument document = JsonDocument::Parse("json", json).value();
  const absl::StatusOr<PreTokenizers> steps = ParsePreTokenizers(document.root());
  EXPECT_TRUE(steps.ok()) << steps.status();
  if (!steps.ok()) return {};
  PieceList list = PieceList::Whole(AlignedText::FromUntrusted(text, 1 << 20));
  for (const auto& step : *steps) EXPECT_TRUE(step->Apply(&list).ok());
  Strings pieces;
  for (const Piece& piece : list.pieces) pieces.push_back(std::string(list.Text(piece)));
  return pieces;
}

std::string Split(const std::string& pattern, const std::string& behavior, bool invert = false) {
  return absl::StrCat(R"({"type":"Split","pattern":)", pattern, R"(,"behavior":")", behavior,
                      R"(","invert":)", invert ? "true" : "false", "}");
}

// In the reference's documentation of its split behaviours.
TEST(PreTokenizerTest, FiveBehavioursForLiteralAndRegex) {
  const std::string text = "the-final--countdown";
  for (const std::string pattern : {R"({"String":"-"})", R"({"Regex":"-"})"}) {
    EXPECT_EQ(Cut(Split(pattern, "Removed"), text), (Strings{"the", "final", "countdown"}));
    EXPECT_EQ(Cut(Split(pattern, "Isolated"), text),
              (Strings{"the", "-", "final", "-", "-", "countdown"}));
    EXPECT_EQ(Cut(Split(pattern, "MergedWithPrevious"), text),
              (Strings{"the-", "final-", "-", "countdown"}));
    EXPECT_EQ(Cut(Split(pattern, "MergedWithNext"), text),
              (Strings{"the", "-final", "-", "-countdown"}));
    EXPECT_EQ(Cut(Split(pattern, "Contiguous"), text),
              (Strings{"the", "-", "final", "--", "countdown"}));
  }
}

TEST(PreTokenizerTest, MatchesAtTheEnds) {
  const std::string pattern = R"({"String":"-"})";
  EXPECT_EQ(Cut(Split(pattern, "Removed"), "--"), Strings{});
  EXPECT_EQ(Cut(Split(pattern, "Isolated"), "-a-"), (Strings{"-", "a", "-"}));
  EXPECT_EQ(Cut(Split(pattern, "MergedWithPrevious"), "-a-"), (Strings{"-", "a-"}));
  EXPECT_EQ(Cut(Split(pattern, "MergedWithNext"), "-a-"), (Strings{"-a", "-"}));
  EXPECT_EQ(Cut(Split(pattern, "Contiguous"), "--a"), (Strings{"--", "a"}));
}

TEST(PreTokenizerTest, InvertedPatternsTreatTheRestAsMatches) {
  const std::string words = R"({"Regex":"\\w+|[^\\w\\s]+"})";
  EXPECT_EQ(Cut(Split(words, "Removed", true), "How are you, man!"),
            (Strings{"How", "are", "you", ",", "man", "!"}));
  EXPECT_EQ(Cut(Split(words, "MergedWithNext", true), "a b"), (Strings{"a", " b"}));
  EXPECT_EQ(Cut(Split(R"({"String":" "})", "Removed", true), "a  b"), (Strings{" ", " "}));
}

TEST(PreTokenizerTest, EmptyMatchesCutButAddNothing) {
  EXPECT_EQ(Cut(Split(R"({"Regex":"x*"})", "Isolated"), "axxb"), (Strings{"a", "xx", "b"}));
  EXPECT_EQ(Cut(Split(R"json({"Regex":"(?=b)"})json", "Isolated"), "abab"),
            (Strings{"a", "ba", "b"}));
}

TEST(PreTokenizerTest, ByteLevelCutsThenSpells) {
  const std::string json = R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true})";
  EXPECT_EQ(
      Cut(json, "Hello  there's 42\u00e9!\n"),
      (Strings{"Hello", "\u0120", "\u0120there", "'s", "\u012042", "\u00c3\u00a9", "!", "\u010a"}));
}

TEST(PreTokenizerTest, ByteLevelMayPrefixASpaceAndLeaveThePatternOut) {
  const std::string prefixed = R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":true})";
  EXPECT_EQ(Cut(prefixed, "a b"), (Strings{"\u0120"
                                           "a",
                                           "\u0120"
                                           "b"}));
  EXPECT_EQ(Cut(prefixed, " a"), (Strings{"\u0120"
                                          "a"}));
  EXPECT_EQ(Cut(prefixed, ""), Strings{});
  EXPECT_EQ(Cut(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})", "a b!"),
            Strings{"a\u0120"
                    "b!"});
}

TEST(PreTokenizerTest, DigitsAloneOrTogether) {
  EXPECT_EQ(Cut(R"({"type":"Digits","individual_digits":true})", "a12\u00bdb"),
            (Strings{"a", "1", "2", "\u00bd", "b"}));
  EXPECT_EQ(Cut(R"({"type":"Digits","individual_digits":false})", "Hey 123 friend!"),
            (Strings{"Hey ", "123", " friend!"}));
}

TEST(PreTokenizerTest, PunctuationAndWhitespace) {
  EXPECT_EQ(Cut(R"({"type":"Punctuation"})", "a,b?!"), (Strings{"a", ",", "b", "?", "!"}));
  EXPECT_EQ(Cut(R"({"type":"Punctuation","behavior":"Contiguous"})", "a?!"), (Strings{"a", "?!"}));
  EXPECT_EQ(Cut(R"({"type":"Whitespace"})", "Hey man!\u3000x_1"),
            (Strings{"Hey", "man", "!", "x_1"}));
  EXPECT_EQ(Cut(R"({"type":"WhitespaceSplit"})", " Hey,\tman! "), (Strings{"Hey,", "man!"}));
}

// Steps after ByteLevel see its alphabet: the digit in "½" is byte C2 BD by then.
TEST(PreTokenizerTest, SequencesRunInTheirOrder) {
  const std::string digits = R"({"type":"Digits","individual_digits":true})";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const auto sequence = [](const std::string& a, const std::string& b) {
    return absl::StrCat(R"({"type":"Sequence","pretokenizers":[)", a, ",", b, "]}");
  };
  EXPECT_EQ(Cut(sequence(digits, bytes), "a\u00bd1"), (Strings{"a", "\u00c2\u00bd", "1"}));
  EXPECT_EQ(Cut(sequence(bytes, digits), "a\u00bd1"), (Strings{"a\u00c2", "\u00bd", "1"}));
}

TEST(PreTokenizerTest, MetaspaceMarksSpacesAndCutsBeforeThem) {
  const auto metaspace = [](const std::string& scheme, bool split) {
    return absl::StrCat(R"({"type":"Metaspace","replacement":"_","prepend_scheme":")", scheme,
                        R"(","split":)", split ? "true" : "false", "}");
  };
  EXPECT_EQ(Cut(metaspace("always", true), "a b  c"), (Strings{"_a", "_b", "_", "_c"}));
  EXPECT_EQ(Cut(metaspace("always", false), "a b  c"), Strings{"_a_b__c"});
  EXPECT_EQ(Cut(metaspace("never", true), "a b"), (Strings{"a", "_b"}));
  EXPECT_EQ(Cut(metaspace("always", true), " a"), Strings{"_a"});
  EXPECT_EQ(Cut(metaspace("always", true), "_a"), Strings{"_a"});
  const auto after_words = [](const std::string& step) {
    return absl::StrCat(R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},)", step,
                        "]}");
  };
  EXPECT_EQ(Cut(after_words(metaspace("first", true)), "a b"), (Strings{"_a", "b"}));
  EXPECT_EQ(Cut(after_words(metaspace("always", true)), "a b"), (Strings{"_a", "_b"}));
  // Older files say it with a flag.
  EXPECT_EQ(Cut(R"({"type":"Metaspace","replacement":"_","add_prefix_space":false})", "a b"),
            (Strings{"a", "_b"}));
}

TEST(PreTokenizerTest, WordsOfBertAndPiecesOfFixedLength) {
  EXPECT_EQ(Cut(R"({"type":"BertPreTokenizer"})", "ab, c\u3000d!?"),
            (Strings{"ab", ",", "c", "d", "!", "?"}));
  EXPECT_EQ(Cut(R"({"type":"CharDelimiterSplit","delimiter":"\u00e9"})", "a\u00e9\u00e9b"),
            (Strings{"a", "b"}));
  EXPECT_EQ(Cut(R"({"type":"FixedLength","length":2})", "a\u00e9b\u00e9c"),
            (Strings{"a\u00e9", "b\u00e9", "c"}));
  EXPECT_EQ(Cut(R"({"type":"FixedLength"})", "abcdefg"), (Strings{"abcde", "fg"}));
}

TEST(PreTokenizerTest, UnicodeScriptsCutWhereTheScriptChanges) {
  const std::string json = R"({"type":"UnicodeScripts"})";
  EXPECT_EQ(Cut(json, "\u3069\u3053\u3067\u751f\u308c\u3002Yes"),
            (Strings{"\u3069\u3053\u3067\u751f\u308c", "\u3002", "Yes"}));
  EXPECT_EQ(
      Cut(json, "  Apples are \u308a\u3093\u3054 \u6797\u6a8e, \u043d\u0435\u0442"),
      (Strings{"Apples are ", "\u308a\u3093\u3054 \u6797\u6a8e", ", ", "\u043d\u0435\u0442"}));
  EXPECT_EQ(Cut(json, "1\u30fc2 "), (Strings{"1", "\u30fc", "2 "}));
  EXPECT_EQ(Cut(json, "  "), Strings{});
}

TEST(PreTokenizerTest, UnknownAndMisshapenPreTokenizersAreRefused) {
  const std::pair<std::string, absl::StatusCode> cases[] = {
      {R"({"type":"Metaspace"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Metaspace","replacement":"__"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Metaspace","replacement":"_","prepend_scheme":"last"})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"CharDelimiterSplit","delimiter":""})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"FixedLength","length":0})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Sequence","pretokenizers":[{"type":"Other"}]})",
       absl::StatusCode::kUnimplemented},
      {R"({"type":"Sequence"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"ByteLevel"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"ByteLevel","add_prefix_space":"no"})", absl::StatusCode::kInvalidArgument},
      {Split(R"({"Regex":"a"})", "Shuffled"), absl::StatusCode::kInvalidArgument},
      {Split(R"({"Regex":"(a"})", "Removed"), absl::StatusCode::kInvalidArgument},
      {Split(R"({"Regex":"(?s)a"})", "Removed"), absl::StatusCode::kUnimplemented},
      {R"({"type":"Split","pattern":{"String":"a"},"behavior":"Removed"})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"Digits"})", absl::StatusCode::kInvalidArgument},
      {"[]", absl::StatusCode::kInvalidArgument},
  };
  for (const auto& [json, code] : cases) {
    const JsonDocument document = JsonDocument::Parse("json", json).value();
    EXPECT_EQ(ParsePreTokenizers(document.root()).status().code(), code) << json;
  }
}

}  // namespace
}  // namespace heed
