// Large texts of the kinds that trip tokenizers. Each must come back byte for byte, with offsets
// that cover it; an algorithm that is quadratic in a run of equal characters would need hours for
// these.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

constexpr size_t kTextBytes = 1 << 18;

std::string Fill(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() + unit.size() <= bytes) text += unit;
  return text;
}

struct Family {
  const char* name;
  std::string text;
};

std::vector<Family> Families(size_t bytes) {
  return {
      {"one_character", Fill("a", bytes)},
      {"two_alternating", Fill("ab", bytes)},
      {"spaces", Fill(" ", bytes)},
      {"spaces_then_word", absl::StrCat(Fill(" ", bytes), "x")},
      {"newlines", Fill("\n", bytes)},
      {"carriage_returns", Fill("\r\n", bytes)},
      {"spaces_and_newlines", Fill(" \n", bytes)},
      {"space_runs", Fill("          x", bytes)},
      {"tabs", Fill("\t", bytes)},
      {"digits", Fill("1234567890", bytes)},
      {"cjk", Fill("\u4eca\u5929\u5929\u6c14", bytes)},
      {"one_base_many_marks", absl::StrCat("e", Fill("\u0301", bytes))},
      {"marks_out_of_order", absl::StrCat("a", Fill("\u0301\u0323", bytes))},
      {"composable", Fill("e\u0323\u0301", bytes)},
      {"jamo", Fill("\u1112\u1161\u11ab", bytes)},
      {"emoji_joined", Fill("\U0001f468\u200d\U0001f469\u200d\U0001f467", bytes)},
      {"no_utf8", Fill("\xff", bytes)},
      {"cut_characters", Fill("\xf0\x9f\x98", bytes)},
      {"nul", std::string(bytes, '\0')},
      {"special_tokens", Fill("<|endoftext|>", bytes)},
      {"special_tokens_cut_short", Fill("<|endoftext|", bytes)},
      {"swallowed_spaces", Fill("<sep>   ", bytes)},
      {"apostrophes", Fill("'", bytes)},
      {"contractions", Fill("'s", bytes)},
      {"nearly_merging", Fill("thethethe antiantii", bytes)},
  };
}

class FamiliesTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string folder = HEED_SOURCE_DIR "/tests/golden/tokenizers/" + GetParam();
    tokenizer_ = ParseTokenizerJson(ReadFileOrDie(folder + "/tokenizer.json")).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(FamiliesTest, LargeTextsAreTokenizedAndCovered) {
  for (const auto& [name, text] : Families(kTextBytes)) {
    const absl::StatusOr<TokenizedText> result =
        tokenizer_->Encode(text, {.add_special_tokens = false});
    ASSERT_TRUE(result.ok()) << name << ": " << result.status();
    ASSERT_EQ(result->ids.size(), result->offsets.size());
    int64_t previous = 0;
    for (const ByteRange& range : result->offsets) {
      ASSERT_LE(range.begin, range.end) << name;
      ASSERT_LE(previous, range.begin) << name;
      ASSERT_LE(range.end, static_cast<int64_t>(text.size())) << name;
      previous = range.begin;
    }
  }
}

// Without normalizer and stripped whitespace, decoding gives back the text.
TEST(FamiliesRoundTripTest, DecodingGivesTheTextBack) {
  for (const std::string folder : {"gpt2-style", "llama3-style"}) {
    const std::string path =
        HEED_SOURCE_DIR "/tests/golden/tokenizers/" + folder + "/tokenizer.json";
    const std::unique_ptr<Tokenizer> tokenizer = ParseTokenizerJson(ReadFileOrDie(path)).value();
    for (const auto& [name, text] : Families(kTextBytes / 4)) {
      const TokenizedText result = tokenizer->Encode(text, {.add_special_tokens = false}).value();
      ASSERT_EQ(tokenizer->Decode(result.ids, false), ReplaceInvalidUtf8(text)) << name;
      ASSERT_EQ(result.offsets.front().begin, 0) << name;
      ASSERT_EQ(result.offsets.back().end, static_cast<int64_t>(text.size())) << name;
    }
  }
}

TEST(ShippedTokenizerTest, EveryTextSurvivesTheWayThereAndBack) {
  const char* const path = HEED_SOURCE_DIR "/model/zoo/decoder/tokenizer.json";
  const std::unique_ptr<Tokenizer> tokenizer = ParseTokenizerJson(ReadFileOrDie(path)).value();
  for (const std::string text :
       {"the keys to the cabinet", "Caf\u00e9\t42!\n\n", "\u6771\u4eac \U0001f44d"}) {
    const TokenizedText result = tokenizer->Encode(text, {.add_special_tokens = false}).value();
    EXPECT_EQ(tokenizer->Decode(result.ids, false), text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FamiliesTest,
                         testing::Values("gpt2-style", "llama3-style", "qwen-style", "awkward"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace heed
