#include "client/cli/base/terminal.h"

#include <string>

#include "client/cli/base/format.h"
#include "client/cli/base/table.h"
#include "client/cli/pictures/colormap.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

TEST(TerminalTest, ColorFollowsTerminalChoiceAndEnvironment) {
  const TerminalVariables plain{.term = "xterm-256color"};
  const TerminalVariables rich{.term = "xterm-256color", .colorterm = "truecolor"};
  const TerminalVariables off{.term = "xterm", .no_color = "1"};
  const TerminalVariables dumb{.term = "dumb"};
  EXPECT_EQ(DetectColor(true, ColorChoice::kAuto, plain), ColorDepth::k256);
  EXPECT_EQ(DetectColor(true, ColorChoice::kAuto, rich), ColorDepth::kTrueColor);
  EXPECT_EQ(DetectColor(true, ColorChoice::kAuto, off), ColorDepth::kNone);
  EXPECT_EQ(DetectColor(true, ColorChoice::kAuto, dumb), ColorDepth::kNone);
  EXPECT_EQ(DetectColor(false, ColorChoice::kAuto, rich), ColorDepth::kNone);
  EXPECT_EQ(DetectColor(false, ColorChoice::kAlways, off), ColorDepth::k256);
  EXPECT_EQ(DetectColor(true, ColorChoice::kNever, rich), ColorDepth::kNone);
}

TEST(TerminalTest, BackgroundComesFromColorfgbg) {
  EXPECT_TRUE(HasDarkBackground({}));
  EXPECT_TRUE(HasDarkBackground({.colorfgbg = "15;0"}));
  EXPECT_FALSE(HasDarkBackground({.colorfgbg = "0;15"}));
  EXPECT_FALSE(HasDarkBackground({.colorfgbg = "0;default;7"}));
  EXPECT_TRUE(HasDarkBackground({.colorfgbg = "x"}));
}

TEST(TerminalTest, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("·keys"), 5);
  EXPECT_EQ(DisplayWidth("漢字"), 4);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);  // e and a combining acute
  EXPECT_EQ(DisplayWidth("\033[1mab\033[0m"), 2);
  EXPECT_EQ(DisplayWidth("\xFF"), 1);
  EXPECT_EQ(DisplayWidth(""), 0);
}

TEST(TerminalTest, FitCutsAtColumns) {
  EXPECT_EQ(Fit("cabinet", 7), "cabinet");
  EXPECT_EQ(Fit("cabinet", 4), "cab…");
  EXPECT_EQ(Fit("漢字漢字", 4), "漢…");
  EXPECT_EQ(Fit("ab", 1), "…");
  EXPECT_EQ(Fit("ab", 0), "");
  EXPECT_EQ(Fit("\033[1mcabinet\033[0m", 4), "\033[1mcab…\033[0m");
}

TEST(TerminalTest, PaddingCountsColumns) {
  EXPECT_EQ(PadRight("漢", 4) + "|", "漢  |");
  EXPECT_EQ(PadLeft("·a", 4), "  ·a");
  EXPECT_EQ(PadLeft("abcdef", 2), "abcdef");
}

TEST(TerminalTest, BarsHaveEighthsAndAreNeverEmptyAboveZero) {
  EXPECT_EQ(Bar(0, 10), "");
  EXPECT_EQ(Bar(1e-9, 10), "▏");
  EXPECT_EQ(Bar(0.25, 10), "██▌");
  EXPECT_EQ(Bar(1, 3), "███");
  EXPECT_EQ(Bar(7, 3), "███");
  EXPECT_EQ(Bar(-1, 3), "");
}

TEST(TerminalTest, PaletteHasTheNearestColor) {
  EXPECT_EQ(NearestPaletteColor({0, 0, 0}), 16);
  EXPECT_EQ(NearestPaletteColor({255, 255, 255}), 231);
  EXPECT_EQ(NearestPaletteColor({255, 0, 0}), 196);
  EXPECT_EQ(NearestPaletteColor({128, 128, 128}), 244);
}

TEST(TerminalTest, StylesVanishWithoutColors) {
  EXPECT_EQ(Styled({}, Emphasis::kBold, "x"), "x");
  EXPECT_EQ(OnBackground({}, {1, 2, 3}, true, "x"), "x");
  EXPECT_EQ(Styled({.color = ColorDepth::k256}, Emphasis::kBold, "x"), "\033[1mx\033[0m");
  EXPECT_EQ(OnBackground({.color = ColorDepth::kTrueColor}, {250, 250, 250}, false, "x"),
            "\033[38;2;0;0;0m\033[48;2;250;250;250mx\033[0m");
  EXPECT_EQ(OnBackground({.color = ColorDepth::k256}, {0, 0, 0}, false, "x"),
            "\033[38;5;231m\033[48;5;16mx\033[0m");
}

TEST(ColormapTest, BrightnessFollowsWeight) {
  double last = -1;
  for (double weight = 0; weight <= 1; weight += 0.01) {
    const Rgb color = WeightColor(weight, /*dark_background=*/true);
    const double luminance = 0.2126 * color.red + 0.7152 * color.green + 0.0722 * color.blue;
    EXPECT_GE(luminance, last - 0.5) << weight;
    last = luminance;
  }
  EXPECT_EQ(WeightColor(2, true).red, WeightColor(1, true).red);
  EXPECT_EQ(WeightColor(-1, false).red, WeightColor(0, false).red);
}

TEST(TableTest, AlignsColumnsByWidthAndTrimsLines) {
  Table table({{"name"}, {"count", Align::kRight}, {"note"}});
  table.AddRow({"漢字", "7", ""});
  table.AddRow({"longer", "12345678", "x"});
  EXPECT_EQ(table.Render({}),
            "name       count  note\n"
            "漢字           7\n"
            "longer  12345678  x\n");
}

// A terminal without colours, `width` columns wide.
Terminal Narrowed(int width) {
  return {.is_terminal = true, .width = width};
}

TEST(TableTest, ShortensTextsBeforeItLeavesColumnsOut) {
  Table table({{"word"}, {"count", Align::kRight, 1}, {"share", Align::kRight}, {"bar", {}, 2}});
  table.AddRow({"extraordinarily", "7", "0.25", "##"});
  table.AddRow({"\033[1mand more than that\033[0m", "12", "0.75", "###"});
  EXPECT_EQ(table.Render(Narrowed(40)),
            "word                count  share  bar\n"
            "extraordinarily         7   0.25  ##\n"
            "\033[1mand more than that\033[0m     12   0.75  ###\n");
  EXPECT_EQ(table.Render(Narrowed(36)),
            "word               count  share  bar\n"
            "extraordinarily        7   0.25  ##\n"
            "\033[1mand more than th…\033[0m     12   0.75  ###\n");
  EXPECT_EQ(table.Render(Narrowed(30)),
            "word           count  share  …\n"
            "extraordinar…      7   0.25\n"
            "\033[1mand more tha…\033[0m     12   0.75\n");
}

TEST(TableTest, CutsListsBetweenItemsAndWrapsMeanings) {
  Table list({{"at", Align::kRight}, {"predicted"}});
  list.AddRow({"1", "one 0.5  two 0.25  three 0.125"});
  EXPECT_EQ(list.Render(Narrowed(24)), "at  predicted\n 1  one 0.5  two 0.25 …\n");
  EXPECT_EQ(list.Render(Narrowed(10)), "at  predi…\n 1  one 0…\n");
  Table facts({{"", {}, 0, Narrow::kKeep}, {"", {}, 0, Narrow::kWrap}});
  facts.AddRow({"attention", "causal: sees itself"});
  facts.AddRow({"digest", "sha256:0123456789"});
  EXPECT_EQ(facts.Render(Narrowed(21)),
            "attention  causal:\n"
            "           sees\n"
            "           itself\n"
            "digest     sha256:012\n"
            "           3456789\n");
  Table faces({{"", {}, 0, Narrow::kKeep}, {"", {}, 0, Narrow::kWrap}});
  faces.AddRow({"text", "🙂🙂"});  // four bytes and two columns each
  EXPECT_EQ(faces.Render(Narrowed(9)), "text  🙂\n      🙂\n");
}

TEST(TerminalTest, RunningTextIsBrokenOnlyForATerminal) {
  EXPECT_EQ(Paragraph(Narrowed(8), "one two three"), "one two\nthree\n");
  EXPECT_EQ(Paragraph({.width = 8}, "one two three"), "one two three\n");
}

TEST(TerminalTest, ItemsGoOnOneLineEach) {
  const std::vector<std::string> items = {"decoder 01", "5 tokens", "1.2 ms"};
  EXPECT_EQ(JoinItems({}, items, " · "), "decoder 01 · 5 tokens · 1.2 ms");
  EXPECT_EQ(JoinItems(Narrowed(30), items, " · "), "decoder 01 · 5 tokens · 1.2 ms");
  EXPECT_EQ(JoinItems(Narrowed(29), items, " · "), "decoder 01 · 5 tokens ·\n1.2 ms");
  EXPECT_EQ(JoinItems(Narrowed(22), items, " · ", 2), "decoder 01 ·\n  5 tokens · 1.2 ms");
  EXPECT_EQ(JoinItems(Narrowed(8), items, ", "), "decoder…,\n5 tokens,\n1.2 ms");
  EXPECT_EQ(JoinItems(Narrowed(18), items, ", ", 0, "What changed: "),
            "What changed:\ndecoder 01,\n5 tokens, 1.2 ms");
}

TEST(FormatTest, NumbersReadWell) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(-1234567), "-1,234,567");
  EXPECT_EQ(FormatBytes(1023), "1023 bytes");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{3} << 40), "3.0 TiB");
  EXPECT_EQ(FormatMillis(absl::Microseconds(3400)), "3.4 ms");
  EXPECT_EQ(FormatMillis(absl::Milliseconds(34)), "34 ms");
  EXPECT_EQ(FormatMillis(absl::Milliseconds(1250)), "1.25 s");
  EXPECT_EQ(FormatProbability(0.4124), "0.412");
  EXPECT_EQ(FormatProbability(0.00004), "4.0e-05");
  EXPECT_EQ(FormatProbability(0), "0.000");
  EXPECT_EQ(FormatProbability(1), "1.000");
  EXPECT_EQ(FormatWeight(0), "0");
  EXPECT_EQ(FormatWeight(0.001), ".00");
  EXPECT_EQ(FormatWeight(0.714), ".71");
  EXPECT_EQ(FormatWeight(0.994), ".99");
  EXPECT_EQ(FormatWeight(0.995), "1.0");
  EXPECT_EQ(FormatNats(0.6931472), "0.69 nats");
  EXPECT_EQ(ShortDigest("sha256:0123456789abcdef"), "sha256:0123456789ab");
  EXPECT_EQ(ShortDigest(""), "");
  EXPECT_EQ(Plural(1, "token"), "1 token");
  EXPECT_EQ(Plural(1311, "token"), "1,311 tokens");
  EXPECT_EQ(TheFirst(1, "row"), "The first row");
  EXPECT_EQ(TheFirst(2, "row"), "The first 2 rows");
}

}  // namespace
}  // namespace heed::cli
