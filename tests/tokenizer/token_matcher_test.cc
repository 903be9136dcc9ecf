#include "model/tokenizer/token_matcher.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace heed {
namespace {

using Match = TokenMatcher::Match;

TokenMatcher Build(const std::vector<std::string>& strings) {
  TokenMatcher matcher;
  for (size_t i = 0; i < strings.size(); ++i) matcher.Add(strings[i], static_cast<int32_t>(i));
  matcher.Build();
  return matcher;
}

// The slow twin: tries every string at every place.
std::optional<Match> SlowFind(const std::vector<std::string>& strings, const std::string& text,
                              size_t from) {
  for (size_t begin = from; begin < text.size(); ++begin) {
    std::optional<Match> longest;
    for (size_t i = 0; i < strings.size(); ++i) {
      if (text.compare(begin, strings[i].size(), strings[i]) != 0) continue;
      if (longest.has_value() && begin + strings[i].size() < longest->end) continue;
      longest = Match{begin, begin + strings[i].size(), static_cast<int32_t>(i)};
    }
    if (longest.has_value()) return longest;
  }
  return std::nullopt;
}

void ExpectSame(const std::vector<std::string>& strings, const std::string& text) {
  const TokenMatcher matcher = Build(strings);
  for (size_t from = 0; from <= text.size(); ++from) {
    const std::optional<Match> match = matcher.Find(text, from);
    const std::optional<Match> expected = SlowFind(strings, text, from);
    ASSERT_EQ(match.has_value(), expected.has_value()) << text << " from " << from;
    if (!match.has_value()) continue;
    ASSERT_EQ(match->begin, expected->begin) << text << " from " << from;
    ASSERT_EQ(match->end, expected->end) << text << " from " << from;
    ASSERT_EQ(strings[match->string], strings[expected->string]);
  }
}

TEST(TokenMatcherTest, FindsNothingWithoutStrings) {
  EXPECT_TRUE(Build({}).empty());
  EXPECT_FALSE(Build({}).Find("abc", 0).has_value());
}

TEST(TokenMatcherTest, PrefersTheEarlierThenTheLonger) {
  ExpectSame({"abcd", "bc"}, "abce abcd bc");
  ExpectSame({"abcdx", "bc", "cde"}, "abcde");
  ExpectSame({"a", "ab", "abcd"}, "abcx abcd ab a");
  ExpectSame({"b", "abc"}, "ab abc");
  ExpectSame({"aab", "ab", "b"}, "aaab");
}

TEST(TokenMatcherTest, AgreesWithTheSlowTwinOnRandomStrings) {
  uint32_t state = 7;
  const auto random = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % n;
  };
  const auto random_string = [&](uint32_t length) {
    std::string text;
    for (uint32_t i = 0; i < length; ++i) text.push_back(static_cast<char>('a' + random(3)));
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> strings;
    for (uint32_t n = 1 + random(6); strings.size() < n;)
      strings.push_back(random_string(1 + random(5)));
    ExpectSame(strings, random_string(random(24)));
    if (HasFatalFailure()) return;
  }
}

// Each search reads on from where it began; a matcher that tried every beginning would need minutes
// here.
TEST(TokenMatcherTest, LongStringsThatNearlyMatchAreReadOnce) {
  const TokenMatcher matcher = Build({std::string(100'000, 'a') + "b"});
  EXPECT_FALSE(matcher.Find(std::string(1 << 20, 'a'), 0).has_value());
}

}  // namespace
}  // namespace heed
