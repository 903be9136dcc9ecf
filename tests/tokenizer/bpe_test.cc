#include "model/tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"
#include "tests/tokenizer/mini_tokenizer.h"

namespace heed {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

std::string ModelJson(const std::vector<std::string>& pieces, const Merges& merges,
                      const std::string& options = "") {
  std::vector<std::string> vocab;
  for (const std::string& piece : pieces)
    vocab.push_back(absl::StrCat(QuoteJson(piece), ":", vocab.size()));
  std::vector<std::string> list;
  for (const auto& [left, right] : merges) {
    list.push_back(absl::StrCat("[", QuoteJson(left), ",", QuoteJson(right), "]"));
  }
  return absl::StrCat("{", options, R"("vocab":{)", absl::StrJoin(vocab, ","), R"(},"merges":[)",
                      absl::StrJoin(list, ","), "]}");
}

std::unique_ptr<TokenModel> Parse(const std::string& json) {
  const JsonDocument document = JsonDocument::Parse("json", json).value();
  absl::StatusOr<std::unique_ptr<TokenModel>> model = ParseTokenModel(document.root());
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

std::vector<std::string> Tokenize(const TokenModel& model, const std::string& text) {
  std::vector<ModelToken> tokens;
  const absl::Status status = Collect(*model.NewWorker(), text, &tokens);
  EXPECT_TRUE(status.ok()) << status;
  std::vector<std::string> pieces;
  for (const ModelToken& token : tokens)
    pieces.push_back(std::string(model.pieces().Piece(token.id)));
  return pieces;
}

std::vector<std::pair<uint32_t, uint32_t>> Ranges(const TokenModel& model,
                                                  const std::string& text) {
  std::vector<ModelToken> tokens;
  EXPECT_TRUE(Collect(*model.NewWorker(), text, &tokens).ok());
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  for (const ModelToken& token : tokens) ranges.emplace_back(token.begin, token.end);
  return ranges;
}

// The slow twin, for one-byte characters that are all in the vocabulary: joins the earliest merge's
// leftmost pair, looking at all pairs each time.
std::vector<std::string> SlowTokenize(const Merges& merges, const std::string& text) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  // Of each part and the next one.
  std::vector<size_t> pair_ranks;
  const auto rank = [&](size_t i) {
    const auto found = ranks.find({parts[i], parts[i + 1]});
    return found == ranks.end() ? merges.size() : found->second;
  };
  for (size_t i = 0; i + 1 < parts.size(); ++i) pair_ranks.push_back(rank(i));
  while (!pair_ranks.empty()) {
    const auto best = std::min_element(pair_ranks.begin(), pair_ranks.end());
    if (*best == merges.size()) break;
    const auto i = best - pair_ranks.begin();
    parts[i] += parts[i + 1];
    parts.erase(parts.begin() + i + 1);
    pair_ranks.erase(best);
    if (i > 0) pair_ranks[i - 1] = rank(i - 1);
    if (i + 1 < std::ssize(parts)) pair_ranks[i] = rank(i);
  }
  return parts;
}

class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed) {}
  uint32_t operator()(uint32_t n) {
    state_ = state_ * 1664525 + 1013904223;
    return (state_ >> 16) % n;
  }

 private:
  uint32_t state_;
};

// A vocabulary over the first letters with random merges, in random order.
struct RandomModel {
  std::vector<std::string> pieces;
  Merges merges;

  explicit RandomModel(Random* random, int n_letters = 3, int n_tries = 40) {
    for (int i = 0; i < n_letters; ++i) pieces.emplace_back(1, static_cast<char>('a' + i));
    for (int i = 0; i < n_tries; ++i) {
      const std::string left = pieces[(*random)(static_cast<uint32_t>(pieces.size()))];
      const std::string right = pieces[(*random)(static_cast<uint32_t>(pieces.size()))];
      const std::pair<std::string, std::string> merge = {left, right};
      if (left.size() + right.size() > 40) continue;
      if (std::find(merges.begin(), merges.end(), merge) != merges.end()) continue;
      merges.push_back(merge);
      if (std::find(pieces.begin(), pieces.end(), left + right) == pieces.end())
        pieces.push_back(left + right);
    }
    for (size_t i = merges.size(); i > 1; --i)
      std::swap(merges[i - 1], merges[(*random)(static_cast<uint32_t>(i))]);
  }
};

TEST(BpeTest, MergesEarliestRankFirstAndFromTheLeft) {
  const Merges merges = {{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}};
  const auto model = Parse(ModelJson({"a", "b", "c", "bc", "ab", "aa", "aaa"}, merges));
  EXPECT_EQ(Tokenize(*model, "abc"), (std::vector<std::string>{"a", "bc"}));
  EXPECT_EQ(Tokenize(*model, "aaaaa"), (std::vector<std::string>{"aa", "aaa"}));
  EXPECT_EQ(Ranges(*model, "abca"),
            (std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {1, 3}, {3, 4}}));
}

TEST(BpeTest, ShortAndLongPiecesAgreeWithTheSlowTwin) {
  Random random(9);
  for (int round = 0; round < 60; ++round) {
    const RandomModel made(&random);
    const auto model = Parse(ModelJson(made.pieces, made.merges));
    for (const uint32_t length : {1, 2, 3, 7, 31, 32, 33, 34, 60, 300}) {
      std::string text;
      for (uint32_t i = 0; i < length; ++i) text.push_back(static_cast<char>('a' + random(3)));
      ASSERT_EQ(Tokenize(*model, text), SlowTokenize(made.merges, text)) << text;
    }
  }
}

// With few merges a long piece has many places that nothing joins.
TEST(BpeTest, PiecesOfManyRunsAgreeWithTheSlowTwin) {
  Random random(14);
  for (int round = 0; round < 60; ++round) {
    const RandomModel made(&random, 8, 6 + round / 4);
    const auto model = Parse(ModelJson(made.pieces, made.merges));
    for (const uint32_t length : {5, 40, 400}) {
      std::string text;
      for (uint32_t i = 0; i < length; ++i) text.push_back(static_cast<char>('a' + random(8)));
      ASSERT_EQ(Tokenize(*model, text), SlowTokenize(made.merges, text)) << text;
    }
  }
}

TEST(BpeTest, RepetitivePiecesOfFourKibAgreeWithTheSlowTwin) {
  Random random(4);
  const RandomModel made(&random);
  const auto model = Parse(ModelJson(made.pieces, made.merges));
  for (const std::string unit : {"a", "ab", "abc", "aab", "abcacb", "ccccb"}) {
    std::string text;
    while (text.size() < 4096) text += unit;
    ASSERT_EQ(Tokenize(*model, text), SlowTokenize(made.merges, text)) << unit;
  }
}

TEST(BpeTest, OneWorkerServesOnePieceAfterAnother) {
  Random random(2);
  const RandomModel made(&random);
  const auto model = Parse(ModelJson(made.pieces, made.merges));
  const std::unique_ptr<ModelWorker> worker = model->NewWorker();
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (uint32_t n = 1 + random(80); text.size() < n;)
      text.push_back(static_cast<char>('a' + random(3)));
    std::vector<ModelToken> tokens;
    ASSERT_TRUE(Collect(*worker, text, &tokens).ok());
    std::vector<std::string> pieces;
    for (const ModelToken& token : tokens)
      pieces.push_back(std::string(model->pieces().Piece(token.id)));
    ASSERT_EQ(pieces, SlowTokenize(made.merges, text)) << text;
  }
}

TEST(BpeTest, MergesMayBeStringsAfterAVersionLine) {
  const auto model =
      Parse(R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["#version: 0.2","a b"]})");
  EXPECT_EQ(Tokenize(*model, "abb"), (std::vector<std::string>{"ab", "b"}));
}

TEST(BpeTest, CharactersOutsideTheVocabularyAreDropped) {
  const auto model = Parse(ModelJson({"a"}, {}));
  EXPECT_EQ(Tokenize(*model, "axa"), (std::vector<std::string>{"a", "a"}));
  EXPECT_EQ(Ranges(*model, "a\u6771a"),
            (std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {4, 5}}));
  EXPECT_EQ(Tokenize(*model, "xyz"), std::vector<std::string>{});
}

TEST(BpeTest, UnknownTokensStandForOneCharacterOrARun) {
  const std::string unk = R"("unk_token":"<unk>",)";
  const auto single = Parse(ModelJson({"<unk>", "a"}, {}, unk));
  EXPECT_EQ(Tokenize(*single, "xyaz"), (std::vector<std::string>{"<unk>", "<unk>", "a", "<unk>"}));
  const auto fused = Parse(ModelJson({"<unk>", "a"}, {}, unk + R"("fuse_unk":true,)"));
  EXPECT_EQ(Tokenize(*fused, "xyaz"), (std::vector<std::string>{"<unk>", "a", "<unk>"}));
  EXPECT_EQ(Ranges(*fused, "xyaz"),
            (std::vector<std::pair<uint32_t, uint32_t>>{{0, 2}, {2, 3}, {3, 4}}));
}

TEST(BpeTest, AnUnknownTokenOutsideTheVocabularyIsAnErrorOnlyWhenNeeded) {
  const auto model = Parse(ModelJson({"a"}, {}, R"("unk_token":"<unk>",)"));
  EXPECT_EQ(Tokenize(*model, "aa"), (std::vector<std::string>{"a", "a"}));
  std::vector<ModelToken> tokens;
  EXPECT_EQ(Collect(*model->NewWorker(), "ab", &tokens).code(), absl::StatusCode::kInvalidArgument);
}

TEST(BpeTest, ByteFallbackNeedsEveryByte) {
  const std::string options = R"("unk_token":"<unk>","byte_fallback":true,)";
  const auto model = Parse(ModelJson({"<unk>", "a", "<0xC3>", "<0xA9>"}, {}, options));
  EXPECT_EQ(Tokenize(*model, "a\u00e9a"), (std::vector<std::string>{"a", "<0xC3>", "<0xA9>", "a"}));
  EXPECT_EQ(Tokenize(*model, "\u00e8"), std::vector<std::string>{"<unk>"});
  EXPECT_EQ(Ranges(*model, "a\u00e9"),
            (std::vector<std::pair<uint32_t, uint32_t>>{{0, 1}, {1, 2}, {2, 3}}));
}

TEST(BpeTest, WholePiecesOfTheVocabularyAreTakenOnlyWithIgnoreMerges) {
  const std::vector<std::string> pieces = {"a", "b", "aba"};
  EXPECT_EQ(Tokenize(*Parse(ModelJson(pieces, {})), "aba"),
            (std::vector<std::string>{"a", "b", "a"}));
  const auto model = Parse(ModelJson(pieces, {}, R"("ignore_merges":true,)"));
  EXPECT_EQ(Tokenize(*model, "aba"), std::vector<std::string>{"aba"});
  EXPECT_EQ(Tokenize(*model, "abab"), (std::vector<std::string>{"a", "b", "a", "b"}));
}

TEST(BpeTest, PrefixAndSuffixMarkTheInsideAndTheEnd) {
  const std::string options = R"("continuing_subword_prefix":"##","end_of_word_suffix":"$",)";
  const auto model = Parse(
      ModelJson({"a", "##b", "##c$", "ab", "a$", "abc$"}, {{"a", "##b"}, {"ab", "##c$"}}, options));
  EXPECT_EQ(Tokenize(*model, "abc"), std::vector<std::string>{"abc$"});
  EXPECT_EQ(Tokenize(*model, "a"), std::vector<std::string>{"a$"});
  EXPECT_EQ(Tokenize(*model, "abbc"), (std::vector<std::string>{"ab", "##b", "##c$"}));
}

TEST(BpeTest, ModelsWithoutATypeAreRecognised) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"vocab":{},"merges":[]})", "BPE"},
      {R"({"vocab":[["a",0.5]],"unk_id":0})", "Unigram"},
      {R"({"vocab":{},"continuing_subword_prefix":"##"})", "WordPiece"},
      {R"({"vocab":{}})", "WordLevel"},
  };
  for (const auto& [json, kind] : cases) EXPECT_EQ(Parse(json)->name(), kind);
  const JsonDocument document =
      JsonDocument::Parse("json", R"({"type":"Nonsense","vocab":{},"merges":[]})").value();
  const absl::Status status = ParseTokenModel(document.root()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_NE(status.message().find("Nonsense"), std::string::npos) << status;
}

}  // namespace
}  // namespace heed
