#include "model/tokenizer/sentencepiece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/tokenizer/mini_tokenizer.h"
#include "tests/tokenizer/sentencepiece_writer.h"

namespace heed {
namespace {

using Strings = std::vector<std::string>;
using testing::HasSubstr;

SentencePieceFile SmallUnigram() {
  SentencePieceFile file;
  file.pieces = {{"<unk>", 0, 2},  {"<s>", 0, 3},     {"</s>", 0, 3},    {"\u2581", -3},
                 {"\u2581a", -2},  {"b", -3},         {"ab", -2.5},      {"\u2581ab", -4},
                 {"[user]", 0, 4}, {"unused", -9, 5}, {"\u2581b", -3.5}, {"c", -4}};
  return file;
}

SentencePieceFile SmallBpe() {
  SentencePieceFile file;
  file.model_type = 2;
  file.remove_extra_whitespaces = false;
  file.pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {"ab", -1}, {"bc", 0},
                 {"\u2581a", -2}, {"abc", -3},   {"a", -4},      {"b", -5},  {"c", -6},
                 {"\u2581", -7},  {"[u]", 0, 4}, {"aa", -8}};
  return file;
}

std::unique_ptr<Tokenizer> Build(const SentencePieceFile& file) {
  absl::StatusOr<SentencePieceFacts> facts = ParseSentencePieceModel("m.model", file.Bytes());
  EXPECT_TRUE(facts.ok()) << facts.status();
  if (!facts.ok()) return nullptr;
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = BuildSentencePieceTokenizer(*facts);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

absl::Status ErrorOf(const std::string& bytes) {
  const absl::StatusOr<SentencePieceFacts> facts = ParseSentencePieceModel("m.model", bytes);
  return facts.ok() ? BuildSentencePieceTokenizer(*facts).status() : facts.status();
}

TEST(SentencePieceTest, UnigramTakesTheBestSum) {
  const auto tokenizer = Build(SmallUnigram());
  EXPECT_EQ(Pieces(*tokenizer, "ab"), (Strings{"\u2581ab"}));  // -4, not -2 - 3 nor -3 - 2.5
  EXPECT_EQ(Pieces(*tokenizer, "a b"), (Strings{"\u2581a", "\u2581b"}));
  EXPECT_EQ(Covered(*tokenizer, "  a   b "), (Strings{"a", " b"}));
  EXPECT_EQ(Pieces(*tokenizer, "axyb"), (Strings{"\u2581a", "<unk>", "b"}));
  EXPECT_EQ(Covered(*tokenizer, "axyb"), (Strings{"a", "xy", "b"}));
  EXPECT_EQ(tokenizer->kind(), "Unigram");
}

TEST(SentencePieceTest, ControlTokensAreSpecialAndUserDefinedOnesAreFoundFirst) {
  const auto tokenizer = Build(SmallUnigram());
  EXPECT_EQ(Pieces(*tokenizer, "a</s>b"), (Strings{"\u2581a", "</s>", "\u2581b"}));
  EXPECT_EQ(Pieces(*tokenizer, "a</s>b", {.parse_special_tokens = false}),
            (Strings{"\u2581a", "<unk>", "b"}));
  EXPECT_EQ(Pieces(*tokenizer, "b[user]c", {.parse_special_tokens = false}),
            (Strings{"\u2581b", "[user]", "\u2581", "c"}));
  EXPECT_TRUE(tokenizer->IsSpecial(2));
  EXPECT_FALSE(tokenizer->IsSpecial(8));
}

TEST(SentencePieceTest, BpeMergesTheBestScoreFirst) {
  const auto tokenizer = Build(SmallBpe());
  EXPECT_EQ(Pieces(*tokenizer, "abc"), (Strings{"\u2581a", "bc"}));
  EXPECT_EQ(Pieces(*tokenizer, "bab"), (Strings{"\u2581", "b", "ab"}));
  EXPECT_EQ(Pieces(*tokenizer, "b  c"), (Strings{"\u2581", "b", "\u2581", "\u2581", "c"}));
  EXPECT_EQ(Pieces(*tokenizer, "bxyc"), (Strings{"\u2581", "b", "<unk>", "c"}));
  EXPECT_EQ(tokenizer->Decode({5, 4}, false), "abc");
  EXPECT_EQ(tokenizer->Decode({10, 8, 10, 9}, false), "b c");
  EXPECT_EQ(tokenizer->kind(), "BPE");
}

TEST(SentencePieceTest, BytesStandForUnknownCharacters) {
  for (const int model_type : {1, 2}) {
    SentencePieceFile file = model_type == 1 ? SmallUnigram() : SmallBpe();
    file.byte_fallback = true;
    for (int byte = 0; byte < 256; ++byte) {
      file.pieces.push_back({absl::StrFormat("<0x%02X>", byte), 0, 6});
    }
    const auto tokenizer = Build(file);
    const std::vector<std::string> pieces = Pieces(*tokenizer, "c\u20ac");
    EXPECT_EQ(Strings(pieces.end() - 3, pieces.end()), (Strings{"<0xE2>", "<0x82>", "<0xAC>"}));
    // A byte's name in a text is a text.
    EXPECT_GT(Pieces(*tokenizer, "<0x41>").size(), 3);
    const TokenizedText text = tokenizer->Encode("c\u20ac", {}).value();
    EXPECT_EQ(tokenizer->Decode(text.ids, false), "c\u20ac");
  }
}

// The slow twin: joins the neighbours whose joined text has the best score, the leftmost of equals.
Strings SlowMerge(const std::map<std::string, float>& scores, Strings parts) {
  while (true) {
    size_t best = parts.size();
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = scores.find(parts[i] + parts[i + 1]);
      if (found == scores.end()) continue;
      if (best == parts.size() || found->second > scores.at(parts[best] + parts[best + 1]))
        best = i;
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(SentencePieceTest, RandomScoresMergeAsTheSlowTwinDoes) {
  uint32_t state = 3;
  const auto random = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 16) % n;
  };
  for (int round = 0; round < 40; ++round) {
    SentencePieceFile file;
    file.model_type = 2;
    file.add_dummy_prefix = false;
    file.remove_extra_whitespaces = false;
    std::map<std::string, float> scores = {{"a", -90.F}, {"b", -91.F}, {"c", -92.F}};
    std::vector<std::string> known = {"a", "b", "c"};
    for (int i = 0; i < 30; ++i) {
      const std::string joined = known[random(static_cast<uint32_t>(known.size()))] +
                                 known[random(static_cast<uint32_t>(known.size()))];
      // Few different scores, so that many are equal.
      if (joined.size() > 12 || !scores.emplace(joined, -static_cast<float>(random(9))).second)
        continue;
      known.push_back(joined);
    }
    for (const std::string& piece : known) file.pieces.push_back({piece, scores[piece]});
    const auto tokenizer = Build(file);
    for (int length = 1; length < 90; length += 4) {
      std::string text;
      Strings characters;
      for (int i = 0; i < length; ++i) {
        characters.emplace_back(1, static_cast<char>('a' + random(3)));
        text += characters.back();
      }
      ASSERT_EQ(Pieces(*tokenizer, text), SlowMerge(scores, characters)) << text;
    }
  }
}

TEST(SentencePieceTest, AFileCutShortAnywhereIsRefusedOrSmaller) {
  const std::string bytes = SmallUnigram().Bytes();
  int n_refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const absl::Status status = ErrorOf(bytes.substr(0, size));
    EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << size << ": " << status;
    n_refused += !status.ok();
  }
  EXPECT_GT(n_refused, static_cast<int>(bytes.size()) - 20);
}

TEST(SentencePieceTest, DamageIsRefusedByName) {
  const std::string good = SmallUnigram().Bytes();
  EXPECT_TRUE(ErrorOf(good).ok());
  EXPECT_THAT(ErrorOf("").ToString(), HasSubstr("m.model: has no pieces"));
  const std::pair<std::string, std::string> cases[] = {
      {WireBytes(1, WireVarint(3, 7)), "piece 12 has the type 7; expected 1 to 6"},
      {WireBytes(1, WireVarint(1, 7)), "field 1 has the wire type 0"},
      {WireVarint(1, 7), "field 1 has the wire type 0"},
      {WireBytes(1, WireBytes(1, "\xff")), "piece 12 is \"\\377\"; expected UTF-8"},
      {WireBytes(1, WireBytes(1, "x") + WireFloat(2, 0.0F / 0.0F)), "has no finite score"},
      {WireBytes(1, WireBytes(1, std::string(2000, 'x'))), "a piece of 2000 bytes"},
      {std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10), "is cut short"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11), "more than 10 bytes"},
      {std::string("\x0b", 1), "wire type 3"},
      {std::string("\x02\x00", 2), "a field with the number 0"},
      {WireBytes(3, WireBytes(2, "abc")), "precompiled_charsmap"},
  };
  for (const auto& [more, message] : cases) {
    const absl::Status status = ErrorOf(good + more);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("m.model"));
  }
  for (const int model_type : {0, 3, 4}) {
    SentencePieceFile file = SmallUnigram();
    file.model_type = model_type;
    EXPECT_TRUE(absl::IsUnimplemented(ErrorOf(file.Bytes())));
  }
  EXPECT_TRUE(absl::IsUnimplemented(ErrorOf(good + WireBytes(2, WireVarint(24, 1)))));
}

TEST(SentencePieceTest, OnlyControlTokensBeginAndEndATextAndMinusOneIsNone) {
  const auto ids = [](uint64_t bos, uint64_t eos) {
    const std::string more = WireBytes(2, WireVarint(41, bos) + WireVarint(42, eos));
    const auto facts = ParseSentencePieceModel("m.model", SmallUnigram().Bytes() + more);
    EXPECT_TRUE(facts.ok()) << facts.status();
    return std::pair(facts->bos_id, facts->eos_id);
  };
  EXPECT_EQ(ids(1, 2), std::pair(std::optional<TokenId>(1), std::optional<TokenId>(2)));
  EXPECT_EQ(ids(5, 100), std::pair(std::optional<TokenId>(), std::optional<TokenId>()));
  EXPECT_EQ(ids(static_cast<uint64_t>(int64_t{-1}), 1),
            std::pair(std::optional<TokenId>(), std::optional<TokenId>(1)));
}

TEST(SentencePieceTest, UnknownFieldsAreSkipped) {
  const std::string more =
      absl::StrCat(WireBytes(99, "future"), WireVarint(4, 7), WireBytes(2, WireVarint(98, 1)));
  EXPECT_TRUE(ErrorOf(SmallUnigram().Bytes() + more).ok());
}

}  // namespace
}  // namespace heed
