#include "client/cli/ladder/ladder.h"

#include <string>
#include <vector>

#include "client/cli/ladder/ladder_output.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ModelInfo Model(const std::string& name, int layers = 1, int heads = 1) {
  return {.identity = {name, "sha256:0"},
          .direction = AttentionDirection::kCausal,
          .layer_count = layers,
          .head_count = heads};
}

ModelInfo Encoder() {
  ModelInfo model = Model("encoder", 2, 4);
  model.direction = AttentionDirection::kBidirectional;
  model.tokenizer.mask_text = "[MASK]";
  return model;
}

std::vector<std::string> Titles(const std::vector<Rung>& rungs) {
  std::vector<std::string> titles;
  for (const Rung& rung : rungs) titles.push_back(RungTitle(rung));
  return titles;
}

// ---- Choosing -----------------------------------------------------------------------------------

TEST(LadderTest, TheLadderIsInItsOwnOrderAndSaysWhatIsMissing) {
  const auto choice = ChooseRungs(
      {Model("decoder", 4, 6), Model("mine"), Encoder(), Model("average"), Model("last-word")}, {});
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(Titles(choice->rungs),
              ElementsAre("0 last-word", "1 average", "5 decoder", "6 encoder"));
  EXPECT_THAT(choice->missing, ElementsAre("weighted", "attention", "attention-pos"));
  EXPECT_EQ(choice->rungs[1].meaning, "every word counts the same");
  EXPECT_EQ(choice->rungs[2].meaning, "4 layers of 6 heads; a word sees those before it");
  EXPECT_EQ(choice->rungs[3].meaning, "2 layers of 4 heads; a word sees those after it too");
}

TEST(LadderTest, NamedModelsComeInTheOrderNamed) {
  const auto choice = ChooseRungs({Model("average"), Model("mine", 1, 2)}, {"mine", "average"});
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(Titles(choice->rungs), ElementsAre("- mine", "1 average"));
  EXPECT_THAT(choice->missing, IsEmpty());
  EXPECT_EQ(choice->rungs[0].meaning, "1 layer of 2 heads; a word sees those before it");
}

// A model that only bears a rung's name is described by what it is.
TEST(LadderTest, ABigModelCalledAverageIsNotOne) {
  const auto choice = ChooseRungs({Model("average", 12, 12)}, {});
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(choice->rungs[0].meaning, HasSubstr("12 layers"));
}

TEST(LadderTest, UnknownNamesAndEmptyLaddersAreErrors) {
  const std::vector<ModelInfo> loaded = {Model("mine"), Model("decoder")};
  const absl::Status unknown = ChooseRungs(loaded, {"decodr"}).status();
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(unknown.message(),
            "model \"decodr\" is not loaded. Loaded: mine, decoder.\nDid you mean \"decoder\"?");
  const absl::Status none = ChooseRungs({Model("mine")}, {}).status();
  EXPECT_TRUE(absl::IsNotFound(none));
  EXPECT_THAT(none.message(), HasSubstr("none of the ladder's models is loaded: last-word, "));
  EXPECT_THAT(none.message(), HasSubstr("Loaded: mine. Choose any of them: --models=mine"));
  EXPECT_TRUE(absl::IsNotFound(ChooseRungs({}, {}).status()));
}

// ---- Asking -------------------------------------------------------------------------------------

const std::vector<std::string> kMasks = {"[MASK]"};

TEST(LadderTest, AModelThatLooksBackIsAskedAtTheMaskWithWhatStandsBefore) {
  const auto plain = AdaptPrompt("the cat", Model("average"), kMasks);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->text, "the cat");
  EXPECT_FALSE(plain->at_mask);
  EXPECT_EQ(plain->note, "");

  const auto at_end = AdaptPrompt("it was too ____", Model("average"), kMasks);
  ASSERT_TRUE(at_end.ok());
  EXPECT_EQ(at_end->text, "it was too");
  EXPECT_TRUE(at_end->at_mask);
  EXPECT_EQ(at_end->note, "asked at the mask, with the words before it");

  const auto inside = AdaptPrompt("the [MASK] of the river", Model("average"), kMasks);
  ASSERT_TRUE(inside.ok());
  EXPECT_EQ(inside->text, "the");
  EXPECT_EQ(inside->note,
            "asked at the mask, with the words before it; it cannot see \"of the river\"");

  EXPECT_THAT(AdaptPrompt(" ____ cat", Model("average"), kMasks).status().message(),
              HasSubstr("nothing stands before the mask"));
}

TEST(LadderTest, AModelThatSeesBothWaysGetsAMask) {
  const auto plain = AdaptPrompt("the cat", Encoder(), kMasks);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->text, "the cat [MASK]");
  EXPECT_TRUE(plain->at_mask);
  EXPECT_EQ(plain->note, "asked with [MASK] put at the end, which it fills");
  EXPECT_EQ(AdaptPrompt("the cat ", Encoder(), kMasks)->text, "the cat [MASK]");
  const auto blank = AdaptPrompt("the ____ of", Encoder(), kMasks);
  EXPECT_EQ(blank->text, "the [MASK] of");
  EXPECT_EQ(blank->note, "");
  // Spelled as another model has it.
  EXPECT_EQ(AdaptPrompt("the <mask> of", Encoder(), {"[MASK]", "<mask>"})->text, "the [MASK] of");
  ModelInfo no_mask = Encoder();
  no_mask.tokenizer.mask_text = "";
  EXPECT_THAT(AdaptPrompt("the cat", no_mask, kMasks).status().message(),
              HasSubstr("has no mask token"));
}

TEST(LadderTest, MasksAreSpelledAsAnyOfTheModelsSpellsThem) {
  ModelInfo other = Encoder();
  other.tokenizer.mask_text = "<mask>";
  const auto choice = ChooseRungs({other, Model("average")}, {});
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(MaskTexts(choice->rungs), ElementsAre("[MASK]", "<mask>"));
}

// ---- Comparing ----------------------------------------------------------------------------------

TEST(LadderTest, DistributionsAreFurthestApartAtOneToken) {
  Comparison comparison;
  const auto id = CompareDistributions({-1, -2, -3}, {-1, -3, -2.9F}, comparison);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(*id, 1);
  EXPECT_FALSE(comparison.identical);
  EXPECT_NEAR(comparison.largest_difference, 0.0855, 1e-4);
  EXPECT_NEAR(comparison.probabilities[0], 0.1353, 1e-4);
  EXPECT_NEAR(comparison.probabilities[1], 0.0498, 1e-4);
}

TEST(LadderTest, IdenticalMeansTheSameNumbers) {
  Comparison same;
  ASSERT_TRUE(CompareDistributions({-1, -2}, {-1, -2}, same).ok());
  EXPECT_EQ(Verdict(same), "= the same answer, bit for bit");
  Comparison rounding;
  ASSERT_TRUE(CompareDistributions({-1, -2}, {-1.0000001F, -2}, rounding).ok());
  EXPECT_FALSE(rounding.identical);
  EXPECT_THAT(Verdict(rounding), HasSubstr("= the same answer, but for rounding ("));
  Comparison wrong;
  EXPECT_TRUE(absl::IsInternal(CompareDistributions({-1}, {-1, -2}, wrong).status()));
  EXPECT_TRUE(absl::IsInternal(CompareDistributions({}, {}, wrong).status()));
}

TEST(LadderTest, AVerdictNamesTheTokenThatTellsThemApart) {
  Comparison comparison{.largest_difference = 0.25, .probabilities = {0.5, 0.25}};
  comparison.token.bytes = " mat";
  EXPECT_EQ(Verdict(comparison), "≠ up to 0.250 apart: ·mat 0.500 in A, 0.250 in B");
}

// ---- What there is to learn ---------------------------------------------------------------------

std::vector<Token> Tokens(const std::vector<std::pair<int, std::string>>& parts) {
  std::vector<Token> tokens;
  int64_t begin = 0;
  for (const auto& [id, bytes] : parts) {
    const auto end = begin + static_cast<int64_t>(bytes.size());
    tokens.push_back(
        {.id = id, .text = bytes, .bytes = bytes, .byte_begin = begin, .byte_end = end});
    begin = end;
  }
  return tokens;
}

TEST(LadderTest, WordsInPiecesAreFound) {
  const auto tokens =
      Tokens({{1, "the"}, {2, " Zy"}, {3, "zz"}, {4, "."}, {5, "\xC3"}, {6, "\xA9"}});
  const auto words = FindSplitWords("the Zyzz.é", tokens);
  ASSERT_EQ(words.size(), 2u);
  EXPECT_EQ(words[0].word, "Zyzz");
  EXPECT_EQ(words[0].pieces.size(), 2u);
  EXPECT_EQ(words[1].word, "é");
  EXPECT_THAT(FindSplitWords("the", Tokens({{1, "the"}})), IsEmpty());
}

TEST(LadderTest, PunctuationIsCutOnlyInsideACharacter) {
  EXPECT_THAT(FindSplitWords("a...", Tokens({{1, "a"}, {2, ".."}, {3, "."}})), IsEmpty());
  EXPECT_THAT(FindSplitWords("don't", Tokens({{1, "don"}, {2, "'t"}})), IsEmpty());
  const auto dash = FindSplitWords("a—", Tokens({{1, "a"}, {2, "\xE2\x80"}, {3, "\x94"}}));
  ASSERT_EQ(dash.size(), 1u);
  EXPECT_EQ(dash[0].word, "—");
}

TEST(LadderTest, AWordIsToldOnce) {
  EXPECT_EQ(FindSplitWords("ab ab", Tokens({{1, "a"}, {2, "b"}, {3, " a"}, {2, "b"}})).size(), 1u);
}

// A ladder of one rung that read these tokens.
Ladder Reading(std::vector<Token> a, std::vector<Token> b) {
  RungReport report{.rung = {.number = 1, .model = Model("average")}, .answers = {{}, {}}};
  report.answers[0].result.prompt.tokens = std::move(a);
  report.answers[1].result.prompt.tokens = std::move(b);
  for (RungAnswer& answer : report.answers) answer.result.predictions.resize(1);
  return {.prompts = {"a", "b"}, .rungs = {report}};
}

TEST(LadderTest, LikenessOfTwoPrompts) {
  const auto likeness = [](auto a, auto b) { return FindLikeness(Reading(Tokens(a), Tokens(b))); };
  using Parts = std::vector<std::pair<int, std::string>>;
  const Parts abc = {{1, "a"}, {2, " b"}, {3, " c"}};
  EXPECT_EQ(likeness(abc, abc), Likeness::kSameText);
  EXPECT_EQ(likeness(abc, Parts{{1, "a"}, {3, " c"}, {2, " b"}}), Likeness::kReordered);
  EXPECT_EQ(likeness(abc, Parts{{4, "c"}, {2, " b"}, {5, " a"}}), Likeness::kReorderedButForSpaces);
  EXPECT_EQ(likeness(abc, Parts{{6, "x"}, {3, " c"}}), Likeness::kSameLastWord);
  EXPECT_EQ(likeness(abc, Parts{{3, " c"}, {6, "x"}}), Likeness::kNone);
}

TEST(LadderTest, TheLessonSortsRungsByWhatTheyCanTell) {
  Ladder ladder = Reading(Tokens({{1, "a"}, {2, " b"}}), Tokens({{3, "c"}, {2, " b"}}));
  ladder.rungs.resize(4, ladder.rungs[0]);
  const char* names[] = {"last-word", "average", "decoder", "encoder"};
  for (size_t i = 0; i < 4; ++i) ladder.rungs[i].rung.model.identity.name = names[i];
  ladder.rungs[0].comparison = Comparison{.identical = true};
  ladder.rungs[1].comparison = Comparison{.largest_difference = 1e-8};
  ladder.rungs[2].comparison = Comparison{.largest_difference = 0.5};
  ladder.rungs[3].comparison = Comparison{.status = absl::InternalError("lost")};
  EXPECT_THAT(Lesson(ladder),
              ElementsAre("A and B end in the same word: what sees nothing else cannot tell.",
                          "Cannot tell A from B: last-word.",
                          "Cannot tell A from B (the same but for rounding): average.",
                          "Tells them apart: decoder."));
  ladder.prompts.pop_back();
  EXPECT_THAT(Lesson(ladder), IsEmpty());
}

TEST(LadderTest, PiecesAreToldOnceForAllModelsThatReadThemSo) {
  Ladder ladder = Reading(Tokens({{1, "a"}, {2, "b"}}), Tokens({{3, "ab"}}));
  for (RungAnswer& answer : ladder.rungs[0].answers) answer.asked.text = "ab";
  ladder.rungs.resize(2, ladder.rungs[0]);
  ladder.rungs[1].rung.model.identity.name = "other";
  EXPECT_THAT(PieceLines(ladder), ElementsAre("\"ab\" is not one token; it is read as a b."));
  ladder.rungs[1].answers[0].result.prompt.tokens = Tokens({{3, "ab"}});
  EXPECT_THAT(PieceLines(ladder),
              ElementsAre("\"ab\" is not one token; it is read as a b (average)."));
}

}  // namespace
}  // namespace heed::cli
