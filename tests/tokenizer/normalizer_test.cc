#include "model/tokenizer/normalizer.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace heed {
namespace {

absl::StatusOr<PieceList> RunSteps(const std::string& json, const std::string& text,
                                   size_t max_bytes = 1 << 20) {
  const JsonDocument document = JsonDocument::Parse("json", json).value();
  const absl::StatusOr<Normalizers> normalizers = ParseNormalizers(document.root());
  if (!normalizers.ok()) return normalizers.status();
  PieceList list = PieceList::Whole(AlignedText::FromUntrusted(text, max_bytes));
  const absl::Status status = ApplyAll(*normalizers, &list);
  if (!status.ok()) return status;
  return list;
}

std::string Text(const std::string& json, const std::string& text) {
  const absl::StatusOr<PieceList> list = RunSteps(json, text);
  EXPECT_TRUE(list.ok()) << list.status();
  return list.ok() ? std::string(list->text.text()) : "";
}

// The origin of each byte.
std::vector<std::pair<int, int>> Origins(const std::string& json, const std::string& text) {
  const PieceList list = RunSteps(json, text).value();
  std::vector<std::pair<int, int>> origins;
  for (size_t i = 0; i < list.text.size(); ++i) {
    origins.emplace_back(list.text.origin(i).begin, list.text.origin(i).end);
  }
  return origins;
}
using Pairs = std::vector<std::pair<int, int>>;

TEST(NormalizerTest, NullChangesNothing) {
  EXPECT_EQ(Text("null", "A\u0301b"), "A\u0301b");
}

TEST(NormalizerTest, ComposedCharactersComeFromAllTheirParts) {
  EXPECT_EQ(Text(R"({"type":"NFC"})", "ae\u0301b"), "a\u00e9b");
  // A composed character keeps the place of its base, as in the reference.
  EXPECT_EQ(Origins(R"({"type":"NFC"})", "ae\u0301b"), (Pairs{{0, 1}, {1, 2}, {1, 2}, {4, 5}}));
}

TEST(NormalizerTest, DecomposedPartsShareTheirOrigin) {
  EXPECT_EQ(Text(R"({"type":"NFD"})", "\u00e9b"), "e\u0301b");
  EXPECT_EQ(Origins(R"({"type":"NFD"})", "\u00e9b"), (Pairs{{0, 2}, {0, 2}, {0, 2}, {2, 3}}));
  EXPECT_EQ(Text(R"({"type":"NFKD"})", "\ufb01"), "fi");
  EXPECT_EQ(Text(R"({"type":"NFKC"})", "\ufb01\u2460"), "fi1");
}

TEST(NormalizerTest, LowercaseKeepsPlaces) {
  EXPECT_EQ(Text(R"({"type":"Lowercase"})", "A\u0130\u00c9"), "ai\u0307\u00e9");
  EXPECT_EQ(Origins(R"({"type":"Lowercase"})", "A\u0130"), (Pairs{{0, 1}, {1, 3}, {1, 3}, {1, 3}}));
}

TEST(NormalizerTest, StripTakesWhitespaceOfTheChosenSides) {
  const auto strip = [](bool left, bool right) {
    return absl::StrCat(R"({"type":"Strip","strip_left":)", left ? "true" : "false",
                        R"(,"strip_right":)", right ? "true" : "false", "}");
  };
  EXPECT_EQ(Text(strip(true, true), " \u3000a b\n"), "a b");
  EXPECT_EQ(Text(strip(true, false), " a "), "a ");
  EXPECT_EQ(Text(strip(false, true), " a "), " a");
  EXPECT_EQ(Text(strip(false, false), "  "), "  ");
  EXPECT_EQ(Text(strip(true, true), "  "), "");
  EXPECT_EQ(Text(strip(false, true), "  "), "");
  EXPECT_EQ(Origins(strip(true, true), "  a "), (Pairs{{2, 3}}));
}

TEST(NormalizerTest, PrependTakesTheFirstCharactersPlace) {
  EXPECT_EQ(Text(R"({"type":"Prepend","prepend":"\u2581"})", "ab"),
            "\u2581"
            "ab");
  EXPECT_EQ(Origins(R"({"type":"Prepend","prepend":"_"})", "ab"), (Pairs{{0, 1}, {0, 1}, {1, 2}}));
  EXPECT_EQ(Text(R"({"type":"Prepend","prepend":"_"})", ""), "");
}

TEST(NormalizerTest, ReplaceTakesThePlaceOfTheMatchsLastCharacter) {
  const std::string json = R"({"type":"Replace","pattern":{"Regex":" +"},"content":"__"})";
  EXPECT_EQ(Text(json, "a   b c"), "a__b__c");
  EXPECT_EQ(Origins(json, "a  b"), (Pairs{{0, 1}, {2, 3}, {2, 3}, {3, 4}}));
  EXPECT_EQ(Text(R"({"type":"Replace","pattern":{"String":"."},"content":""})", "a.b."), "ab");
}

TEST(NormalizerTest, ReplaceWithAnEmptyMatchInsertsText) {
  const std::string json = R"({"type":"Replace","pattern":{"Regex":"x*"},"content":"-"})";
  EXPECT_EQ(Text(json, "ab"), "-a-b-");
  EXPECT_EQ(Origins(json, "a"), (Pairs{{0, 0}, {0, 1}, {0, 1}}));
}

TEST(NormalizerTest, ByteLevelSpellsBytes) {
  EXPECT_EQ(Text(R"({"type":"ByteLevel"})", "a \u00e9"), "a\u0120\u00c3\u00a9");
  EXPECT_EQ(Origins(R"({"type":"ByteLevel"})", "\u00e9"), (Pairs{{0, 2}, {0, 2}, {0, 2}, {0, 2}}));
}

TEST(NormalizerTest, SequencesRunInOrderAndKeepOrigins) {
  const std::string json = R"({"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"Lowercase"},
      {"type":"Replace","pattern":{"String":"\u0301"},"content":"'"},
      {"type":"Sequence","normalizers":[]}]})";
  EXPECT_EQ(Text(json, "\u00c9x"), "e'x");
  EXPECT_EQ(Origins(json, "\u00c9x"), (Pairs{{0, 2}, {0, 2}, {2, 3}}));
}

TEST(NormalizerTest, IllFormedBytesBecomeOneReplacementFromTheirPlace) {
  EXPECT_EQ(Text("null", "a\xE2\x82z"), "a\uFFFDz");
  EXPECT_EQ(Origins("null", "a\xE2\x82z"), (Pairs{{0, 1}, {1, 3}, {1, 3}, {1, 3}, {3, 4}}));
}

TEST(NormalizerTest, RunawayGrowthIsRefused) {
  std::string steps = R"({"type":"Replace","pattern":{"String":"a"},"content":"aa"})";
  for (int i = 0; i < 5; ++i) steps = absl::StrCat(steps, ",", steps);
  const std::string json = absl::StrCat(R"({"type":"Sequence","normalizers":[)", steps, "]}");
  EXPECT_EQ(RunSteps(json, "aaaa").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(RunSteps(json, "bbbb").status().code(), absl::StatusCode::kOk);
}

TEST(NormalizerTest, BertCleansAndLowersWithOrigins) {
  const std::string json = R"({"type":"BertNormalizer","clean_text":true,
      "handle_chinese_chars":true,"strip_accents":null,"lowercase":true})";
  EXPECT_EQ(Text(json, "A\001b\tC\u3000\u00c9\u200bx\ufffd"), "ab c ex");
  EXPECT_EQ(Text(json, "a\u4e2db"), "a \u4e2d b");
  EXPECT_EQ(Origins(json, "\001\u00c9"), (Pairs{{1, 3}}));
  const std::string cased = R"({"type":"BertNormalizer","lowercase":false})";
  EXPECT_EQ(Text(cased, "\u00c9"), "\u00c9");
}

TEST(NormalizerTest, AccentsAndNmt) {
  EXPECT_EQ(Text(R"({"type":"StripAccents"})", "e\u0301\u00e9\u093eo\u20dd"), "e\u00e9o");
  EXPECT_EQ(Text(R"({"type":"Nmt"})", "a\001b\u200bc\ufeffd\u2581e\n"), "ab c d e ");
}

// One unit each: the header says 4 bytes, and the only unit leads nowhere.
TEST(NormalizerTest, PrecompiledMapsMayBeDamaged) {
  const auto json = [](const std::string& blob) {
    return absl::StrCat(R"({"type":"Precompiled","precompiled_charsmap":")",
                        absl::Base64Escape(blob), "\"}");
  };
  const std::string unit = std::string("\4\0\0\0", 4) + std::string(4, '\0');
  EXPECT_EQ(Text(json(unit), "abc\r\ne\u0301"), "abc\r\ne\u0301");
  EXPECT_EQ(Text(json(std::string("\4\0\0\0\xff\xff\xff\xff", 8)), "abc"), "abc");
  for (const std::string& blob :
       {std::string(), std::string("abc"), std::string("\b\0\0\0\0\0\0\0", 8),
        std::string("\0\0\0\0", 4), std::string("\3\0\0\0abc", 7),
        std::string("\xff\xff\xff\xff\0\0\0\0", 8), unit + "\xff"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(RunSteps(json(blob), "a").status()));
  }
}

TEST(NormalizerTest, UnknownAndMisshapenNormalizersAreRefused) {
  const std::pair<const char*, absl::StatusCode> cases[] = {
      {R"({"type":"Precompiled","precompiled_charsmap":""})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"BertNormalizer","lowercase":1})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Precompiled","precompiled_charsmap":"?"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Sequence","normalizers":[{"type":"New"}]})", absl::StatusCode::kUnimplemented},
      {R"({"type":"Sequence"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Sequence","normalizers":{}})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Strip","strip_left":1,"strip_right":true})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Prepend"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Replace","pattern":"a","content":"b"})", absl::StatusCode::kInvalidArgument},
      {R"({"type":"Replace","pattern":{"Regex":"("},"content":"b"})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"Replace","pattern":{"Regex":"(?s)a"},"content":"b"})",
       absl::StatusCode::kUnimplemented},
      {R"({"type":"Replace","pattern":{"String":""},"content":"b"})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"Replace","pattern":{"Glob":"*"},"content":"b"})",
       absl::StatusCode::kInvalidArgument},
      {R"({"type":"Replace","pattern":{"String":"a"}})", absl::StatusCode::kInvalidArgument},
      {R"({"kind":"NFC"})", absl::StatusCode::kInvalidArgument},
      {R"("NFC")", absl::StatusCode::kInvalidArgument},
  };
  for (const auto& [json, code] : cases)
    EXPECT_EQ(RunSteps(json, "a").status().code(), code) << json;
}

}  // namespace
}  // namespace heed
