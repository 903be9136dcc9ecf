#include "model/base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace heed {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

std::string Repeated(absl::string_view text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result.append(text.data(), text.size());
  return result;
}

// UTF-8 by arithmetic, without validity in mind.
std::string Encoded(uint32_t c) {
  std::string out;
  AppendUtf8(c, &out);
  return out;
}

TEST(Utf8Test, EveryCodePointSurvivesTheWayThereAndBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    const std::string bytes = Encoded(c);
    const size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    ASSERT_EQ(bytes.size(), length) << static_cast<uint32_t>(c);
    const Utf8Char decoded = DecodeUtf8(bytes);
    ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, static_cast<int>(length));
    ASSERT_TRUE(IsValidUtf8(bytes));
  }
}

TEST(Utf8Test, SurrogatesAndTooLargeCodePointsAreInvalid) {
  for (const uint32_t c : {0xD800u, 0xDBFFu, 0xDC00u, 0xDFFFu, 0x110000u, 0x1FFFFFu}) {
    EXPECT_FALSE(IsValidUtf8(Encoded(c))) << c;
  }
}

TEST(Utf8Test, OverlongFormsAreInvalid) {
  const char* const overlong[] = {"\xC0\x80",     "\xC1\xBF",         "\xE0\x80\x80",
                                  "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF"};
  for (const absl::string_view text : overlong) EXPECT_FALSE(IsValidUtf8(text)) << text;
}

TEST(Utf8Test, OneWrongByteMakesALongTextInvalidWhereverItIs) {
  for (size_t size = 1; size < 40; ++size) {
    for (size_t i = 0; i < size; ++i) {
      std::string text(size, 'a');
      EXPECT_TRUE(IsValidUtf8(text));
      text[i] = '\xFF';
      EXPECT_FALSE(IsValidUtf8(text)) << size << " " << i;
    }
  }
}

TEST(Utf8Test, EmptyTextAndNulBytesAreValid) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8(absl::string_view("\0a\0", 3)));
  EXPECT_EQ(ReplaceInvalidUtf8(absl::string_view("\0a\0", 3)), std::string("\0a\0", 3));
}

// What Python's bytes.decode("utf-8", "replace") gives: the text with R for each U+FFFD.
TEST(Utf8Test, EachMaximalIllFormedPartBecomesOneReplacement) {
  const std::pair<absl::string_view, absl::string_view> cases[] = {
      {"", ""},
      {"a\x80z", "aRz"},
      {"\x80\xBF", "RR"},
      {"\xC3", "R"},
      {"\xC3z", "Rz"},
      {"\xC3\xC3\xA9", "R\xC3\xA9"},
      {"\xE2\x82", "R"},
      {"\xE2\x82\xE2\x82\xAC", "R\xE2\x82\xAC"},
      {"\xE2(\xA1", "R(R"},
      {"\xF0\x9F\x98", "R"},
      {"\xF0\x9F\x98z", "Rz"},
      {"\xF0\x9Fz", "Rz"},
      {"\xF0z", "Rz"},
      {"\xC0\xAF", "RR"},
      {"\xE0\x80\xAF", "RRR"},
      {"\xED\xA0\x80", "RRR"},
      {"\xF0\x80\x80\xAF", "RRRR"},
      {"\xF4\x90\x80\x80", "RRRR"},
      {"\xF5\x80", "RR"},
      {"\xFE\xFF", "RR"},
      {"\xF8\x88\x80\x80\x80", "RRRRR"},
  };
  for (const auto& [text, expected] : cases) {
    std::string wanted;
    for (const char c : expected) {
      wanted += c == 'R' ? std::string(kReplacement) : std::string(1, c);
    }
    EXPECT_EQ(ReplaceInvalidUtf8(text), wanted) << testing::PrintToString(std::string(text));
  }
}

TEST(Utf8Test, ReplacingLeavesValidTextAloneAndIsAlwaysValid) {
  uint32_t state = 1;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint32_t n = state % 9; text.size() < n;) {
      state = state * 1664525 + 1013904223;
      // Bytes near the edges of UTF-8's ranges, where mistakes would be.
      constexpr unsigned char kBytes[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                          0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
                                          0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};
      text.push_back(static_cast<char>(kBytes[(state >> 16) % sizeof(kBytes)]));
    }
    state = state * 1664525 + 1013904223;
    const std::string replaced = ReplaceInvalidUtf8(text);
    ASSERT_TRUE(IsValidUtf8(replaced));
    ASSERT_EQ(IsValidUtf8(text), replaced == text);
    ASSERT_EQ(ReplaceInvalidUtf8(replaced), replaced);
  }
}

TEST(Utf8Test, CompletePrefixHoldsBackOnlyWhatMayStillBecomeACharacter) {
  const std::pair<absl::string_view, size_t> cases[] = {
      {"", 0},
      {"abc", 3},
      {"a\xC3", 1},
      {"a\xC3\xA9", 3},
      {"a\xE2", 1},
      {"a\xE2\x82", 1},
      {"a\xE2\x82\xAC", 4},
      {"\xF0", 0},
      {"\xF0\x9F", 0},
      {"\xF0\x9F\x98", 0},
      {"\xF0\x9F\x98\x80", 4},
      {"\x80\x80\x80", 3},  // nothing can repair these
      {"a\xE0\x80", 3},     // overlong
      {"a\xED\xA0", 3},     // a surrogate
      {"a\xF4\x90", 3},     // too large
      {"a\xC0", 2},
      {"a\xFF", 2},
      {"\xE2\x82\xC3", 2},  // a broken character before a possible one
      {"\xC3\xA9\xF0\x9F", 2},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(CompleteUtf8Prefix(text), expected) << testing::PrintToString(std::string(text));
  }
}

TEST(Utf8Test, TextFedByteByByteComesOutWhole) {
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x98\x80!";
  std::string held;
  std::string shown;
  for (const char c : text) {
    held.push_back(c);
    const size_t complete = CompleteUtf8Prefix(held);
    EXPECT_TRUE(IsValidUtf8(held.substr(0, complete)));
    EXPECT_GE(complete + 3, held.size());
    shown += held.substr(0, complete);
    held.erase(0, complete);
  }
  EXPECT_EQ(shown, text);
  EXPECT_EQ(held, "");
}

TEST(Utf8Test, LongTextsOfEveryWidthAreRead) {
  for (const absl::string_view part : {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
    const std::string text = Repeated(part, 1000);
    EXPECT_TRUE(IsValidUtf8(text));
    EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

}  // namespace
}  // namespace heed
