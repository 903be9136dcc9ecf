#include "model/generate/prompt_lookup.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kMuchRoom = 100;

std::vector<TokenId> Guess(PromptLookup& lookup, const std::vector<TokenId>& tokens,
                           int64_t room = kMuchRoom) {
  lookup.Look(tokens, room);
  return {lookup.drafts().begin(), lookup.drafts().end()};
}

TEST(PromptLookupTest, GuessesWhatFollowedTheSameTwoTokens) {
  PromptLookup lookup(15);
  EXPECT_THAT(Guess(lookup, {1, 2, 3, 4, 5, 1, 2}), ElementsAre(3, 4));
  EXPECT_THAT(Guess(lookup, {1, 2, 3, 4, 5, 1, 2}, 1), ElementsAre(3));
  EXPECT_THAT(Guess(lookup, {1, 2, 3, 4, 5, 1, 2}, 0), IsEmpty());
  EXPECT_THAT(Guess(lookup, {1, 2, 3, 4, 5, 9, 2}), IsEmpty());
  EXPECT_THAT(Guess(lookup, {2, 3, 4, 5, 9, 2}), IsEmpty());
}

TEST(PromptLookupTest, GuessesNothingOfAShortText) {
  PromptLookup lookup(15);
  for (const std::vector<TokenId>& tokens :
       std::vector<std::vector<TokenId>>{{}, {1}, {1, 1}, {1, 2, 1}}) {
    EXPECT_THAT(Guess(lookup, tokens), IsEmpty());
  }
}

TEST(PromptLookupTest, TheLongestMatchCountsAndOfEqualOnesTheLatest) {
  PromptLookup lookup(15);
  EXPECT_THAT(Guess(lookup, {7, 1, 2, 3, 9, 8, 1, 2, 4, 9, 7, 1, 2}), ElementsAre(3, 9));
  EXPECT_THAT(Guess(lookup, {7, 1, 2, 3, 9, 7, 1, 2, 4, 9, 7, 1, 2}), ElementsAre(4, 9));
}

// What repeats itself goes on so, further than the text is written.
TEST(PromptLookupTest, ARepetitionGoesOn) {
  PromptLookup lookup(15);
  EXPECT_THAT(Guess(lookup, {5, 5, 5}), ElementsAre(5, 5));
  lookup.Learn(2, 2);
  EXPECT_THAT(Guess(lookup, {3, 1, 2, 1, 2}), ElementsAre(1, 2, 1, 2, 1));
}

TEST(PromptLookupTest, GuessesMoreWhileAllAreRight) {
  PromptLookup lookup(15);
  const std::vector<TokenId> tokens = {5, 5, 5};
  for (const size_t expected : {2, 5, 11, 15, 15}) {
    const size_t count = Guess(lookup, tokens).size();
    EXPECT_EQ(count, expected);
    lookup.Learn(static_cast<int64_t>(count), static_cast<int64_t>(count));
  }
  lookup.Learn(15, 6);
  EXPECT_EQ(Guess(lookup, tokens).size(), 6u);
  lookup.Learn(6, 0);
  EXPECT_EQ(Guess(lookup, tokens).size(), 3u);
}

TEST(PromptLookupTest, PausesLongerEachTimeThatNoneIsRight) {
  PromptLookup lookup(15);
  const std::vector<TokenId> tokens = {5, 5, 5};
  std::vector<int> pauses;
  for (int pause = 0; pauses.size() < 9;) {
    if (Guess(lookup, tokens).empty()) {
      ++pause;
      continue;
    }
    pauses.push_back(pause);
    pause = 0;
    lookup.Learn(1, 0);
  }
  EXPECT_THAT(pauses, ElementsAre(0, 0, 1, 3, 7, 15, 31, 63, 63));
  for (int i = 0; i < 63; ++i) EXPECT_THAT(Guess(lookup, tokens), IsEmpty());
  EXPECT_THAT(Guess(lookup, tokens), ElementsAre(5));
  lookup.Learn(1, 1);
  EXPECT_EQ(Guess(lookup, tokens).size(), 3u);
  // One that was right, and it begins anew.
  lookup.Learn(3, 0);
  lookup.Learn(1, 0);
  EXPECT_THAT(Guess(lookup, tokens), IsEmpty());
  EXPECT_THAT(Guess(lookup, tokens), ElementsAre(5));
}

// A step had no room for them.
TEST(PromptLookupTest, DraftsThatWereNotTriedTeachNothing) {
  PromptLookup lookup(15);
  lookup.Learn(0, 0);
  EXPECT_EQ(Guess(lookup, {5, 5, 5}).size(), 2u);
}

TEST(PromptLookupTest, MakesNoMoreThanItIsTold) {
  for (const int64_t most : {0, 1, 3}) {
    PromptLookup lookup(most);
    for (int i = 0; i < 4; ++i) {
      const int64_t count = static_cast<int64_t>(Guess(lookup, {5, 5, 5}).size());
      EXPECT_LE(count, most);
      lookup.Learn(count, count);
    }
  }
}

// Further back than that nothing is looked for.
TEST(PromptLookupTest, ForgetsWhatIsFarAway) {
  PromptLookup lookup(15);
  std::vector<TokenId> tokens = {1, 2, 3};
  const auto follow = [&](int64_t distance) {
    tokens.resize(3);
    for (int64_t i = 0; i < distance; ++i) tokens.push_back(static_cast<TokenId>(10 + i));
    tokens.push_back(1);
    tokens.push_back(2);
    return Guess(lookup, tokens);
  };
  EXPECT_THAT(follow(1000), ElementsAre(3, 10));
  EXPECT_THAT(follow(20000), IsEmpty());
}

}  // namespace
}  // namespace heed
