// GGUF's tokenizers against llama.cpp itself, on the texts that all golden tokenizers share.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_cases.h"
#include "tests/tokenizer/golden_vocabulary.h"

namespace heed {
namespace {

std::vector<GoldenCase> ReadKind(const std::string& kind) {
  return ReadGoldenIds(GoldenFolder("texts.json"), GoldenFolder("llama_cpp/" + kind + ".json"));
}

constexpr int kTexts = 507;
// The map turns the beginning of U+205F into another character. The library, which cuts at
// whitespace that is no space, sees words around it where SentencePiece sees none.
constexpr absl::string_view kNeither = "unicode_spaces";

// Compares with llama.cpp's ids, and where they differ with those of `library`, unless that is
// empty. Returns how many texts have llama.cpp's.
int CountEqual(const Tokenizer& tokenizer, const std::vector<GoldenCase>& cases,
               const std::vector<GoldenCase>& library = {}) {
  EXPECT_EQ(cases.size(), kTexts);
  int n_equal = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const TokenizedText text = tokenizer.Encode(cases[i].text, {}).value();
    const bool equal = text.ids == cases[i].ids_with_special;
    n_equal += equal ? 1 : 0;
    if (equal || library.empty() || cases[i].name == kNeither) continue;
    EXPECT_EQ(text.ids, library[i].ids_with_special) << cases[i].name;
  }
  return n_equal;
}

TEST(LlamaCppTest, LlamaMergesAndFallsBackToBytesAlike) {
  GgufTokenizerFacts facts = FactsOf(ReadContents("llama2-style"), "llama");
  facts.token_types[0] = 2;
  for (size_t id = 0; id < facts.tokens.size(); ++id) {
    if (absl::StartsWith(facts.tokens[id], "<0x")) facts.token_types[id] = 6;
    facts.scores.push_back(facts.token_types[id] == 1 ? -static_cast<float>(id) : 0);
  }
  facts.unknown_token_id = 0;
  facts.bos_token_id = 1;
  facts.eos_token_id = 2;
  EXPECT_EQ(CountEqual(*BuildGguf(facts), ReadKind("llama")), kTexts);
}

// llama.cpp does not decompose Hangul, drops all marks and not only those without width, breaks
// words at control characters, and knows no limit on a word's length. There the library is
// followed.
TEST(LlamaCppTest, BertAnswersAsOneOfTheTwo) {
  const auto library = ReadGoldenAnswers(GoldenFolder("wordpiece-style") + "/answers.json");
  EXPECT_EQ(CountEqual(*BuildGguf(BertFacts()), ReadKind("bert"), library), kTexts - 29);
}

// llama.cpp looks up single characters and the longest sequences; the library grapheme clusters.
TEST(LlamaCppTest, T5AnswersAsOneOfTheTwo) {
  const auto library = ReadGoldenAnswers(GoldenFolder("t5-style") + "/answers.json");
  EXPECT_EQ(CountEqual(*BuildGguf(T5Facts()), ReadKind("t5"), library), kTexts - 13);
}

// The answers of gpt-2, and in their place those of another pre-tokenizer where they differ.
std::vector<GoldenCase> ReadPre(const std::string& pre) {
  std::vector<GoldenCase> cases = ReadKind("gpt2_gpt-2");
  if (pre == "gpt-2") return cases;
  const std::string path = GoldenFolder(absl::StrCat("llama_cpp/gpt2_", pre, ".json"));
  const JsonDocument document = JsonDocument::Parse(path, ReadFileOrDie(path)).value();
  const std::vector<JsonValue> rows = document.root().Get("ids")->Array().value();
  for (const JsonValue& row : rows) {
    const std::vector<JsonValue> parts = row.Array().value();
    std::vector<TokenId>* const ids = &cases.at(parts[0].Int().value()).ids_with_special;
    ids->clear();
    EXPECT_TRUE(parts[1]
                    .ForEachElement([&](int64_t, const JsonValue& id) {
                      ids->push_back(static_cast<TokenId>(id.Int().value()));
                      return absl::OkStatus();
                    })
                    .ok());
  }
  return cases;
}

// A pre-tokenizer and the number of texts that llama.cpp cuts in another way.
class LlamaCppPreTest : public testing::TestWithParam<std::pair<std::string, int>> {};

TEST_P(LlamaCppPreTest, CutsAlike) {
  const auto& [pre, n_different] = GetParam();
  GgufTokenizerFacts facts = FactsOf(ReadContents("gpt2-style"), "gpt2");
  facts.pre = pre;
  facts.add_bos_token = false;
  EXPECT_EQ(CountEqual(*BuildGguf(facts), ReadPre(pre)), kTexts - n_different);
}

// Of those that differ, qwen2 composes characters and falcon cuts digits as their tokenizer.json
// has it. For deepseek-coder llama.cpp reads whitespace outside ASCII as a vertical tab, which the
// ranges of its pattern do not have; for tekken and gpt-4o it leaves marks out of words.
INSTANTIATE_TEST_SUITE_P(All, LlamaCppPreTest,
                         testing::Values(std::pair("gpt-2", 0), std::pair("default", 0),
                                         std::pair("llama-bpe", 0), std::pair("dbrx", 0),
                                         std::pair("stablelm2", 0), std::pair("starcoder", 0),
                                         std::pair("deepseek-v3", 0), std::pair("bloom", 0),
                                         std::pair("qwen2", 47), std::pair("falcon", 99),
                                         std::pair("deepseek-coder", 7), std::pair("tekken", 5),
                                         std::pair("gpt-4o", 5)));

}  // namespace
}  // namespace heed
