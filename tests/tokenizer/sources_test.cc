// The golden tokenizers from other sources than tokenizer.json: what a GGUF file says about them,
// and the files of older folders. They must answer as the tokenizers library does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "model/base/json.h"
#include "model/base/utf8.h"
#include "model/tokenizer/gguf_tokenizer.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_folder.h"
#include "model/tokenizer/unicode.h"
#include "tests/tokenizer/golden_cases.h"
#include "tests/tokenizer/golden_vocabulary.h"
#include "tests/tokenizer/mini_tokenizer.h"
#include "tests/tokenizer/sentencepiece_writer.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;
using testing::HasSubstr;

using Files = std::map<std::string, std::string>;

absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const Files& files) {
  return LoadTokenizerFolder(
      [&](absl::string_view name) -> absl::StatusOr<std::optional<std::string>> {
        const auto found = files.find(std::string(name));
        return found == files.end() ? std::nullopt : std::optional<std::string>(found->second);
      });
}

std::unique_ptr<Tokenizer> LoadOrFail(const Files& files) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Load(files);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// Compares with the library's answers; `skip` leaves texts out. Returns how many were compared.
template <typename Skip>
int ExpectGolden(const Tokenizer& tokenizer, const std::vector<GoldenCase>& cases, Skip skip) {
  int n_compared = 0;
  for (const GoldenCase& golden : cases) {
    if (skip(golden.text)) continue;
    const absl::StatusOr<TokenizedText> text = tokenizer.Encode(golden.text, {});
    EXPECT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(text->ids, golden.ids_with_special) << golden.name;
    ++n_compared;
  }
  return n_compared;
}

int ExpectGolden(const Tokenizer& tokenizer, const std::vector<GoldenCase>& cases) {
  return ExpectGolden(tokenizer, cases, [](const std::string&) { return false; });
}

TEST(GgufTokenizerTest, Gpt2AnswersAsTheLibrary) {
  GgufTokenizerFacts facts = FactsOf(ReadContents("gpt2-style"), "gpt2");
  facts.pre = "gpt-2";
  const auto tokenizer = BuildGguf(facts);
  ExpectGolden(*tokenizer, ReadGoldenAnswers(GoldenFolder("gpt2-style") + "/answers.json"));
  EXPECT_EQ(tokenizer->kind(), "byte-level BPE");
}

TEST(GgufTokenizerTest, Llama3IgnoresMergesAndBeginsWithItsToken) {
  GgufTokenizerFacts facts = FactsOf(ReadContents("llama3-style"), "gpt2");
  facts.pre = "llama-bpe";
  for (size_t id = 0; id < facts.tokens.size(); ++id) {
    if (facts.tokens[id] == "<|begin_of_text|>") facts.bos_token_id = static_cast<int64_t>(id);
  }
  ExpectGolden(*BuildGguf(facts), ReadGoldenCases(GoldenFolder("llama3-style") + "/cases.json"));
}

TEST(GgufTokenizerTest, Qwen2Composes) {
  GgufTokenizerFacts facts = FactsOf(ReadContents("qwen-style"), "gpt2");
  facts.pre = "qwen2";
  ExpectGolden(*BuildGguf(facts), ReadGoldenCases(GoldenFolder("qwen-style") + "/cases.json"));
}

TEST(GgufTokenizerTest, BertAnswersAsTheLibrary) {
  const auto tokenizer = BuildGguf(BertFacts());
  ExpectGolden(*tokenizer, ReadGoldenAnswers(GoldenFolder("wordpiece-style") + "/answers.json"));
  EXPECT_EQ(tokenizer->mask_id(), 4);
}

// Whitespace that the map leaves, and marks in the text itself, are treated differently.
bool HasOddSpace(const std::string& text) {
  const std::string valid = ReplaceInvalidUtf8(text);
  for (absl::string_view rest = valid; !rest.empty();) {
    const Utf8Char c = DecodeUtf8(rest);
    if (c.code_point == 0x2581 || c.code_point == '<') return true;
    const bool mapped = c.code_point <= ' ' || c.code_point == 0xA0 || c.code_point == 0x2003 ||
                        c.code_point == 0x3000 || c.code_point == 0x2028;
    if (IsWhitespace(c.code_point) && (!mapped || c.code_point == 0xB || c.code_point == 0xC)) {
      return true;
    }
    rest.remove_prefix(static_cast<size_t>(c.length));
  }
  return false;
}

TEST(GgufTokenizerTest, T5AnswersAsTheLibrary) {
  const auto cases = ReadGoldenAnswers(GoldenFolder("t5-style") + "/answers.json");
  EXPECT_GT(ExpectGolden(*BuildGguf(T5Facts()), cases, HasOddSpace), 300);
}

TEST(GgufTokenizerTest, LlamaMergesByScore) {
  GgufTokenizerFacts facts;
  facts.model = "llama";
  facts.tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "ab", "\u2581a", "<0xC3>", "<0xA9>"};
  facts.scores = {0, 0, 0, -4, -5, -6, -2, -3, 0, 0};
  facts.token_types = {2, 3, 3, 1, 1, 1, 1, 1, 6, 6};
  facts.bos_token_id = 1;
  const auto tokenizer = BuildGguf(facts);
  EXPECT_EQ(Pieces(*tokenizer, "ab"), (Strings{"<s>", "\u2581", "ab"}));
  EXPECT_EQ(Pieces(*tokenizer, "a\u00e9"), (Strings{"<s>", "\u2581a", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(Pieces(*tokenizer, "a</s>a"), (Strings{"<s>", "\u2581a", "</s>", "\u2581a"}));
  facts.add_bos_token = false;
  facts.add_space_prefix = false;
  EXPECT_EQ(Pieces(*BuildGguf(facts), "ab"), Strings{"ab"});
}

TEST(GgufTokenizerTest, EveryPatternCompilesAndKeepsTheText) {
  const Contents contents = ReadContents("gpt2-style");
  for (const std::string pre :
       {"", "default", "gpt-2", "llama-bpe", "dbrx", "qwen2", "stablelm2", "starcoder", "falcon",
        "deepseek-coder", "deepseek-v3", "bloom", "tekken", "gpt-4o"}) {
    GgufTokenizerFacts facts = FactsOf(contents, "gpt2");
    facts.pre = pre;
    const auto tokenizer = BuildGguf(facts);
    ASSERT_NE(tokenizer, nullptr) << pre;
    const std::string text = "It's 12345 caf\u00e9s,\r\n  (\u6771\u4eac)\u2026 iPhone \U0001f600!";
    const TokenizedText tokens = tokenizer->Encode(text, {}).value();
    EXPECT_EQ(tokenizer->Decode(tokens.ids, false), text) << pre;
  }
}

TEST(GgufTokenizerTest, DamageIsRefusedByKey) {
  const auto error = [](const std::function<void(GgufTokenizerFacts*)>& damage) {
    GgufTokenizerFacts facts;
    facts.model = "gpt2";
    facts.pre = "gpt-2";
    facts.tokens = {"a", "b", "ab"};
    facts.token_types = {1, 1, 1};
    facts.merges = {"a b"};
    damage(&facts);
    return BuildGgufTokenizer(facts).status().ToString();
  };
  using Facts = GgufTokenizerFacts*;
  EXPECT_EQ(error([](Facts) {}), "OK");
  EXPECT_THAT(error([](Facts f) { f->tokens.clear(); }), HasSubstr("tokens: is empty"));
  EXPECT_THAT(error([](Facts f) { f->tokens[1] = "\xff"; }), HasSubstr("tokens[1] is \"\\377\""));
  EXPECT_THAT(error([](Facts f) { f->token_types = {1}; }), HasSubstr("token_type: has 1 values"));
  EXPECT_THAT(error([](Facts f) { f->token_types[2] = 9; }), HasSubstr("token_type[2] is 9"));
  EXPECT_THAT(error([](Facts f) { f->merges = {"ab"}; }), HasSubstr("merges[0] is \"ab\""));
  EXPECT_THAT(error([](Facts f) { f->merges = {"a "}; }), HasSubstr("merges[0] is \"a \""));
  EXPECT_THAT(error([](Facts f) { f->merges = {""}; }), HasSubstr("merges[0] is \"\""));
  EXPECT_THAT(error([](Facts f) { f->merges = {"b a"}; }), HasSubstr("needs the piece \"ba\""));
  EXPECT_THAT(error([](Facts f) { f->merges = {"a b", "a b"}; }), HasSubstr("two merges join"));
  EXPECT_THAT(error([](Facts f) { f->pre = "new"; }), HasSubstr("pre: heed has no patterns"));
  EXPECT_THAT(error([](Facts f) { f->model = "rwkv"; }), HasSubstr("no tokenizer \"rwkv\""));
  EXPECT_THAT(error([](Facts f) { f->bos_token_id = 3; }), HasSubstr("bos_token_id is 3"));
  EXPECT_EQ(error([](Facts f) { f->bos_token_id = -1; }), "OK");
  EXPECT_THAT(error([](Facts f) { f->model = "llama"; }), HasSubstr("scores: has 0 values"));
  EXPECT_THAT(error([](Facts f) {
                f->model = "t5";
                f->scores = {0, 0, 0};
                f->precompiled_charsmap = "xy";
              }),
              HasSubstr("precompiled_charsmap"));
}

TEST(TokenizerFolderTest, TokenizerJsonComesFirst) {
  const Files files = {{"tokenizer.json", R"({"model":{"vocab":{"a":0},"merges":[]}})"},
                       {"vocab.txt", "x\ny\n"}};
  EXPECT_EQ(LoadOrFail(files)->kind(), "BPE");
  EXPECT_EQ(*Load({}), nullptr);
}

TEST(TokenizerFolderTest, VocabAndMergesAnswerAsTheLibrary) {
  const Contents contents = ReadContents("gpt2-style");
  Strings vocab;
  for (const auto& [id, piece] : contents.pieces) {
    vocab.push_back(absl::StrCat(QuoteJson(piece), ":", id));
  }
  const Files files = {
      {"vocab.json", absl::StrCat("{", absl::StrJoin(vocab, ","), "}")},
      {"merges.txt", absl::StrCat("#version: 0.2\n", absl::StrJoin(contents.merges, "\r\n"), "\n")},
      {"tokenizer_config.json", R"({"tokenizer_class":"GPT2Tokenizer"})"}};
  ExpectGolden(*LoadOrFail(files), ReadGoldenAnswers(GoldenFolder("gpt2-style") + "/answers.json"));
}

TEST(TokenizerFolderTest, VocabTxtAnswersAsTheLibrary) {
  const Contents contents = ReadContents("wordpiece-style");
  std::string vocab;
  for (const auto& [id, piece] : contents.pieces) absl::StrAppend(&vocab, piece, "\n");
  const Files files = {
      {"vocab.txt", vocab},
      {"tokenizer_config.json",
       R"({"do_lower_case":true,"mask_token":{"content":"[MASK]","lstrip":true}})"}};
  ExpectGolden(*LoadOrFail(files),
               ReadGoldenAnswers(GoldenFolder("wordpiece-style") + "/answers.json"));
  EXPECT_EQ(LoadOrFail({{"vocab.txt", vocab}})->added_special_count(), 2);
}

TEST(TokenizerFolderTest, SentencePieceModelsAnswerAsTheLibrary) {
  const Contents contents = ReadContents("t5-style");
  SentencePieceFile file;
  for (size_t id = 0; id < contents.scores.size(); ++id) {
    const TokenId token = static_cast<TokenId>(id);
    const int kind = token == 2 ? 2 : contents.added.count(token) > 0 ? 3 : 1;
    file.pieces.push_back(
        {contents.pieces.at(token), static_cast<float>(contents.scores[id]), kind});
  }
  file.charsmap = contents.charsmap;
  file.more = WireBytes(2, WireVarint(42, 1));
  const Files files = {{"spiece.model", file.Bytes()},
                       {"tokenizer_config.json", R"({"tokenizer_class":"T5Tokenizer"})"}};
  const auto cases = ReadGoldenAnswers(GoldenFolder("t5-style") + "/answers.json");
  EXPECT_GT(ExpectGolden(*LoadOrFail(files), cases, HasOddSpace), 300);
}

TEST(TokenizerFolderTest, Qwen2ComposesAndSplitsItsWay) {
  const Contents contents = ReadContents("qwen-style");
  Strings vocab;
  Strings added;
  for (const auto& [id, piece] : contents.pieces) {
    const auto found = contents.added.find(id);
    if (found == contents.added.end()) {
      vocab.push_back(absl::StrCat(QuoteJson(piece), ":", id));
    } else {
      added.push_back(absl::StrCat("\"", id, R"(":{"content":)", QuoteJson(piece), R"(,"special":)",
                                   found->second ? "true" : "false", "}"));
    }
  }
  Files files = {{"vocab.json", absl::StrCat("{", absl::StrJoin(vocab, ","), "}")},
                 {"merges.txt", absl::StrJoin(contents.merges, "\n")},
                 {"tokenizer_config.json",
                  absl::StrCat(R"({"tokenizer_class":"Qwen2Tokenizer","added_tokens_decoder":{)",
                               absl::StrJoin(added, ","), "}}")}};
  const auto cases = ReadGoldenCases(GoldenFolder("qwen-style") + "/cases.json");
  EXPECT_EQ(ExpectGolden(*LoadOrFail(files), cases), static_cast<int>(cases.size()));
  // The class follows from the model where the folder does not name it.
  files["config.json"] = R"({"model_type":"qwen3"})";
  files["tokenizer_config.json"] =
      absl::StrCat(R"({"added_tokens_decoder":{)", absl::StrJoin(added, ","), "}}");
  EXPECT_EQ(ExpectGolden(*LoadOrFail(files), cases), static_cast<int>(cases.size()));
}

// Classes that put their own vocabulary around the pieces of a SentencePiece model.
class SentencePieceClassTest : public testing::TestWithParam<std::pair<std::string, std::string>> {
};

TEST_P(SentencePieceClassTest, AnswersAsTheReference) {
  const auto& [model_type, file] = GetParam();
  const std::string folder = GoldenFolder("files/" + model_type);
  Files files = {{file, ReadFileOrDie(absl::StrCat(folder, "/", file))},
                 {"tokenizer_config.json", ReadFileOrDie(folder + "/tokenizer_config.json")}};
  const auto cases = ReadGoldenIds(GoldenFolder("texts.json"), folder + "/ids.json");
  EXPECT_GE(ExpectGolden(*LoadOrFail(files), cases), 500);
  files.erase("tokenizer_config.json");
  files["config.json"] = absl::StrCat(R"({"model_type":")", model_type, "\"}");
  EXPECT_GE(ExpectGolden(*LoadOrFail(files), cases), 500);
}

INSTANTIATE_TEST_SUITE_P(All, SentencePieceClassTest,
                         testing::Values(std::pair("xlm-roberta", "sentencepiece.bpe.model"),
                                         std::pair("camembert", "sentencepiece.bpe.model"),
                                         std::pair("albert", "spiece.model")));

TEST(TokenizerFolderTest, TheConfigurationNamesTokensAndFlags) {
  const std::string vocab = R"({"a":0,"b":1,"ab":2,"<s>":3,"</s>":4,"<mask>":5,"Ġ":6})";
  const Files roberta = {{"vocab.json", vocab},
                         {"merges.txt", "a b"},
                         {"tokenizer_config.json", R"({"tokenizer_class":"RobertaTokenizerFast",
        "added_tokens_decoder":{"7":{"content":"<new>","special":false}}})"}};
  EXPECT_EQ(Pieces(*LoadOrFail(roberta), "ab <mask><new>b"),
            (Strings{"<s>", "ab", "<mask>", "<new>", "b", "</s>"}));
  Files prefixed = roberta;
  prefixed["tokenizer_config.json"] = R"({"add_prefix_space":true,"add_eos_token":true,
        "eos_token":{"content":"</s>"}})";
  EXPECT_EQ(Pieces(*LoadOrFail(prefixed), "ab"), (Strings{"Ġ", "ab", "</s>"}));
  const Files cased = {{"vocab.txt", "[UNK]\nA\na\n"},
                       {"tokenizer_config.json", R"({"do_lower_case":false})"}};
  EXPECT_EQ(Pieces(*LoadOrFail(cased), "A a \u00e1"), (Strings{"A", "a", "[UNK]"}));
}

// A search through all tokens for each would need a minute here.
TEST(TokenizerFolderTest, ManyTokensMayBeAdded) {
  constexpr TokenId kCount = 200'000;
  TokenizerText text;
  for (TokenId id = 0; id < kCount; ++id) {
    text.added_tokens.push_back({id, absl::StrCat("token ", id), true, false});
  }
  TokenizerConfig config;
  config.added_tokens = {{kCount, "token 0"}, {1, "other"}};
  MergeAddedTokens(config, PieceTable(), &text);
  ASSERT_EQ(text.added_tokens.size(), kCount);
  EXPECT_EQ(text.added_tokens.front().content, "other");
  EXPECT_EQ(text.added_tokens.at(1).content, "token 2");
  EXPECT_EQ(text.added_tokens.back().content, "token 0");
}

TEST(TokenizerFolderTest, SentencePieceModelsMayGetTokensLater) {
  SentencePieceFile file;
  file.model_type = 2;
  file.pieces = {{"<unk>", 0, 2}, {"</s>", 0, 3}, {"\u2581", -1}, {"a", -2}, {"[u]", 0, 4}};
  const Files files = {
      {"tokenizer.model", file.Bytes()},
      {"tokenizer_config.json", R"({"add_bos_token":false,"add_eos_token":true,"eos_token":"</s>",
        "added_tokens_decoder":{"6":{"content":"<b>","special":true},
        "1":{"content":"</s>","special":true},"4":{"content":"[u]"},"5":{"content":"<a>"}}})"}};
  const auto tokenizer = LoadOrFail(files);
  EXPECT_EQ(tokenizer->Encode("a<a><b>[u]</s>", {})->ids,
            (std::vector<TokenId>{2, 3, 5, 6, 4, 1, 1}));
  EXPECT_TRUE(tokenizer->IsSpecial(6));
  EXPECT_EQ(tokenizer->vocab_size(), 7);
}

TEST(TokenizerFolderTest, EveryClassRefusesPiecesThatMakeNoVocabulary) {
  const auto error = [](const std::string& name, const SentencePieceFile::Piece& piece) {
    SentencePieceFile file;
    file.pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, piece};
    const Files files = {
        {"spiece.model", file.Bytes()},
        {"tokenizer_config.json", absl::StrCat(R"({"tokenizer_class":")", name, "\"}")}};
    return Load(files).status().ToString();
  };
  for (const std::string name : {"T5Tokenizer", "XLMRobertaTokenizer", "AlbertTokenizer"}) {
    EXPECT_THAT(error(name, {"a", std::nanf("")}), HasSubstr("piece 3 has no finite score"))
        << name;
    EXPECT_THAT(error(name, {"a", -INFINITY}), HasSubstr("piece 3 has no finite score")) << name;
    EXPECT_THAT(error(name, {"\xff"}), HasSubstr("expected UTF-8")) << name;
    EXPECT_EQ(error(name, {"a"}), "OK") << name;
  }
}

TEST(TokenizerFolderTest, DamageIsRefusedByFile) {
  const auto error = [](const Files& files) { return Load(files).status().ToString(); };
  const std::string vocab = R"({"a":0,"b":1,"ab":2})";
  EXPECT_THAT(error({{"vocab.json", "["}, {"merges.txt", ""}}), HasSubstr("vocab.json: not valid"));
  EXPECT_THAT(error({{"vocab.json", R"({"a":-1})"}, {"merges.txt", ""}}),
              HasSubstr("vocab.json: a is -1"));
  EXPECT_THAT(error({{"vocab.json", vocab}, {"merges.txt", "a b\nab"}}),
              HasSubstr("merges.txt: line 2 is \"ab\""));
  EXPECT_THAT(error({{"vocab.json", vocab}, {"merges.txt", "a  b"}}),
              HasSubstr("merges.txt: line"));
  EXPECT_THAT(error({{"vocab.json", vocab}, {"merges.txt", "b a"}}), HasSubstr("needs a piece"));
  EXPECT_THAT(error({{"vocab.json", vocab}, {"merges.txt", "a b\na b"}}),
              HasSubstr("merges.txt: two merges join"));
  EXPECT_THAT(error({{"vocab.txt", "a\n\xff\n"}}), HasSubstr("vocab.txt: line 2"));
  EXPECT_THAT(error({{"tokenizer.model", "\x0b"}}), HasSubstr("tokenizer.model: "));
  EXPECT_THAT(error({{"tokenizer.json", "{}"}}), HasSubstr("tokenizer.json: "));
  EXPECT_THAT(error({{"vocab.txt", "a"}, {"tokenizer_config.json", "{"}}),
              HasSubstr("tokenizer_config.json: "));
  EXPECT_THAT(error({{"vocab.txt", "a"}, {"tokenizer_config.json", R"({"do_lower_case":1})"}}),
              HasSubstr("tokenizer_config.json: do_lower_case is 1"));
  EXPECT_THAT(error({{"vocab.txt", "a"},
                     {"tokenizer_config.json", R"({"added_tokens_decoder":{"x":{}}})"}}),
              HasSubstr("tokenizer_config.json: added_tokens_decoder.x"));
  EXPECT_THAT(error({{"sentencepiece.bpe.model", SentencePieceFile{{{"a"}}}.Bytes()},
                     {"tokenizer_config.json", R"({"tokenizer_class":"NllbTokenizer"})"}}),
              HasSubstr("UNIMPLEMENTED: sentencepiece.bpe.model"));
  EXPECT_THAT(error({{"sentencepiece.bpe.model", SentencePieceFile{{{"a"}}}.Bytes()},
                     {"tokenizer_config.json", R"({"tokenizer_class":"XLMRobertaTokenizer"})"}}),
              HasSubstr("sentencepiece.bpe.model: has 1 pieces; XLMRobertaTokenizer needs"));
  EXPECT_THAT(error({{"vocab.txt", "a"}, {"config.json", "{"}}), HasSubstr("config.json: "));
  const absl::Status read_error =
      LoadTokenizerFolder([](absl::string_view) -> absl::StatusOr<std::optional<std::string>> {
        return absl::DataLossError("torn");
      }).status();
  EXPECT_TRUE(absl::IsDataLoss(read_error));
}

}  // namespace
}  // namespace heed
