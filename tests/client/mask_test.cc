#include "client/cli/base/mask.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MaskTest, ABlankIsAWordOfUnderscores) {
  EXPECT_THAT(FindBlanks("the ___ of"), ElementsAre(TextRange{4, 7}));
  EXPECT_THAT(FindBlanks("________"), ElementsAre(TextRange{0, 8}));
  EXPECT_THAT(FindBlanks("(___), ____."), ElementsAre(TextRange{1, 4}, TextRange{7, 11}));
  EXPECT_THAT(FindBlanks("„___“"), ElementsAre(TextRange{3, 6}));
}

TEST(MaskTest, UnderscoresInsideWordsAndShortOnesAreText) {
  for (const char* text :
       {"", "_", "the __ of", "a___b", "___init", "é___", "___é", "7___", "x ___7"}) {
    EXPECT_THAT(FindBlanks(text), IsEmpty()) << text;
  }
}

TEST(MaskTest, MasksAreBlanksAndSpellings) {
  EXPECT_THAT(FindMasks("a [MASK] ___ <m>[MASK]", {"[MASK]", "<m>"}),
              ElementsAre(TextRange{2, 8}, TextRange{9, 12}, TextRange{13, 16}, TextRange{16, 22}));
  // A spelling that is itself a blank is found once; an empty one nowhere.
  EXPECT_THAT(FindMasks("a ___", {"___", ""}), ElementsAre(TextRange{2, 5}));
}

TEST(MaskTest, RangesAreReplaced) {
  EXPECT_EQ(ReplaceRanges("a ___ b ____", FindBlanks("a ___ b ____"), "[M]"), "a [M] b [M]");
  EXPECT_EQ(ReplaceRanges("as it is", {}, "[M]"), "as it is");
}

TEST(MaskTest, OnlyModelsThatSeeBothWaysFillMasks) {
  ModelInfo model{.direction = AttentionDirection::kBidirectional};
  EXPECT_EQ(MaskText(model), "");
  model.tokenizer.mask_text = "[MASK]";
  EXPECT_EQ(MaskText(model), "[MASK]");
  model.direction = AttentionDirection::kCausal;
  EXPECT_EQ(MaskText(model), "");
}

}  // namespace
}  // namespace heed::cli
