// Random damage to tokenizer files: each is refused with a reason, or loaded and used without harm.
// The same seeds and the same damage in every run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/utf8.h"
#include "model/tokenizer/sentencepiece.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"

namespace heed {
namespace {

constexpr int kRuns = 100'000;
const char kText[] = "The  k\u00e9ys\t<s>[MASK] \u4e2d\xff 12,ab \u2581x";

class Random {
 public:
  uint32_t operator()(size_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state_ >> 33) % n);
  }

 private:
  uint64_t state_ = 42;
};

// Seeds by name, so that every run has the same order.
std::vector<std::string> ReadSeeds(const std::string& folder) {
  std::vector<std::string> paths;
  const std::string root = absl::StrCat(HEED_SOURCE_DIR, "/tests/tokenizer/seeds/", folder);
  for (const auto& entry : std::filesystem::directory_iterator(root)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const std::string& path : paths) seeds.push_back(ReadFileOrDie(path));
  return seeds;
}

// Changes a few places: single bits and bytes, parts left out, doubled or taken from another seed,
// and words that mean something to the parser.
std::string Damage(const std::vector<std::string>& seeds, const std::vector<std::string>& words,
                   Random* random) {
  std::string data = seeds[(*random)(seeds.size())];
  for (uint32_t n = 1 + (*random)(3); n > 0 && !data.empty(); --n) {
    const size_t at = (*random)(data.size());
    const size_t size = std::min<size_t>(1 + (*random)(24), data.size() - at);
    const std::string& other = seeds[(*random)(seeds.size())];
    const size_t other_at = (*random)(other.size());
    switch ((*random)(6)) {
      case 0:
        data[at] = static_cast<char>(data[at] ^ (1 << (*random)(8)));
        break;
      case 1:
        data[at] = static_cast<char>((*random)(256));
        break;
      case 2:
        data.erase(at, size);
        break;
      case 3:
        data.insert(at, data.substr(at, size));
        break;
      case 4:
        data.replace(at, size, other.substr(other_at, size));
        break;
      case 5:
        data.insert(at, words[(*random)(words.size())]);
        break;
    }
  }
  return data;
}

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
  const std::vector<std::string> seeds = ReadSeeds("tokenizer_json");
  ASSERT_GE(seeds.size(), 4);
  const std::vector<std::string> words = {
      "null",      "true",       "-1",      "0",       "1e999",      "4294967296",
      "\"\"",      "[]",         "{}",      ",",       "\"type\":",  "\"Fuse\"",
      "\"Strip\"", "\"NFKC\"",   "\"Nmt\"", "\"BPE\"", "\"CTC\"",    "\\u0000",
      "\\ud800",   "\"Digits\"", "\xff",    "\u2581",  "\"always\"", "(?i)"};
  Random random;
  int n_loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string data = Damage(seeds, words, &random);
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
  const std::vector<std::string> seeds = ReadSeeds("sentencepiece");
  ASSERT_GE(seeds.size(), 3);
  const std::vector<std::string> words = {
      std::string("\x0a\x00", 2), "\x0a\x7f", "\x10\xff\x01", "\x18\x04", "\x12\x02\x18\x02",
      "\x1a\x02\x20\x01",         "\xff\xff", "<0x41>",       "\u2581"};
  Random random;
  int n_loaded = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::string data = Damage(seeds, words, &random);
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
