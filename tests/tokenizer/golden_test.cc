// The tokenizer against the tokenizers library's own answers, text by text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/base/utf8.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

const char kGoldenFolder[] = HEED_SOURCE_DIR "/tests/golden/tokenizers";

std::unique_ptr<Tokenizer> Load(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizerJson(ReadFileOrDie(path));
  EXPECT_TRUE(tokenizer.ok()) << path << ": " << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// One tokenizer and one of its cases.
struct GoldenParam {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string name;
  GoldenCase golden;
};

std::vector<GoldenParam> AllCases() {
  std::vector<GoldenParam> params;
  for (const std::string& folder : GoldenFolders(kGoldenFolder)) {
    const std::shared_ptr<const Tokenizer> tokenizer = Load(folder + "/tokenizer.json");
    const std::string name = std::filesystem::path(folder).filename().string();
    for (GoldenCase& golden : ReadGoldenCases(folder + "/cases.json")) {
      std::string full_name = name + "_" + golden.name;
      for (char& c : full_name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      params.push_back({tokenizer, std::move(full_name), std::move(golden)});
    }
  }
  return params;
}

class GoldenTest : public testing::TestWithParam<GoldenParam> {
 protected:
  TokenizedText Encode(const EncodeOptions& options) {
    absl::StatusOr<TokenizedText> result = GetParam().tokenizer->Encode(golden().text, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TokenizedText{};
  }
  const GoldenCase& golden() const { return GetParam().golden; }
  const Tokenizer& tokenizer() const { return *GetParam().tokenizer; }
};

std::vector<std::pair<int64_t, int64_t>> Pairs(const std::vector<ByteRange>& ranges) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const ByteRange& range : ranges) pairs.emplace_back(range.begin, range.end);
  return pairs;
}

TEST_P(GoldenTest, IdsAreEqual) {
  ASSERT_NE(GetParam().tokenizer, nullptr);
  EXPECT_EQ(Encode({.add_special_tokens = false}).ids, golden().ids);
  EXPECT_EQ(Encode({.add_special_tokens = true}).ids, golden().ids_with_special);
  const EncodeOptions as_text = {.add_special_tokens = false, .parse_special_tokens = false};
  EXPECT_EQ(Encode(as_text).ids, golden().ids_specials_as_text.value_or(golden().ids));
}

TEST_P(GoldenTest, OffsetsAreEqual) {
  ASSERT_NE(GetParam().tokenizer, nullptr);
  const std::vector<int64_t> positions = OriginalPositions(golden().text);
  std::vector<ByteRange> expected = golden().offsets_with_special;
  for (ByteRange& range : expected) range = {positions.at(range.begin), positions.at(range.end)};
  EXPECT_EQ(Pairs(Encode({}).offsets), Pairs(expected));
}

TEST_P(GoldenTest, DecodedTextIsEqual) {
  ASSERT_NE(GetParam().tokenizer, nullptr);
  EXPECT_EQ(ReplaceInvalidUtf8(tokenizer().Decode(golden().ids, true)), golden().decoded);
  EXPECT_EQ(ReplaceInvalidUtf8(tokenizer().Decode(golden().ids_with_special, false)),
            golden().decoded_all);
}

TEST_P(GoldenTest, DecodedTextIsTheTokensBytes) {
  ASSERT_NE(GetParam().tokenizer, nullptr);
  std::string bytes;
  for (const TokenId id : golden().ids_with_special)
    bytes += std::string(tokenizer().TokenBytes(id));
  EXPECT_EQ(tokenizer().Decode(golden().ids_with_special, false), bytes);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(AllCases()),
                         [](const testing::TestParamInfo<GoldenParam>& info) {
                           return info.param.name;
                         });

TEST(GoldenFilesTest, AllFourTokenizersAreThere) {
  EXPECT_GE(GoldenFolders(kGoldenFolder).size(), 4);
}

}  // namespace
}  // namespace heed
