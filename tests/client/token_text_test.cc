#include "client/cli/base/token_text.h"

#include <string>

#include "gtest/gtest.h"

namespace heed::cli {
namespace {

Token Bytes(const std::string& bytes) {
  return {.id = 7, .bytes = bytes, .piece = "piece"};
}

TEST(TokenTextTest, ShowsWhitespaceAndBytes) {
  EXPECT_EQ(VisibleToken(Bytes(" keys")), "·keys");
  EXPECT_EQ(VisibleToken(Bytes("    ")), "····");
  EXPECT_EQ(VisibleToken(Bytes("\n\n")), "↵↵");
  EXPECT_EQ(VisibleToken(Bytes("\t\r")), "⇥␍");
  EXPECT_EQ(VisibleToken(Bytes("漢")), "漢");
  EXPECT_EQ(VisibleToken(Bytes("\xE2\x82")), "<E2><82>");
  EXPECT_EQ(VisibleToken(Bytes("a\xFF"
                               "b")),
            "a<FF>b");
}

TEST(TokenTextTest, ShowsControlAndSpecialTokens) {
  EXPECT_EQ(VisibleToken({.id = 0, .bytes = "<|end|>", .piece = "<|end|>", .special = true}),
            "<|end|>");
  EXPECT_EQ(VisibleToken({.id = 3, .piece = "[MASK]"}), "[MASK]");
  EXPECT_EQ(VisibleToken({.id = 3}), "#3");
}

TEST(TokenTextTest, NothingReachesTheTerminalAsAControl) {
  EXPECT_EQ(VisibleToken(Bytes("\033[2J")), "<1B>[2J");
  EXPECT_EQ(SafeText("a\033]0;x\007"), "a<1B>]0;x<07>");
  EXPECT_EQ(SafeText("\xC2\x9B"
                     "31m"),
            "<U+009B>31m");  // a one-character CSI
  EXPECT_EQ(SafeText("\xE2\x80\xAE"
                     "cod"),
            "<U+202E>cod");  // right-to-left override
  EXPECT_EQ(SafeText("a\xE2\x80\x8B"
                     "b"),
            "a<U+200B>b");  // zero-width space
  EXPECT_EQ(SafeText(std::string("\0", 1)), "<00>");
  EXPECT_EQ(SafeText("a b\tc\nd"), "a b\tc\nd");
  EXPECT_EQ(SafeText("x\ry"), "x␍y");
}

TEST(TokenTextTest, ALeadingCombiningMarkGetsACircleToStandOn) {
  EXPECT_EQ(VisibleToken(Bytes("\xCC\x81")), "◌\xCC\x81");
  EXPECT_EQ(VisibleToken(Bytes("e\xCC\x81")), "e\xCC\x81");
}

TEST(TokenTextTest, JoinsPartialCharactersInALine) {
  EXPECT_EQ(VisibleLine({Bytes("a \xE2\x82"), Bytes("\xAC\n"), Bytes("b")}), "a €↵b");
}

}  // namespace
}  // namespace heed::cli
