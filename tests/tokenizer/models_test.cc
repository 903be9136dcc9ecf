// WordPiece, WordLevel and Unigram, and the trie below them.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/tokenizer/piece_trie.h"
#include "model/tokenizer/unigram.h"
#include "model/tokenizer/word_models.h"
#include "tests/tokenizer/mini_tokenizer.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;
using Ranges = std::vector<std::pair<uint32_t, uint32_t>>;

absl::StatusOr<std::unique_ptr<TokenModel>> TryParse(const std::string& json) {
  const JsonDocument document = JsonDocument::Parse("json", json).value();
  return ParseTokenModel(document.root());
}

std::unique_ptr<TokenModel> Parse(const std::string& json) {
  absl::StatusOr<std::unique_ptr<TokenModel>> model = TryParse(json);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

Strings Tokenize(const TokenModel& model, const std::string& text, Ranges* ranges = nullptr) {
  std::vector<ModelToken> tokens;
  const absl::Status status = Collect(*model.NewWorker(), text, &tokens);
  EXPECT_TRUE(status.ok()) << status;
  Strings pieces;
  for (const ModelToken& token : tokens) {
    pieces.push_back(std::string(model.pieces().Piece(token.id)));
    if (ranges != nullptr) ranges->emplace_back(token.begin, token.end);
  }
  return pieces;
}

TEST(PieceTrieTest, FindsTheLongestAndAllOnTheWay) {
  const PieceTrie trie({{"a", 1}, {"abc", 2}, {"b", 3}, {"", 4}, {"\xff\xfe", 5}, {"a", 6}});
  EXPECT_EQ(trie.Longest("abd").length, 1);
  EXPECT_EQ(trie.Longest("abd").value, 6);  // of equal pieces the later
  EXPECT_EQ(trie.Longest("abcd").length, 3);
  EXPECT_EQ(trie.Longest("abcd").value, 2);
  EXPECT_EQ(trie.Longest("x").length, 0);
  EXPECT_EQ(trie.Longest("").length, 0);
  EXPECT_EQ(trie.Longest("\xff\xfe").value, 5);
  EXPECT_EQ(PieceTrie().Longest("a").length, 0);
}

TEST(PieceTrieTest, AgreesWithAMapOnRandomPieces) {
  uint32_t state = 8;
  const auto random = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % n;
  };
  const auto random_string = [&](uint32_t longest) {
    std::string text;
    for (uint32_t n = 1 + random(longest); n > 0; --n) text.push_back(static_cast<char>(random(4)));
    return text;
  };
  std::map<std::string, int32_t> map;
  for (int32_t i = 0; i < 300; ++i) map[random_string(6)] = i;
  std::vector<PieceTrie::Entry> entries;
  for (const auto& [piece, value] : map) entries.push_back({piece, value});
  const PieceTrie trie(entries);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_string(9);
    PieceTrie::Match expected;
    for (size_t size = 1; size <= text.size(); ++size) {
      const auto found = map.find(text.substr(0, size));
      if (found != map.end()) expected = {size, found->second};
    }
    ASSERT_EQ(trie.Longest(text).length, expected.length);
    ASSERT_EQ(trie.Longest(text).value, expected.value);
  }
}

TEST(WordPieceTest, TakesTheLongestPieceFromTheLeft) {
  const auto model = Parse(R"({"type":"WordPiece","unk_token":"[UNK]",
      "continuing_subword_prefix":"##","max_input_chars_per_word":10,
      "vocab":{"[UNK]":0,"un":1,"##aff":2,"##able":3,"##a":4,"unaffable":5,"##x":6,"\u00e9":7}})");
  EXPECT_EQ(model->name(), "WordPiece");
  Ranges ranges;
  EXPECT_EQ(Tokenize(*model, "unaffablex", &ranges), (Strings{"unaffable", "##x"}));
  EXPECT_EQ(ranges, (Ranges{{0, 9}, {9, 10}}));
  EXPECT_EQ(Tokenize(*model, "unaffaffa"), (Strings{"un", "##aff", "##aff", "##a"}));
  EXPECT_EQ(Tokenize(*model, "unq"), Strings{"[UNK]"});  // no way on: the whole word is unknown
  EXPECT_EQ(Tokenize(*model, "aff"), Strings{"[UNK]"});
  EXPECT_EQ(Tokenize(*model, "##a"), Strings{"##a"});         // at the beginning of a word too
  EXPECT_EQ(Tokenize(*model, "\u00e9xxxxxxxxx").size(), 10);  // 10 characters, 11 bytes
  EXPECT_EQ(Tokenize(*model, "\u00e9xxxxxxxxxx"), Strings{"[UNK]"});
}

TEST(WordModelsTest, AMissingUnknownTokenIsAnErrorOnlyWhenNeeded) {
  for (const std::string type : {"WordPiece", "WordLevel"}) {
    const auto model =
        Parse(absl::StrCat(R"({"type":")", type, R"(","unk_token":"?","vocab":{"a":0}})"));
    EXPECT_EQ(Tokenize(*model, "a"), Strings{"a"});
    std::vector<ModelToken> tokens;
    EXPECT_TRUE(absl::IsInvalidArgument(Collect(*model->NewWorker(), "b", &tokens)));
  }
}

TEST(WordLevelTest, KnowsAWordOrNot) {
  const auto model = Parse(R"({"type":"WordLevel","unk_token":"<unk>",
      "vocab":{"<unk>":3,"the":1,"keys":2}})");
  EXPECT_EQ(Tokenize(*model, "the"), Strings{"the"});
  EXPECT_EQ(Tokenize(*model, "thekeys"), Strings{"<unk>"});
}

std::string UnigramJson(const std::vector<std::pair<std::string, double>>& vocab,
                        const std::string& options) {
  std::string list;
  for (const auto& [piece, score] : vocab) {
    absl::StrAppend(&list, list.empty() ? "" : ",", "[", QuoteJson(piece), ",", score, "]");
  }
  return absl::StrCat(R"({"type":"Unigram","vocab":[)", list, "]", options, "}");
}

TEST(UnigramTest, TakesTheBestSumAndFusesUnknowns) {
  const auto model = Parse(UnigramJson({{"<unk>", 0},
                                        {"a", 0},
                                        {"b", 0},
                                        {"c", 0},
                                        {"d", 0},
                                        {"cd", 1},
                                        {"ab", 2},
                                        {"abc", 5},
                                        {"abcd", 10}},
                                       R"(,"unk_id":0)"));
  EXPECT_EQ(Tokenize(*model, "abcdacdxx"), (Strings{"abcd", "a", "cd", "<unk>"}));
  EXPECT_EQ(Tokenize(*model, "<unk>x"), (Strings{"<unk>"}));
  Ranges ranges;
  EXPECT_EQ(Tokenize(*model, "x\u20aca", &ranges), (Strings{"<unk>", "a"}));
  EXPECT_EQ(ranges, (Ranges{{0, 4}, {4, 5}}));
}

// As in the reference: what was found first stays unless something is better.
TEST(UnigramTest, OfEqualSumsTheOneFoundFirstStays) {
  const auto model = Parse(
      UnigramJson({{"a", -1}, {"b", -1}, {"ab", -2}, {"bc", -1}, {"c", -2}, {"abc", -4}}, ""));
  EXPECT_EQ(Tokenize(*model, "ab"), Strings{"ab"});
  EXPECT_EQ(Tokenize(*model, "abb"), (Strings{"ab", "b"}));
}

TEST(UnigramTest, UnknownRunsAreSpelledInBytesWhereAllAreThere) {
  const auto model =
      Parse(UnigramJson({{"<unk>", 0}, {"a", -1}, {"<0xC3>", -9}, {"<0xA9>", -9}, {"<0xA8>", -9}},
                        R"(,"unk_id":0,"byte_fallback":true)"));
  Ranges ranges;
  EXPECT_EQ(Tokenize(*model, "a\u00e9\u00e8", &ranges),
            (Strings{"a", "<0xC3>", "<0xA9>", "<0xC3>", "<0xA8>"}));
  EXPECT_EQ(ranges, (Ranges{{0, 1}, {1, 5}, {1, 5}, {1, 5}, {1, 5}}));
  EXPECT_EQ(Tokenize(*model, "\u00e9x"), Strings{"<unk>"});
}

TEST(UnigramTest, WithoutUnknownTokenUnknownTextIsAnError) {
  const auto model = Parse(UnigramJson({{"a", -1}}, ""));
  EXPECT_EQ(Tokenize(*model, "aa"), (Strings{"a", "a"}));
  std::vector<ModelToken> tokens;
  EXPECT_TRUE(absl::IsInvalidArgument(Collect(*model->NewWorker(), "ab", &tokens)));
}

// The slow twin: the best sum over all ways to spell the text, by trying each first piece.
double BestSum(const std::map<std::string, double>& scores, const std::string& text, size_t at) {
  if (at == text.size()) return 0;
  double best = -1e9;
  for (size_t size = 1; at + size <= text.size(); ++size) {
    const auto found = scores.find(text.substr(at, size));
    if (found == scores.end()) continue;
    best = std::max(best, found->second + BestSum(scores, text, at + size));
  }
  return best;
}

// The slow twin for long texts of one-byte characters: the whole table of best sums, and unknown
// neighbours joined at the end.
Strings SlowUnigram(const std::map<std::string, double>& scores, const std::string& text) {
  double lowest = 0;
  for (const auto& [piece, score] : scores) lowest = std::min(lowest, score);
  std::vector<double> sums(text.size() + 1, -1e300);
  std::vector<size_t> begins(text.size() + 1);
  sums[0] = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    for (size_t size = 1; size <= 8 && at + size <= text.size(); ++size) {
      const auto found = scores.find(text.substr(at, size));
      if (found == scores.end() && size > 1) continue;
      const double sum = (found == scores.end() ? lowest - 10 : found->second) + sums[at];
      if (sum <= sums[at + size]) continue;
      sums[at + size] = sum;
      begins[at + size] = at;
    }
  }
  Strings reversed;
  for (size_t end = text.size(); end > 0; end = begins[end]) {
    const std::string piece = text.substr(begins[end], end - begins[end]);
    const std::string token = scores.count(piece) > 0 ? piece : "<unk>";
    if (token != "<unk>" || reversed.empty() || reversed.back() != token) reversed.push_back(token);
  }
  return {reversed.rbegin(), reversed.rend()};
}

TEST(UnigramTest, LongTextsAgreeWithTheSlowTwin) {
  std::map<std::string, double> scores = {{"<unk>", 0}};
  std::vector<std::pair<std::string, double>> vocab = {{"<unk>", 0}};
  for (const std::string piece : {"a", "b", "c", "ab", "bc", "abc", "cab", "bb", "aaaa", "caba"}) {
    // No sum of these is exact. As the file will have it: in six digits.
    const double score = -0.1 * static_cast<double>(piece.size()) - 0.7 * piece[0] / 97;
    vocab.emplace_back(piece, std::stod(absl::StrCat(score)));
    scores.insert(vocab.back());
  }
  const auto model = Parse(UnigramJson(vocab, R"(,"unk_id":0)"));
  uint32_t state = 3;
  for (const uint32_t n_letters : {1, 3, 4}) {
    std::string text;
    while (text.size() < 30'000) {
      state = state * 1664525 + 1013904223;
      text.push_back(static_cast<char>('a' + (state >> 16) % n_letters));
    }
    EXPECT_TRUE(Tokenize(*model, text) == SlowUnigram(scores, text)) << n_letters;
    const std::string unknown = text.substr(0, 5000) + std::string(10'000, 'z') + text;
    EXPECT_TRUE(Tokenize(*model, unknown) == SlowUnigram(scores, unknown)) << n_letters;
  }
}

TEST(UnigramTest, RandomModelsFindTheBestSum) {
  uint32_t state = 5;
  const auto random = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % n;
  };
  for (int round = 0; round < 60; ++round) {
    std::map<std::string, double> scores = {{"a", -5}, {"b", -6}, {"c", -7}};
    for (int i = 0; i < 20; ++i) {
      std::string piece;
      for (uint32_t n = 2 + random(4); n > 0; --n)
        piece.push_back(static_cast<char>('a' + random(3)));
      scores[piece] = -static_cast<double>(random(160)) / 8;
    }
    const auto model = Parse(UnigramJson({scores.begin(), scores.end()}, ""));
    for (int i = 0; i < 10; ++i) {
      std::string text;
      for (uint32_t n = 1 + random(12); n > 0; --n)
        text.push_back(static_cast<char>('a' + random(3)));
      double sum = 0;
      std::string joined;
      for (const std::string& piece : Tokenize(*model, text)) {
        sum += scores.at(piece);
        joined += piece;
      }
      ASSERT_EQ(joined, text);
      ASSERT_EQ(sum, BestSum(scores, text, 0)) << text;
    }
  }
}

TEST(UnigramTest, DamageIsRefused) {
  for (const std::string json :
       {R"({"type":"Unigram"})", R"({"type":"Unigram","vocab":{}})",
        R"({"type":"Unigram","vocab":[["a"]]})", R"({"type":"Unigram","vocab":[["a","b"]]})",
        R"({"type":"Unigram","vocab":[[1,2]]})",
        R"({"type":"Unigram","vocab":[["a",0]],"unk_id":1})",
        R"({"type":"Unigram","vocab":[],"unk_id":0})",
        R"({"type":"Unigram","vocab":[["a",0]],"unk_id":-1})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(TryParse(json).status())) << json;
  }
  EXPECT_TRUE(
      absl::IsInvalidArgument(TryParse(UnigramJson({{std::string(1025, 'a'), 0}}, "")).status()));
  EXPECT_TRUE(TryParse(UnigramJson({{std::string(1024, 'a'), 0}}, "")).ok());
  EXPECT_TRUE(TryParse(UnigramJson({{"a", -1}, {"a", -2}}, "")).ok());  // as in the reference
}

TEST(WordPieceTest, DamageIsRefused) {
  for (const std::string json :
       {R"({"type":"WordPiece"})", R"({"type":"WordPiece","vocab":[]})",
        R"({"type":"WordPiece","vocab":{"a":0},"max_input_chars_per_word":-1})",
        R"({"type":"WordPiece","vocab":{"a":0},"max_input_chars_per_word":4294967296})",
        R"({"type":"WordPiece","vocab":{"a":0},"unk_token":3})", R"({"type":"WordLevel"})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(TryParse(json).status())) << json;
  }
}

}  // namespace
}  // namespace heed
