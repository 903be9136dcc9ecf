// Text that appears token by token, for every golden tokenizer: what has been shown is always well
// formed and the beginning of the whole text, so no half character is shown and nothing is taken
// back.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "model/base/json.h"
#include "model/base/utf8.h"
#include "model/generate/text_stream.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

const char kGoldenFolder[] = HEED_SOURCE_DIR "/tests/golden/tokenizers";

// That of tests/golden/tokenizer_decodes.py.
class Random {
 public:
  uint32_t operator()(size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % n);
  }

 private:
  uint64_t state_ = 19;
};

class StreamTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { tokenizer_ = ParseTokenizerJson(ReadFileOrDie(GetParam())).value(); }

  // Every id, and one that no token has.
  std::vector<TokenId> RandomIds(Random* random) const {
    std::vector<TokenId> ids(1 + (*random)(12));
    for (TokenId& id : ids) {
      id = static_cast<TokenId>((*random)(static_cast<size_t>(tokenizer_->vocab_size()) + 1));
    }
    return ids;
  }

  void ExpectWholeCharacters(const std::vector<TokenId>& ids, bool skip_special) {
    const std::string whole = ReplaceInvalidUtf8(tokenizer_->Decode(ids, skip_special));
    const std::unique_ptr<TokenStream> tokens = tokenizer_->NewStream(skip_special);
    TextStream text({});
    std::string shown;
    for (const TokenId id : ids) {
      const std::string delta = text.Append(tokens->Append(id)).text;
      ASSERT_TRUE(IsValidUtf8(delta)) << testing::PrintToString(ids);
      shown += delta;
      ASSERT_TRUE(absl::StartsWith(whole, shown)) << testing::PrintToString(ids);
    }
    shown += text.Append(tokens->Finish()).text;
    shown += text.Finish().text;
    ASSERT_EQ(shown, whole) << testing::PrintToString(ids);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(StreamTest, RandomTokensShowWholeCharactersOnly) {
  Random random;
  for (int round = 0; round < 3000; ++round) {
    ExpectWholeCharacters(RandomIds(&random), round % 2 == 0);
    if (HasFatalFailure()) return;
  }
}

TEST_P(StreamTest, RandomTokensReadAsTheLibraryReadsThem) {
  const std::string path = std::string(kGoldenFolder) + "/decodes.json";
  const JsonDocument document = JsonDocument::Parse("decodes.json", ReadFileOrDie(path)).value();
  const std::string name = std::filesystem::path(GetParam()).parent_path().filename().string();
  const JsonValue list = document.root().Get("decodes")->Get(name).value();
  const std::vector<JsonValue> texts = list.Array().value();
  EXPECT_GE(texts.size(), 200);
  Random random;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<TokenId> ids = RandomIds(&random);
    if (texts[i].IsNull()) continue;
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer_->Decode(ids, i % 2 == 0)), texts[i].String().value())
        << testing::PrintToString(ids);
  }
}

// The bytes of one character in tokens of their own, in order and cut short.
TEST_P(StreamTest, CharactersInPartsAppearWhenTheyAreComplete) {
  for (const std::string text : {"\U0001f468\u200d\U0001f469 \u16a0\u00e9\u4eca!", "\u16a0",
                                 "a\xf0\x9f\x98", "\xe2\x82", "\u00e9\xc3 \xff"}) {
    const TokenizedText tokens = tokenizer_->Encode(text, {}).value();
    for (size_t n = 0; n <= tokens.ids.size(); ++n) {
      ExpectWholeCharacters({tokens.ids.begin(), tokens.ids.begin() + static_cast<int64_t>(n)},
                            false);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, StreamTest,
                         testing::ValuesIn(GoldenFiles(kGoldenFolder, "tokenizer.json")),
                         [](const testing::TestParamInfo<std::string>& info) {
                           const std::filesystem::path file = info.param;
                           std::string name = file.parent_path().filename().string();
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace heed
