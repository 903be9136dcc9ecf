#include "model/tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "model/base/utf8.h"

namespace heed {
namespace {

struct Rewriting {
  std::string text;
  int64_t taken = 0;  // characters of the source that the changes account for
};

Rewriting Run(NormalForm form, const std::string& text) {
  Rewriting result;
  Normalize(form, text, [&result](RewrittenChar c) {
    AppendUtf8(c.code_point, &result.text);
    if (c.change <= 0) result.taken += 1 - c.change;
  });
  return result;
}

// utf8proc's own normalisation of a whole text.
std::string Expected(NormalForm form, const std::string& text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.c_str());
  utf8proc_uint8_t* result = form == NormalForm::kNfc    ? utf8proc_NFC(bytes)
                             : form == NormalForm::kNfd  ? utf8proc_NFD(bytes)
                             : form == NormalForm::kNfkc ? utf8proc_NFKC(bytes)
                                                         : utf8proc_NFKD(bytes);
  const std::string normalized = reinterpret_cast<const char*>(result);
  std::free(result);
  return normalized;
}

constexpr NormalForm kForms[] = {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc,
                                 NormalForm::kNfkd};

int64_t CountChars(const std::string& text) {
  int64_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

void ExpectNormalized(const std::string& text) {
  for (const NormalForm form : kForms) {
    const Rewriting result = Run(form, text);
    ASSERT_EQ(result.text, Expected(form, text))
        << testing::PrintToString(text) << " form " << static_cast<int>(form);
    ASSERT_EQ(result.taken, CountChars(text)) << testing::PrintToString(text);
    if (IsNormalized(form, text)) {
      ASSERT_EQ(result.text, text) << testing::PrintToString(text);
    }
  }
}

TEST(UnicodeTest, EveryCharacterNormalizesAsUtf8procSays) {
  for (char32_t c = 1; c <= 0x2FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    ExpectNormalized(text);
    if (HasFatalFailure()) return;
  }
}

TEST(UnicodeTest, RandomSequencesNormalizeAsUtf8procSays) {
  // Starters, marks of several classes, jamo, compositions and things that decompose.
  constexpr char32_t kChars[] = {'a',    'e',    'o',    0xE9,    0x1EBF,  0x300,   0x301,  0x302,
                                 0x308,  0x323,  0x327,  0x328,   0x30A,   0x345,   0x5B0,  0x591,
                                 0x1100, 0x1161, 0x11A8, 0xAC00,  0xAC01,  0x9C7,   0x9BE,  0x9D7,
                                 0xFB01, 0x212B, 0x958,  0x1D15E, 0x2FA1D, ' ',     0xFDFA, 0x390,
                                 0x3B9,  0x1F00, 0x0DD9, 0x0DCA,  0x0DCF,  0x110B9, 0x110BA};
  uint32_t state = 5;
  for (int round = 0; round < 30000; ++round) {
    std::string text;
    for (int i = 0; i < 8; ++i) {
      state = state * 1664525 + 1013904223;
      AppendUtf8(kChars[(state >> 16) % std::size(kChars)], &text);
    }
    ExpectNormalized(text);
    if (HasFatalFailure()) return;
  }
}

TEST(UnicodeTest, CommonTextsAreSeenToBeNormalized) {
  EXPECT_TRUE(IsNormalized(NormalForm::kNfc, "caf\u00e9 \u6771\u4eac \ud55c\uae00 \ufffd"));
  EXPECT_TRUE(IsNormalized(NormalForm::kNfkd, "plain \u6771"));
  EXPECT_FALSE(IsNormalized(NormalForm::kNfd, "\u00e9"));
  EXPECT_FALSE(IsNormalized(NormalForm::kNfkc, "\u00a0"));
  EXPECT_FALSE(IsNormalized(NormalForm::kNfd, "\ud55c"));
}

TEST(UnicodeTest, GraphemeClustersAreWhole) {
  const std::pair<std::string, size_t> cases[] = {{"ab", 1},
                                                  {"a", 1},
                                                  {"\r\n", 2},
                                                  {"\n\r", 1},
                                                  {"e\u0301\u0301x", 5},
                                                  {"\u00e9a", 2},
                                                  {"\ra", 1},
                                                  {"\u1112\u1161\u11abx", 9}};
  for (const auto& [text, bytes] : cases) EXPECT_EQ(GraphemeClusterBytes(text), bytes) << text;
}

TEST(UnicodeTest, ChangesSayWhatBecameOfEachCharacter) {
  std::vector<int> changes;
  const auto collect = [&changes](RewrittenChar c) { changes.push_back(c.change); };
  Normalize(NormalForm::kNfc, "e\u0301x", collect);  // composed: one place takes two characters
  EXPECT_EQ(changes, (std::vector<int>{-1, 0}));
  changes.clear();
  Normalize(NormalForm::kNfd, "\u00e9x", collect);  // decomposed: the mark takes no place
  EXPECT_EQ(changes, (std::vector<int>{0, 1, 0}));
  changes.clear();
  Normalize(NormalForm::kNfkc, "\ufb01", collect);
  EXPECT_EQ(changes, (std::vector<int>{0, 1}));
}

TEST(UnicodeTest, LowercaseOfCapitalDottedIIsTwoCharacters) {
  std::string lower;
  for (const char32_t c : {U'A', U'\u0130', U'\u00C9', U'\u1E9E', U'\u01C5', U'\U00010400', U'1'}) {
    Lowercase(c, [&lower](RewrittenChar l) { AppendUtf8(l.code_point, &lower); });
  }
  EXPECT_EQ(lower, "ai\u0307\u00E9\u00DF\u01C6\U000104281");
}

TEST(UnicodeTest, KindsOfCharacters) {
  for (const char32_t c : {U' ', U'\n', U'\u0085', U'\u00A0', U'\u2029', U'\u3000'})
    EXPECT_TRUE(IsWhitespace(c));
  for (const char32_t c : {U'a', U'\u180E', U'\u200B', U'\uFEFF'}) EXPECT_FALSE(IsWhitespace(c));
  for (const char32_t c : {U'a', U'9', U'_', U'\u0301', U'\u200D', U'\u24B6', U'\u6771'})
    EXPECT_TRUE(IsWordChar(c));
  for (const char32_t c : {U' ', U'-', U'\u00BD', U'\u2603'}) EXPECT_FALSE(IsWordChar(c));
  for (const char32_t c : {U'1', U'\u00BD', U'\u2163', U'\u0661'}) EXPECT_TRUE(IsNumeric(c));
  for (const char32_t c : {U'a', U'\u4E00'}) EXPECT_FALSE(IsNumeric(c));
  for (const char32_t c : {U'!', U'$', U'~', U'`', U'\u3002', U'\u00BF', U'_'})
    EXPECT_TRUE(IsPunctuation(c));
  for (const char32_t c : {U'a', U' ', U'\u20AC', U'\u00D7'}) EXPECT_FALSE(IsPunctuation(c));
}

}  // namespace
}  // namespace heed
