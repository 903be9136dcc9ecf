// Random damage to tokenizer files: each is refused with a reason, or loaded and used without harm.
// The same seeds and the same damage in every run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"
#include "model/tokenizer/sentencepiece.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/base/fuzzing.h"

namespace heed {
namespace {

constexpr int kRuns = 100'000;
const char kText[] = "The  k\u00e9ys\t<s>[MASK] \u4e2d\xff 12,ab \u2581x";

bool IsRefusal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnimplemented(status);
}

// What a tokenizer that has been loaded must stand.
void Use(const Tokenizer& tokenizer, const std::string& data) {
  const std::string text = kText;
  const absl::StatusOr<TokenizedText> tokens = tokenizer.Encode(text, {});
  if (!tokens.ok()) {
    ASSERT_TRUE(IsRefusal(tokens.status()) || absl::IsResourceExhausted(tokens.status()))
        << tokens.status() << "\nof " << data;
    return;
  }
  ASSERT_EQ(tokens->ids.size(), tokens->offsets.size());
  for (const ByteRange& range : tokens->offsets) {
    ASSERT_TRUE(0 <= range.begin && range.begin <= range.end &&
                range.end <= static_cast<int64_t>(text.size()))
        << data;
  }
  const std::unique_ptr<TokenStream> stream = tokenizer.NewStream(false);
  std::string streamed;
  for (const TokenId id : tokens->ids) streamed += stream->Append(id);
  ASSERT_EQ(streamed + stream->Finish(), tokenizer.Decode(tokens->ids, false)) << data;
}

TEST(TokenizerFuzzTest, DamagedTokenizerJsonIsRefusedOrHarmless) {
  const std::vector<std::string> seeds = ReadSeeds("tests/tokenizer/seeds/tokenizer_json");
  ASSERT_GE(seeds.size(), 4);
  const std::vector<std::string> words = {
      "null",      "true",       "-1",      "0",       "1e999",      "4294967296",
      "\"\"",      "[]",         "{}",      ",",       "\"type\":",  "\"Fuse\"",
      "\"Strip\"", "\"NFKC\"",   "\"Nmt\"", "\"BPE\"", "\"CTC\"",    "\\u0000",
      "\\ud800",   "\"Digits\"", "\xff",    "\u2581",  "\"always\"", "(?i)"};
  FuzzRandom random;
  int n_loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string data = DamagedSeed(seeds, words, &random);
    const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = ParseTokenizerJson(data);
    if (!tokenizer.ok()) {
      ASSERT_TRUE(IsRefusal(tokenizer.status())) << tokenizer.status() << "\nof " << data;
      ASSERT_TRUE(IsValidUtf8(tokenizer.status().message())) << data;
      continue;
    }
    ++n_loaded;
    Use(**tokenizer, data);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(n_loaded, kRuns / 50);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Build(const absl::StatusOr<SentencePieceFacts>& facts) {
  if (!facts.ok()) return facts.status();
  return BuildSentencePieceTokenizer(*facts);
}

TEST(TokenizerFuzzTest, DamagedSentencePieceModelsAreRefusedOrHarmless) {
  const std::vector<std::string> seeds = ReadSeeds("tests/tokenizer/seeds/sentencepiece");
  ASSERT_GE(seeds.size(), 3);
  const std::vector<std::string> words = {
      std::string("\x0a\x00", 2), "\x0a\x7f", "\x10\xff\x01", "\x18\x04", "\x12\x02\x18\x02",
      "\x1a\x02\x20\x01",         "\xff\xff", "<0x41>",       "\u2581"};
  FuzzRandom random;
  int n_loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string data = DamagedSeed(seeds, words, &random);
    const absl::StatusOr<SentencePieceFacts> facts = ParseSentencePieceModel("m", data);
    const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Build(facts);
    if (!tokenizer.ok()) {
      ASSERT_TRUE(IsRefusal(tokenizer.status())) << tokenizer.status() << " in run " << run;
      ASSERT_TRUE(IsValidUtf8(tokenizer.status().message())) << "in run " << run;
      continue;
    }
    ++n_loaded;
    Use(**tokenizer, absl::StrCat("run ", run));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(n_loaded, kRuns / 50);
}

}  // namespace
}  // namespace heed
