#include "client/cli/pictures/weight_table.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace heed::cli {
namespace {

using Rows = std::vector<std::vector<float>>;

TEST(WeightTableTest, NumbersStandUnderTheirWords) {
  const Rows rows = {{0, 0, 1}, {.25F, .25F, .5F}};
  const WeightTable table({"the", "·cabinet", "·to"}, rows, 6, {.width = 80});
  EXPECT_EQ(table.Titles("x"), "x      the ·cabinet  ·to");
  EXPECT_EQ(table.Row("one", rows[0]), "one      0        0 *1.0");
  EXPECT_EQ(table.Row("two", rows[1]), "two   ▓.25 ▓▓▓▓▓.25 *.50");
  EXPECT_EQ(table.Note(), "");
}

TEST(WeightTableTest, NothingIsMarkedWhenAllAreAlike) {
  const Rows rows = {{.5F, .5F}};
  EXPECT_EQ(WeightTable({"a", "b"}, rows, 2, {}).Row("", rows[0]), "  █.50 █.50");
}

TEST(WeightTableTest, WhatARowDoesNotSeeIsADot) {
  const Rows rows = {{1}, {.5F, .25F}};
  const WeightTable table({"a", "b"}, rows, 2, {});
  EXPECT_EQ(table.Row("", rows[0]), "  *1.0    ·");
  EXPECT_EQ(table.Titles(""), "     a    b");
}

TEST(WeightTableTest, WordsThatDoNotFitAddUpInTheRest) {
  const Rows rows = {{.1F, .6F, .1F, .2F}, {.7F, .1F, .1F, .1F}};
  const WeightTable table({"w0", "w1", "w2", "w3"}, rows, 2, {.width = 18});
  EXPECT_EQ(table.Titles(""), "    w0   w1 rest");
  EXPECT_EQ(table.Row("", rows[0]), "  ▒.10 *.60  .30");
  EXPECT_EQ(table.Row("", rows[1]), "  *.70 ▒.10  .20");
  EXPECT_EQ(table.Note(),
            "2 of 4 words shown, those with the largest weights; the others add up in \"rest\".");
}

TEST(WeightTableTest, ANarrowTerminalShowsOneWordAtLeast) {
  const Rows rows = {{.9F, .1F}};
  EXPECT_EQ(WeightTable({"first", "second"}, rows, 17, {.width = 20}).Titles(""),
            "                 first rest");
}

TEST(WeightTableTest, ColoursTakeThePlaceOfShades) {
  const Rows rows = {{1, 0}};
  const Terminal terminal{.is_terminal = true, .color = ColorDepth::k256};
  const std::string row = WeightTable({"a", "b"}, rows, 2, terminal).Row("", rows[0]);
  EXPECT_NE(row.find("\033["), std::string::npos);
  EXPECT_EQ(row.find("█"), std::string::npos);
  EXPECT_EQ(DisplayWidth(row), 12);
}

}  // namespace
}  // namespace heed::cli
