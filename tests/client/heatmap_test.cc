#include "client/cli/pictures/heatmap.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/attention/attention_stats.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_weights.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

HeatMap Small() {
  return {.keys = {"the", "·keys", "·to"},
          .queries = {0, 1, 2},
          .weights = {1, 0, 0, .25F, .75F, 0, .04F, .26F, .7F},
          .causal = true};
}

TEST(HeatMapTest, ReadsWithoutColors) {
  EXPECT_EQ(RenderHeatMap(Small(), {}),
            "            0     1    2\n"
            "          the ·keys  ·to\n"
            "0 the    *1.0     ·    ·\n"
            "1 ·keys  ▓.25 █*.75    ·\n"
            "2 ·to    ░.04 ▓▓.26 *.70\n");
}

TEST(HeatMapTest, ColorsCellsAndMarksTheStrongest) {
  const std::string map = RenderHeatMap(Small(), {.color = ColorDepth::kTrueColor});
  EXPECT_THAT(map, HasSubstr("\033[48;2;"));
  EXPECT_THAT(map, HasSubstr("*.75 \033[0m"));
  EXPECT_THAT(map, HasSubstr("\033[2m    · \033[0m"));  // what a causal model does not see
  EXPECT_THAT(RenderHeatMap(Small(), {.color = ColorDepth::k256}), HasSubstr("\033[48;5;"));
}

TEST(HeatMapTest, ABidirectionalMapHasNoDots) {
  HeatMap map = Small();
  map.causal = false;
  EXPECT_THAT(RenderHeatMap(map, {}), Not(HasSubstr("   ·\n")));
}

TEST(HeatMapTest, ShowsTheStrongestKeysWhenNotAllFit) {
  HeatMap map;
  for (int i = 0; i < 30; ++i) map.keys.push_back(absl::StrCat("k", i));
  map.queries = {29};
  map.weights.assign(30, 0.01F);
  map.weights[7] = 0.5F;
  map.weights[21] = 0.22F;
  const std::string text = RenderHeatMap(map, {.width = 40});
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  EXPECT_THAT(lines[1], HasSubstr("k7"));
  EXPECT_THAT(lines[1], HasSubstr("k21"));
  EXPECT_THAT(lines[1], HasSubstr("rest"));
  EXPECT_THAT(lines[2], HasSubstr("*.50"));
  EXPECT_THAT(lines[3], HasSubstr("of 30 keys shown"));
  for (int i = 0; i < 3; ++i) EXPECT_LE(DisplayWidth(lines[i]), 40) << lines[i];
}

TEST(HeatMapTest, WhatTheLastRowReadsComesBeforeLargerWeightsOfOtherRows) {
  HeatMap map;
  const int count = 30;
  for (int i = 0; i < count; ++i) {
    map.keys.push_back(absl::StrCat("k", i));
    map.queries.push_back(i);
  }
  map.weights.assign(count * count, 0);
  for (int i = 0; i < count; ++i) map.weights[i * count + i] = 1;  // each reads itself
  float* last = map.weights.data() + (count - 1) * count;
  last[count - 1] = 0;
  last[4] = 0.31F;
  last[17] = 0.29F;
  last[20] = 0.4F;
  map.causal = true;
  map.last_row_note = "← predicts";
  const std::string text = RenderHeatMap(map, {.width = 60});
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (const char* key : {"k4", "k17", "k20"}) EXPECT_THAT(lines[1], HasSubstr(key));
  const std::string& row = lines[1 + count];
  EXPECT_THAT(row, HasSubstr("*.40"));
  EXPECT_THAT(row, HasSubstr("   0"));  // nothing is left in "rest"
  EXPECT_THAT(text, HasSubstr("The last row predicts. 9 of 30 keys"));
  EXPECT_THAT(text, HasSubstr("shown, those that the last row reads and then"));
}

TEST(HeatMapTest, LeavesOutEarlyRowsAndSaysSo) {
  HeatMap map = Small();
  const std::string text = RenderHeatMap(map, {}, {.max_rows = 1});
  EXPECT_THAT(text, Not(HasSubstr("1 ·keys")));
  EXPECT_THAT(text, HasSubstr("The first 2 rows of 3 left out."));
}

TEST(HeatMapTest, WideCharactersStayAligned) {
  HeatMap map = Small();
  map.keys = {"漢字漢字漢字漢字", "b", "c"};
  const std::vector<std::string> lines = absl::StrSplit(RenderHeatMap(map, {}), '\n');
  EXPECT_THAT(lines[1], HasSubstr("漢字漢字…"));
  EXPECT_EQ(DisplayWidth(lines[2]), DisplayWidth(lines[4]));
}

TEST(HeatMapTest, NoRowsAndNoKeysAreFine) {
  EXPECT_EQ(RenderHeatMap({}, {}), "\n\n");
}

TEST(AttentionStatsTest, EntropyOfKnownRows) {
  EXPECT_DOUBLE_EQ(Entropy(std::vector<float>{0, 1, 0}), 0);
  EXPECT_NEAR(Entropy(std::vector<float>{.25F, .25F, .25F, .25F}), 1.386294, 1e-6);
}

TEST(AttentionStatsTest, LargestKeysBreakTiesByPositionAndSkipZeros) {
  const std::vector<float> row = {.2F, .3F, .3F, 0, .2F};
  EXPECT_THAT(LargestKeys(row, 3), ElementsAre(1, 2, 0));
  EXPECT_THAT(LargestKeys(row, 9), ElementsAre(1, 2, 0, 4));
}

TEST(AttentionStatsTest, ChoosesTheHeadThatReadsATokenInBetween) {
  const AttentionMaps maps =
      FakeMaps(1, 4, {{0, 0, 0, 1}, {.9F, .05F, .05F, 0}, {0, 0, 1, 0}, {.3F, .6F, 0, .1F}});
  const HeadChoice choice = ChooseHead(maps);
  EXPECT_EQ(choice.head, 3);
  EXPECT_THAT(choice.reason, HasSubstr("puts .60 on t1"));
}

TEST(AttentionStatsTest, OfEqualHeadsTheLaterLayerIsChosen) {
  const AttentionMaps maps =
      FakeMaps(2, 2, {{0, .9F, .1F, 0}, {1, 0, 0, 0}, {1, 0, 0, 0}, {0, .899F, .101F, 0}});
  const HeadChoice choice = ChooseHead(maps);
  EXPECT_EQ(choice.layer, 1);
  EXPECT_EQ(choice.head, 1);
}

TEST(AttentionStatsTest, ChoosesTheMostDecidedHeadWhenThereIsNothingInBetween) {
  const AttentionMaps maps = FakeMaps(1, 2, {{.5F, .5F}, {.1F, .9F}});
  const HeadChoice choice = ChooseHead(maps);
  EXPECT_EQ(choice.head, 1);
  EXPECT_THAT(choice.reason, HasSubstr("most decided"));
}

}  // namespace
}  // namespace heed::cli
