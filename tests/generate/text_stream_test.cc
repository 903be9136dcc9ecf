#include "model/generate/text_stream.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "model/base/utf8.h"
#include "model/generate/philox.h"

namespace heed {
namespace {

struct Answer {
  std::string text;
  int stopped_by = -1;
  friend bool operator==(const Answer&, const Answer&) = default;
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << '"' << answer.text << "\" stopped by " << answer.stopped_by;
}

Answer Stream(const std::vector<std::string>& pieces, const std::vector<std::string>& stop_texts) {
  TextStream stream(stop_texts);
  Answer answer;
  for (const std::string& piece : pieces) {
    const TextStream::Delta delta = stream.Append(piece);
    EXPECT_TRUE(IsValidUtf8(delta.text)) << delta.text;
    absl::StrAppend(&answer.text, delta.text);
    if (delta.stopped_by >= 0) answer.stopped_by = delta.stopped_by;
  }
  const TextStream::Delta end = stream.Finish();
  absl::StrAppend(&answer.text, end.text);
  if (end.stopped_by >= 0) answer.stopped_by = end.stopped_by;
  return answer;
}

// The definition: grow the text byte by byte; the first time it ends with a stop text, cut the
// longest such one off.
Answer Reference(absl::string_view bytes, const std::vector<std::string>& stop_texts) {
  const std::string text = ReplaceInvalidUtf8(bytes);
  for (size_t end = 1; end <= text.size(); ++end) {
    int longest = -1;
    for (size_t i = 0; i < stop_texts.size(); ++i) {
      if (!absl::EndsWith(absl::string_view(text).substr(0, end), stop_texts[i])) continue;
      if (longest < 0 || stop_texts[i].size() > stop_texts[longest].size()) longest = i;
    }
    if (longest >= 0) return {text.substr(0, end - stop_texts[longest].size()), longest};
  }
  return {text, -1};
}

TEST(TextStreamTest, TextComesOutAsItGoesIn) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("the keys").text, "the keys");
  EXPECT_EQ(stream.Append("").text, "");
  EXPECT_EQ(stream.Append(" were").text, " were");
  EXPECT_EQ(stream.Finish().text, "");
}

TEST(TextStreamTest, ACharacterComesOutWhenItIsWhole) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("a\xF0\x9F").text, "a");
  EXPECT_EQ(stream.Append("\x98").text, "");
  EXPECT_EQ(stream
                .Append("\x80"
                        "b\xC3")
                .text,
            "😀b");
  EXPECT_EQ(stream.Append("\xA9").text, "é");
  EXPECT_EQ(stream.Finish().text, "");
}

TEST(TextStreamTest, AnUnfinishedCharacterEndsAsReplacement) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("a\xE2\x82").text, "a");
  EXPECT_EQ(stream.Finish().text, "\uFFFD");
}

TEST(TextStreamTest, BytesThatNeverBecomeACharacterAreReplacedAtOnce) {
  TextStream stream({});
  EXPECT_EQ(stream.Append("a\xFF").text, "a\uFFFD");
  EXPECT_EQ(stream.Append("\xE2\x82").text, "");
  EXPECT_EQ(stream.Append("b").text,
            "\uFFFD"
            "b");
}

TEST(TextStreamTest, AStopTextIsLeftOut) {
  TextStream stream({"\n\n"});
  const TextStream::Delta delta = stream.Append("one\n\ntwo");
  EXPECT_EQ(delta.text, "one");
  EXPECT_EQ(delta.stopped_by, 0);
}

TEST(TextStreamTest, NothingComesAfterAStop) {
  TextStream stream({"."});
  stream.Append("one. two");
  const TextStream::Delta delta = stream.Append("three. four\xE2");
  EXPECT_EQ(delta.text, "");
  EXPECT_EQ(delta.stopped_by, -1);
  EXPECT_EQ(stream.Finish().text, "");
}

TEST(TextStreamTest, TheBeginningOfAStopTextIsHeldBack) {
  TextStream stream({"<end>"});
  EXPECT_EQ(stream.Append("a<en").text, "a");
  EXPECT_EQ(stream.Append("x").text, "<enx");
  EXPECT_EQ(stream.Append("<").text, "");
  EXPECT_EQ(stream.Append("<e").text, "<");
  EXPECT_EQ(stream.Append("nd").text, "");
  const TextStream::Delta delta = stream.Append(">b");
  EXPECT_EQ(delta.text, "");
  EXPECT_EQ(delta.stopped_by, 0);
}

TEST(TextStreamTest, FinishReleasesWhatWasHeldBack) {
  TextStream stream({"<end>"});
  EXPECT_EQ(stream.Append("a<en").text, "a");
  EXPECT_EQ(stream.Finish().text, "<en");
  EXPECT_EQ(stream.Finish().text, "");
  EXPECT_EQ(stream.Append("b").text, "");
}

TEST(TextStreamTest, AStopTextIsFoundAfterAFalseStart) {
  EXPECT_EQ(Stream({"aa", "ab", "c"}, {"aab"}), (Answer{"a", 0}));
  EXPECT_EQ(Stream({"abab", "ac"}, {"abac"}), (Answer{"ab", 0}));
}

TEST(TextStreamTest, AStopTextMaySplitACharacterOverTokens) {
  EXPECT_EQ(Stream({"a\xE2", "\x82", "\xAC!"}, {"€"}), (Answer{"a", 0}));
}

TEST(TextStreamTest, TheStopTextThatIsCompleteFirstWins) {
  EXPECT_EQ(Stream({"xabcd"}, {"abcd", "bc"}), (Answer{"xa", 1}));
  EXPECT_EQ(Stream({"xab", "cd"}, {"abcd", "bc"}), (Answer{"xa", 1}));
  EXPECT_EQ(Stream({"x", "abcd"}, {"abcd", "ab"}), (Answer{"x", 1}));
}

TEST(TextStreamTest, TheLongerWinsAmongThoseCompleteTogether) {
  EXPECT_EQ(Stream({"xabc"}, {"bc", "abc", "c"}), (Answer{"x", 1}));
  EXPECT_EQ(Stream({"xa", "b", "c"}, {"bc", "abc", "c"}), (Answer{"x", 1}));
}

TEST(TextStreamTest, AStopTextMayBeTheReplacementOfDamagedBytes) {
  EXPECT_EQ(Stream({"a", "\xFF", "b"}, {"\uFFFD"}), (Answer{"a", 0}));
  EXPECT_EQ(Stream({"a", "\xE2\x82"}, {"x", "\uFFFD"}), (Answer{"a", 1}));
}

TEST(TextStreamTest, AnAnswerThatIsTheStopTextIsEmpty) {
  EXPECT_EQ(Stream({"stop"}, {"stop"}), (Answer{"", 0}));
  EXPECT_EQ(Stream({}, {"stop"}), (Answer{"", -1}));
}

// Texts of a few fragments that begin, contain and damage each other, cut at random places.
class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : seed_(seed) {}

  int Below(int limit) { return static_cast<int>(RandomBits(seed_, draws_++) % limit); }

  std::string Text(int fragments) {
    static const std::vector<std::string> kFragments = {
        "a",      "b",    "ab",       "aab",          "é",    "€",    "😀",
        "\uFFFD", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\x80", "\xFF", "\n"};
    std::string text;
    for (int i = 0; i < fragments; ++i) text += kFragments[Below(kFragments.size())];
    return text;
  }

  std::vector<std::string> StopTexts() {
    std::vector<std::string> stop_texts(Below(4));
    for (std::string& stop : stop_texts) stop = ReplaceInvalidUtf8(Text(1 + Below(4)));
    return stop_texts;
  }

  std::vector<std::string> Cut(absl::string_view text) {
    std::vector<std::string> pieces;
    while (!text.empty()) {
      const size_t size = Below(5);
      pieces.emplace_back(text.substr(0, size));
      text.remove_prefix(std::min(size, text.size()));
    }
    return pieces;
  }

 private:
  uint64_t seed_;
  uint64_t draws_ = 0;
};

TEST(TextStreamTest, EveryWayOfCuttingGivesTheDefinedAnswer) {
  int stopped = 0;
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    Fuzz fuzz(seed);
    const std::vector<std::string> stop_texts = fuzz.StopTexts();
    const std::string text = fuzz.Text(fuzz.Below(12));
    const Answer expected = Reference(text, stop_texts);
    const Answer answer = Stream(fuzz.Cut(text), stop_texts);
    ASSERT_EQ(answer, expected) << "seed " << seed;
    stopped += answer.stopped_by >= 0;
  }
  EXPECT_GT(stopped, 4'000);
}

}  // namespace
}  // namespace heed
