// The container: what a sound file says, and that nothing else is taken for one.
#include "model/checkpoint/gguf.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr IntRange kAny{INT64_MIN, INT64_MAX};

absl::StatusOr<std::unique_ptr<const GgufHeader>> Parse(const std::string& bytes) {
  return GgufHeader::Parse("m.gguf", bytes, static_cast<int64_t>(bytes.size()));
}

std::unique_ptr<const GgufHeader> ParseOrDie(const TestGguf& file) {
  auto header = Parse(file.Bytes());
  EXPECT_THAT(header, IsOk());
  return header.ok() ? *std::move(header) : nullptr;
}

TEST(GgufTest, TellsTypesShapesAndPlaces) {
  TestGguf file;
  file.tensors = {F32Tensor("a", {2, 3}, 1), {"b", {32, 2}, 2, std::string(36, 'b')}};
  const auto header = ParseOrDie(file);
  ASSERT_NE(header, nullptr);
  ASSERT_EQ(header->tensor_count(), 2);
  const GgufTensor a = header->tensor(0), b = header->tensor(1);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.format->name, "F32");
  EXPECT_THAT(a.shape, ElementsAre(2, 3));
  EXPECT_EQ(a.offset, static_cast<int64_t>(file.Header().size()));
  EXPECT_EQ(a.bytes, 24);
  EXPECT_EQ(b.format->name, "Q4_0");
  EXPECT_THAT(b.shape, ElementsAre(2, 32));
  EXPECT_EQ(b.offset, a.offset + 32);
  EXPECT_EQ(b.bytes, 36);
  ASSERT_TRUE(header->FindTensor("b").has_value());
  EXPECT_EQ(header->FindTensor("b")->offset, b.offset);
  EXPECT_FALSE(header->FindTensor("c").has_value());
}

TEST(GgufTest, ReadsEveryTypeOfValue) {
  TestGguf file;
  file.Set("u8", LittleEndianBytes(0, 4) + "\xFF");
  file.Set("i8", LittleEndianBytes(1, 4) + "\xFF");
  file.Set("u16", GgufU16(65535));
  file.Set("i16", LittleEndianBytes(3, 4) + "\xFE\xFF");
  file.Set("u32", GgufU32(4294967295u));
  file.Set("i32", GgufI32(-7));
  file.Set("u64", GgufU64(INT64_MAX));
  file.Set("i64", LittleEndianBytes(11, 4) + LittleEndianBytes(static_cast<uint64_t>(-5), 8));
  file.Set("f32", GgufF32(1e-5f));
  file.Set("f64", LittleEndianBytes(12, 4) + LittleEndianBytes(0x3FE0000000000000, 8));
  file.Set("yes", GgufBool(true));
  file.Set("text", GgufText("t\xFFt"));
  file.Set("texts", GgufTexts({"", "b", "cc"}));
  file.Set("floats", GgufF32s({0.5f, -2}));
  file.Set("ints", GgufI32s({3, -3}));
  file.Set("none", GgufTexts({}));
  const auto header = ParseOrDie(file);
  ASSERT_NE(header, nullptr);
  const auto value = [&](absl::string_view key) { return *header->Find(key); };
  const auto integer = [&](absl::string_view key) { return value(key).Int(kAny).value_or(99); };
  EXPECT_EQ(integer("u8"), 255);
  EXPECT_EQ(integer("i8"), -1);
  EXPECT_EQ(integer("u16"), 65535);
  EXPECT_EQ(integer("i16"), -2);
  EXPECT_EQ(integer("u32"), 4294967295);
  EXPECT_EQ(integer("i32"), -7);
  EXPECT_EQ(integer("u64"), INT64_MAX);
  EXPECT_EQ(integer("i64"), -5);
  EXPECT_EQ(value("f32").Double({0, 1}).value_or(9), 1e-5);  // what was meant, not what f32 holds
  EXPECT_EQ(value("f64").Double({0, 1}).value_or(9), 0.5);
  EXPECT_EQ(value("yes").Bool().value_or(false), true);
  EXPECT_EQ(value("text").String().value_or(""), "t\xFFt");
  EXPECT_THAT(*value("texts").Strings(), ElementsAre("", "b", "cc"));
  EXPECT_THAT(*value("floats").Floats(), ElementsAre(0.5f, -2));
  EXPECT_THAT(*value("ints").Ints(kAny), ElementsAre(3, -3));
  EXPECT_THAT(*value("none").Strings(), IsEmpty());
  EXPECT_EQ(header->value_count(), 16);
  EXPECT_FALSE(header->Find("u9").has_value());
  EXPECT_THAT(header->Get("u9"), IsError(kInvalid, "m.gguf: has no key \"u9\""));
}

TEST(GgufTest, ValuesOfOtherTypesAreRefusedByKeyAndValue) {
  TestGguf file;
  file.Set("text", GgufText("x"));
  file.Set("int", GgufU32(7));
  file.Set("big", GgufU64(UINT64_MAX));
  file.Set("nan", GgufF32(std::nanf("")));
  file.Set("list", GgufI32s({1, 2, 3, 4, 5}));
  file.Set("bigs", LittleEndianBytes(9, 4) + LittleEndianBytes(10, 4) + LittleEndianBytes(1, 8) +
                       LittleEndianBytes(UINT64_MAX, 8));
  file.Set("texts", GgufTexts({"a"}));
  file.Set("bad_floats", GgufF32s({1, INFINITY}));
  file.Set("bools",
           LittleEndianBytes(9, 4) + LittleEndianBytes(7, 4) + LittleEndianBytes(1, 8) + "\1");
  const auto header = ParseOrDie(file);
  ASSERT_NE(header, nullptr);
  const auto value = [&](absl::string_view key) { return *header->Find(key); };
  EXPECT_THAT(value("text").Int(kAny),
              IsError(kInvalid, "m.gguf: text is \"x\" (string); it must"));
  EXPECT_THAT(value("int").Int({8, 9}),
              IsError(kInvalid, "int is 7 (u32); it must be an integer f"));
  EXPECT_THAT(value("big").Int(kAny),
              IsError(kInvalid, "big is 18446744073709551615 (u64); it mu"));
  EXPECT_THAT(value("nan").Double({0, 1}),
              IsError(kInvalid, "nan is nan (f32); it must be a float"));
  EXPECT_THAT(value("int").Double({0, 9}),
              IsError(kInvalid, "int is 7 (u32); it must be a floati"));
  EXPECT_THAT(value("int").Bool(), IsError(kInvalid, "int is 7 (u32); it must be a bool"));
  EXPECT_THAT(value("int").String(), IsError(kInvalid, "int is 7 (u32); it must be a string"));
  EXPECT_THAT(
      value("list").Int(kAny),
      IsError(kInvalid, "list is [1, 2, 3, 4, ... 5 in all] (array of i32); it must be an"));
  EXPECT_THAT(value("list").Ints({0, 4}), IsError(kInvalid, "list[4] is 5; it must be an integer"));
  EXPECT_THAT(value("bigs").Ints(kAny),
              IsError(kInvalid, "bigs[0] is 18446744073709551615; it must be an integer"));
  EXPECT_THAT(value("list").Floats(), IsError(kInvalid, "it must be an array of f32"));
  EXPECT_THAT(value("list").Strings(), IsError(kInvalid, "it must be an array of strings"));
  EXPECT_THAT(value("texts").String(), IsError(kInvalid, "texts is [\"a\"] (array of string); it"));
  EXPECT_THAT(value("texts").Ints(kAny), IsError(kInvalid, "it must be an array of integers"));
  EXPECT_THAT(value("bad_floats").Floats(), IsError(kInvalid, "bad_floats[1] is inf; it must be"));
  EXPECT_THAT(value("bools").Bool(), IsError(kInvalid, "bools is [true] (array of bool); it must"));
}

TEST(GgufTest, AlignmentIsTheFilesOwn) {
  for (const uint32_t alignment : {1u, 8u, 32u, 4096u}) {
    TestGguf file;
    file.alignment = alignment;
    file.Set("general.alignment", GgufU32(alignment));
    file.tensors = {F32Tensor("a", {3}, 1), F32Tensor("b", {1}, 2)};
    const auto header = ParseOrDie(file);
    ASSERT_NE(header, nullptr) << alignment;
    EXPECT_EQ(header->data_begin() % alignment, 0);
    EXPECT_EQ(header->tensor(1).offset - header->tensor(0).offset,
              (12 + alignment - 1) / alignment * alignment);
  }
}

TEST(GgufTest, VersionTwoIsTheSame) {
  TestGguf file = TinyGguf("gpt2");
  file.version = 2;
  ASSERT_NE(ParseOrDie(file), nullptr);
}

TEST(GgufTest, PaddingBehindTheLastTensorMayBeMissing) {
  TestGguf file;
  file.tensors = {F32Tensor("a", {1}, 1)};
  const std::string whole = file.Bytes();
  EXPECT_THAT(Parse(whole.substr(0, file.Header().size() + 4)), IsOk());
  EXPECT_THAT(Parse(whole.substr(0, file.Header().size() + 3)),
              IsError(kInvalid, "it is damaged or has been cut short"));
}

TEST(GgufTest, AFileWithoutTensorsIsLegal) {
  TestGguf file;
  file.Set("general.architecture", GgufText("clip"));
  EXPECT_THAT(Parse(file.Bytes()), IsOk());
}

// A header larger than what is read at first is read on.
TEST(GgufTest, LargeHeadersAreReadWhole) {
  TestGguf file;
  std::vector<std::string> tokens;
  for (int i = 0; i < 200000; ++i) tokens.push_back(absl::StrCat("token", i));
  file.Set("a", GgufTexts(tokens));
  file.Set("b", GgufU32(3));
  file.tensors = {F32Tensor("t", {4}, 1)};
  const TestFolder folder;
  folder.Write("m.gguf", file.Bytes());
  const auto opened = File::Open(folder.File("m.gguf"), "m.gguf");
  ASSERT_THAT(opened, IsOk());
  const auto header = GgufHeader::Read(**opened);
  ASSERT_THAT(header, IsOk());
  EXPECT_EQ((*header)->Find("b")->Int(kAny).value_or(0), 3);
  EXPECT_THAT((*header)->Find("a")->Strings()->back(), "token199999");
  EXPECT_EQ((*header)->tensor(0).bytes, 16);
}

}  // namespace
}  // namespace heed
