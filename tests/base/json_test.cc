#include "model/base/json.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::Status Parsed(absl::string_view text) {
  return JsonDocument::Parse("f.json", text).status();
}

TEST(JsonTest, ReadsEveryType) {
  const auto document = JsonDocument::Parse(
      "f.json", R"( {"b": true, "i": -7, "d": 0.5, "s": "h\u00e9", "n": null, "a": [1, [2]]} )");
  ASSERT_THAT(document, IsOk());
  const JsonValue root = document->root();
  EXPECT_TRUE(root.IsObject());
  EXPECT_EQ(*root.Get("b")->Bool(), true);
  EXPECT_EQ(*root.Get("i")->Int(), -7);
  EXPECT_EQ(*root.Get("i")->Double(), -7.0);
  EXPECT_EQ(*root.Get("d")->Double(), 0.5);
  EXPECT_EQ(*root.Get("s")->String(), "h\xC3\xA9");
  EXPECT_TRUE(root.Get("n")->IsNull());
  EXPECT_EQ(root.Get("a")->Array()->size(), 2);
  EXPECT_EQ(root.Object()->size(), 6);
  EXPECT_FALSE(root.Find("absent").has_value());
  EXPECT_FALSE(root.Find("i")->Find("x").has_value());
}

TEST(JsonTest, KeepsTheOrderOfMembers) {
  const auto document = JsonDocument::Parse("f.json", R"({"z": 1, "a": 2})");
  ASSERT_THAT(document, IsOk());
  std::vector<std::string> keys;
  const auto members = document->root().Object();
  for (const auto& [key, value] : *members) keys.emplace_back(key);
  EXPECT_THAT(keys, ElementsAre("z", "a"));
}

TEST(JsonTest, NamesFilePathAndValueOfTheWrongType) {
  const auto document =
      JsonDocument::Parse("f.json", R"({"a": {"b": [0, "x"]}, "o": {}, "l": [1, 2], "f": 2.0})");
  ASSERT_THAT(document, IsOk());
  const JsonValue root = document->root();
  const JsonValue x = root.Get("a")->Get("b")->Array()->at(1);
  EXPECT_THAT(x.Int(), IsError(kInvalid, "f.json: a.b[1] is \"x\"; it must be an integer"));
  EXPECT_THAT(x.Double(), IsError(kInvalid, "f.json: a.b[1] is \"x\"; it must be a number"));
  EXPECT_THAT(x.Bool(), IsError(kInvalid, "it must be true or false"));
  EXPECT_THAT(x.Array(), IsError(kInvalid, "it must be a list"));
  EXPECT_THAT(x.Object(), IsError(kInvalid, "it must be an object"));
  EXPECT_THAT(x.Get("k"), IsError(kInvalid, "it must be an object"));
  EXPECT_THAT(root.Get("o")->String(), IsError(kInvalid, "f.json: o is an object; it must be a s"));
  EXPECT_THAT(root.Get("l")->Int(), IsError(kInvalid, "f.json: l is [1,2]; it must be"));
  EXPECT_THAT(root.Get("f")->Int(), IsError(kInvalid, "f.json: f is 2"));
  EXPECT_THAT(root.Get("nope"), IsError(kInvalid, "f.json: has no key \"nope\""));
  EXPECT_THAT(root.Get("o")->Get("p"), IsError(kInvalid, "f.json: o has no key \"p\""));
}

TEST(JsonTest, IntegersEndAtTheirType) {
  const auto document = JsonDocument::Parse(
      "f.json", "[9223372036854775807, -9223372036854775808, 9223372036854775808]");
  ASSERT_THAT(document, IsOk());
  const std::vector<JsonValue> values = *document->root().Array();
  EXPECT_EQ(*values[0].Int(), INT64_MAX);
  EXPECT_EQ(*values[1].Int(), INT64_MIN);
  EXPECT_THAT(values[2].Int(), IsError(kInvalid, "[2] is 9223372036854775808"));
  EXPECT_THAT(Parsed("[99999999999999999999]"), IsError(kInvalid, "64 bits"));
}

TEST(JsonTest, RefusesWhatIsNotJson) {
  for (const char* text : {"",         " ",         "{",        "}",           "[1,]",
                           "{\"a\":}", "{\"a\" 1}", "{'a': 1}", "{\"a\": 1,}", "tru",
                           "{} {}",    "{}x",       "[NaN]",    "[Infinity]",  "[-]",
                           "[01]",     "[1e400]",   "\"a",      "[\"\\x\"]",   "[\"\\ud800\"]",
                           "// c\n{}", "[1 2]",     "{1: 2}",   "\"a\nb\"",    "[\"\\u12\"]"}) {
    EXPECT_THAT(Parsed(text), IsError(kInvalid, "f.json: not valid JSON: ")) << text;
  }
}

TEST(JsonTest, RefusesBadBytes) {
  EXPECT_THAT(Parsed("{\"a\": \"\xff\"}"), IsError(kInvalid, "not valid UTF-8"));
  EXPECT_THAT(Parsed("{\"\xc0\x80\": 1}"), IsError(kInvalid, "not valid UTF-8"));
  EXPECT_THAT(Parsed("\xEF\xBB\xBF{}"), IsError(kInvalid, "byte-order mark"));
  EXPECT_THAT(Parsed(absl::string_view("{}\0", 3)), IsError(kInvalid, "not valid JSON"));
  EXPECT_THAT(Parsed(absl::string_view("\0{}", 3)), IsError(kInvalid, "not valid JSON"));
}

TEST(JsonTest, RefusesAKeyTwiceAtAnyDepth) {
  EXPECT_THAT(Parsed(R"({"a": 1, "b": 2, "a": 1})"),
              IsError(kInvalid, "f.json: has the key \"a\" more than once"));
  EXPECT_THAT(Parsed(R"({"x": [0, {"y": {"k": 1, "k": 2}}]})"),
              IsError(kInvalid, "f.json: x[1].y has the key \"k\" more than once"));
  EXPECT_THAT(Parsed(R"({"a": 1, "\u0061": 1})"), IsError(kInvalid, "key \"a\" more than once"));
  EXPECT_THAT(Parsed(R"({"a": {"k": 1}, "b": {"k": 1}})"), IsOk());
}

TEST(JsonTest, DepthIsLimited) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') +
           std::string(static_cast<size_t>(depth), ']');
  };
  const auto objects = [](int depth) {
    std::string text;
    for (int i = 1; i < depth; ++i) text += "{\"a\":";
    return text + "{}" + std::string(static_cast<size_t>(depth - 1), '}');
  };
  EXPECT_THAT(Parsed(nested(64)), IsOk());
  EXPECT_THAT(Parsed(objects(64)), IsOk());
  for (const int depth : {65, 66, 127, 128, 129, 1000, 1000000}) {
    EXPECT_THAT(Parsed(nested(depth)), IsError(kInvalid, "nested more than 64 deep")) << depth;
    EXPECT_THAT(Parsed(objects(depth)), IsError(kInvalid, "nested more than 64 deep")) << depth;
  }
  EXPECT_THAT(Parsed(std::string(1000000, '[')), IsError(kInvalid, "not valid JSON"));
}

TEST(JsonTest, MessagesAreShortAndPrintableWhateverTheFileHolds) {
  const std::string key(100000, 'k');
  const auto document = JsonDocument::Parse(
      "f.json",
      absl::StrCat(R"({"c": "\u0000\u001b[2J\n", "s": ")", key, R"(", "l": [")", key, "\"]}"));
  ASSERT_THAT(document, IsOk());
  const JsonValue root = document->root();
  EXPECT_THAT(root.Get("c")->Int(), IsError(kInvalid, R"(f.json: c is "\000\033[2J\n"; it must)"));
  EXPECT_LT(root.Get("s")->Int().status().message().size(), 300);
  EXPECT_LT(root.Get("l")->Int().status().message().size(), 300);
}

TEST(JsonTest, MembersByNameAndOneAfterAnother) {
  const auto document =
      JsonDocument::Parse("f.json", R"({"b": true, "n": null, "s": "x", "a": [1, 2, [3]]})");
  ASSERT_THAT(document, IsOk());
  const JsonValue root = document->root();
  EXPECT_EQ(*root.BoolAt("b"), true);
  EXPECT_EQ(*root.BoolOr("n", true), true);
  EXPECT_EQ(*root.BoolOr("absent", false), false);
  EXPECT_EQ(*root.StringOr("n", "y"), "y");
  EXPECT_EQ(*root.StringOr("s", "y"), "x");
  EXPECT_THAT(root.StringOr("b", ""), IsError(kInvalid, "f.json: b is true; it must be a string"));
  EXPECT_THAT(root.StringAt("absent"), IsError(kInvalid, "has no key \"absent\""));
  int64_t sum = 0;
  const absl::Status status = root.Get("a")->ForEachElement([&](int64_t i, const JsonValue& value) {
    const absl::StatusOr<int64_t> number = value.Int(0, 10);
    if (number.ok()) sum += (i + 1) * *number;
    return number.status();
  });
  EXPECT_EQ(sum, 5);
  EXPECT_THAT(status, IsError(kInvalid, "f.json: a[2] is [3]; it must be an integer from 0 to 10"));
  const JsonValue second = root.Get("a")->Array()->at(1);
  EXPECT_EQ(*second.Int(2, 2), 2);
  EXPECT_THAT(second.Int(0, 1), IsError(kInvalid, "a[1] is 2; it must be an integer from 0 to 1"));
  EXPECT_THAT(second.Int(3, 9), IsError(kInvalid, "a[1] is 2; it must be an integer from 3 to 9"));
  EXPECT_THAT(root.Get("s")->Error("is odd"), IsError(kInvalid, "f.json: s: is odd"));
  EXPECT_THAT(root.Get("s")->Unsupported("is new"),
              IsError(absl::StatusCode::kUnimplemented, "f.json: s: is new"));
}

TEST(JsonTest, RefusesAKeyTwiceAmongMany) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&text, "\"k", i, "\": 0, ");
  EXPECT_THAT(Parsed(text + "\"x\": 1}"), IsOk());
  EXPECT_THAT(Parsed(text + "\"k7\": 1}"), IsError(kInvalid, "the key \"k7\" more than once"));
}

TEST(QuoteJsonTest, WhatIsQuotedIsReadBack) {
  for (const std::string& text : {std::string("a\"b\\c/\n\t\x01\0", 10), std::string("\xC3\xA9")}) {
    const auto document = JsonDocument::Parse("f.json", QuoteJson(text));
    ASSERT_THAT(document, IsOk()) << QuoteJson(text);
    EXPECT_EQ(*document->root().String(), text);
  }
}

TEST(QuotedTest, CutsBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xE2\x82\xAC";  // 3 bytes each; 160 is not a multiple
  const std::string quoted = Quoted(text);
  EXPECT_EQ(quoted, absl::StrCat("\"", text.substr(0, 159), "...\""));
  EXPECT_EQ(Quoted("a\"b"), "\"a\\\"b\"");
  EXPECT_EQ(Quoted("a\xff"), "\"a\\377\"");
}

TEST(JsonTest, DocumentMayBeMoved) {
  auto document = JsonDocument::Parse("f.json", R"({"k": "value"})");
  ASSERT_THAT(document, IsOk());
  const JsonDocument moved = *std::move(document);
  EXPECT_EQ(*moved.root().Get("k")->String(), "value");
  EXPECT_THAT(moved.root().Get("k")->Where(), HasSubstr("f.json: k"));
}

}  // namespace
}  // namespace heed
