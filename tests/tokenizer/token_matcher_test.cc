#include "model/tokenizer/token_matcher.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace heed {
namespace {

using Match = TokenMatcher::Match;
using Found = std::tuple<size_t, size_t, int32_t>;  // begin, end, string

TokenMatcher Build(const std::vector<std::string>& strings) {
  TokenMatcher matcher;
  for (size_t i = 0; i < strings.size(); ++i) matcher.Add(strings[i], static_cast<int32_t>(i));
  matcher.Build();
  return matcher;
}

// What is found in a text, as the strings' numbers and places.
std::vector<Found> FindAll(const TokenMatcher& matcher, const std::string& text) {
  std::vector<Found> found;
  matcher.ForEach(
      text, [&](const Match& match) { found.emplace_back(match.begin, match.end, match.string); });
  return found;
}

// The slow twin: tries every string at every place.
std::vector<Found> SlowFindAll(const std::vector<std::string>& strings, const std::string& text) {
  std::vector<Found> found;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    std::optional<Match> longest;
    for (size_t i = 0; i < strings.size(); ++i) {
      if (text.compare(begin, strings[i].size(), strings[i]) != 0) continue;
      if (longest.has_value() && begin + strings[i].size() < longest->end) continue;
      longest = Match{begin, begin + strings[i].size(), static_cast<int32_t>(i)};
    }
    if (!longest.has_value()) continue;
    found.emplace_back(longest->begin, longest->end, longest->string);
    begin = longest->end - 1;
  }
  return found;
}

void ExpectSame(const std::vector<std::string>& strings, const std::string& text) {
  ASSERT_EQ(FindAll(Build(strings), text), SlowFindAll(strings, text)) << text;
}

TEST(TokenMatcherTest, FindsNothingWithoutStrings) {
  EXPECT_TRUE(Build({}).empty());
  EXPECT_TRUE(FindAll(Build({}), "abc").empty());
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

// A matcher that tried every beginning would need minutes here.
TEST(TokenMatcherTest, LongStringsThatNearlyMatchAreReadOnce) {
  const TokenMatcher matcher = Build({std::string(100'000, 'a') + "b"});
  EXPECT_TRUE(FindAll(matcher, std::string(1 << 20, 'a')).empty());
}

// And here one that looked for the longest match behind each beginning.
TEST(TokenMatcherTest, ShortStringsWithinLongOnesAreReadOnce) {
  const std::string text(1 << 18, 'a');
  const TokenMatcher before = Build({"a", std::string(100'000, 'a') + "b"});
  EXPECT_EQ(FindAll(before, text).size(), text.size());
  const TokenMatcher behind = Build({"a", "b" + std::string(100'000, 'a')});
  EXPECT_EQ(FindAll(behind, text).size(), text.size());
}

}  // namespace
}  // namespace heed
