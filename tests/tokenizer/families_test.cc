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
#include "tests/tokenizer/text_families.h"

namespace heed {
namespace {

constexpr size_t kTextBytes = 1 << 18;

class FamiliesTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string folder = HEED_SOURCE_DIR "/tests/golden/tokenizers/" + GetParam();
    tokenizer_ = ParseTokenizerJson(ReadFileOrDie(folder + "/tokenizer.json")).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(FamiliesTest, LargeTextsAreTokenizedAndCovered) {
  for (const auto& [name, text] : TextFamilies(kTextBytes)) {
    const absl::StatusOr<TokenizedText> result =
        tokenizer_->Encode(text, {.add_special_tokens = false});
    ASSERT_TRUE(result.ok()) << name << ": " << result.status();
    ASSERT_EQ(result->ids.size(), result->offsets.size());
    int64_t previous = 0;
    for (const ByteRange& range : result->offsets) {
      ASSERT_LE(range.begin, range.end) << name;
      ASSERT_LE(previous, range.begin) << name;
      ASSERT_LE(range.end, static_cast<int64_t>(text.size())) << name;
      // An empty range is what is left of a space that is not the text's own.
      if (range.begin < range.end) previous = range.begin;
    }
  }
}

// Without normalizer and stripped whitespace, decoding gives back the text.
TEST(FamiliesRoundTripTest, DecodingGivesTheTextBack) {
  for (const std::string folder : {"gpt2-style", "llama3-style"}) {
    const std::string path =
        HEED_SOURCE_DIR "/tests/golden/tokenizers/" + folder + "/tokenizer.json";
    const std::unique_ptr<Tokenizer> tokenizer = ParseTokenizerJson(ReadFileOrDie(path)).value();
    for (const auto& [name, text] : TextFamilies(kTextBytes / 4)) {
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

TEST(ShippedTokenizerTest, IdsAndOffsetsEqualTheLibrary) {
  const char* const path = HEED_SOURCE_DIR "/model/zoo/decoder/tokenizer.json";
  const std::unique_ptr<Tokenizer> tokenizer = ParseTokenizerJson(ReadFileOrDie(path)).value();
  for (const GoldenCase& golden : ReadGoldenCases(HEED_SOURCE_DIR "/tests/golden/zoo/cases.json")) {
    SCOPED_TRACE(golden.name);
    const TokenizedText result = tokenizer->Encode(golden.text, {}).value();
    EXPECT_EQ(result.ids, golden.ids);
    ASSERT_EQ(result.offsets.size(), golden.offsets_with_special.size());
    for (size_t i = 0; i < result.offsets.size(); ++i) {
      EXPECT_EQ(result.offsets[i].begin, golden.offsets_with_special[i].begin) << "token " << i;
      EXPECT_EQ(result.offsets[i].end, golden.offsets_with_special[i].end) << "token " << i;
    }
    EXPECT_EQ(tokenizer->Decode(result.ids, false), golden.decoded_all);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FamiliesTest,
                         testing::Values("gpt2-style", "llama3-style", "qwen-style", "awkward",
                                         "wordpiece-style", "cased-style", "t5-style",
                                         "albert-style", "llama2-style", "clip-style", "word-style",
                                         "speech-style"),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace heed
