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

std::vector<std::pair<int64_t, int64_t>> Pairs(const std::vector<ByteRange>& ranges) {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const ByteRange& range : ranges) pairs.emplace_back(range.begin, range.end);
  return pairs;
}

// One folder of golden files.
class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    tokenizer_ = Load(GetParam() + "/tokenizer.json");
    ASSERT_NE(tokenizer_, nullptr);
    cases_ = ReadGoldenCases(GetParam() + "/cases.json");
    ASSERT_GE(cases_.size(), 200);
  }

  TokenizedText Encode(const std::string& text, const EncodeOptions& options) {
    absl::StatusOr<TokenizedText> result = tokenizer_->Encode(text, options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : TokenizedText{};
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<GoldenCase> cases_;
};

TEST_P(GoldenTest, IdsAreEqual) {
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE(golden.name);
    EXPECT_EQ(Encode(golden.text, {.add_special_tokens = false}).ids, golden.ids);
    EXPECT_EQ(Encode(golden.text, {.add_special_tokens = true}).ids, golden.ids_with_special);
    const EncodeOptions as_text = {.add_special_tokens = false, .parse_special_tokens = false};
    EXPECT_EQ(Encode(golden.text, as_text).ids, golden.ids_specials_as_text.value_or(golden.ids));
  }
}

TEST_P(GoldenTest, OffsetsAreEqual) {
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE(golden.name);
    const std::vector<int64_t> positions = OriginalPositions(golden.text);
    std::vector<ByteRange> expected = golden.offsets_with_special;
    for (ByteRange& range : expected) range = {positions.at(range.begin), positions.at(range.end)};
    EXPECT_EQ(Pairs(Encode(golden.text, {}).offsets), Pairs(expected));
  }
}

TEST_P(GoldenTest, DecodedTextIsEqual) {
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE(golden.name);
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer_->Decode(golden.ids, true)), golden.decoded);
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer_->Decode(golden.ids_with_special, false)),
              golden.decoded_all);
  }
}

TEST_P(GoldenTest, DecodedTextIsTheTokensBytes) {
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE(golden.name);
    std::string bytes;
    for (const TokenId id : golden.ids_with_special)
      bytes += std::string(tokenizer_->TokenBytes(id));
    EXPECT_EQ(tokenizer_->Decode(golden.ids_with_special, false), bytes);
  }
}

std::string FolderName(const testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).filename().string();
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(GoldenFolders(kGoldenFolder)),
                         FolderName);

TEST(GoldenFilesTest, AllFourTokenizersAreThere) {
  EXPECT_GE(GoldenFolders(kGoldenFolder).size(), 4);
}

}  // namespace
}  // namespace heed
