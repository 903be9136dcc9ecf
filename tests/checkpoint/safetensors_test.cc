#include "model/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

absl::StatusOr<std::vector<StoredTensor>> ReadFile(const TestFolder& folder,
                                                   absl::string_view bytes) {
  folder.Write("m", bytes);
  const absl::StatusOr<std::unique_ptr<File>> file = File::Open(folder.File("m"), "m");
  if (!file.ok()) return file.status();
  return ReadSafetensorsHeader(**file);
}

absl::StatusOr<std::vector<StoredTensor>> ReadFile(absl::string_view bytes) {
  const TestFolder folder;
  return ReadFile(folder, bytes);
}

TEST(SafetensorsTest, ReadsNamesTypesShapesAndPlaces) {
  const std::string header =
      R"({"b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},)"
      R"("a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"k":"v"}})";
  const auto tensors = ReadFile(SafetensorsFile(header, std::string(14, 'x')));
  ASSERT_THAT(tensors, IsOk());
  ASSERT_EQ(tensors->size(), 2);
  const StoredTensor& a = tensors->at(0);
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.info.dtype, DType::kF32);
  EXPECT_EQ(a.dtype_name, "F32");
  EXPECT_THAT(a.info.shape, ElementsAre(1, 2));
  EXPECT_EQ(a.offset, static_cast<int64_t>(8 + header.size()));
  EXPECT_EQ(a.bytes, 8);
  const StoredTensor& b = tensors->at(1);
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.info.dtype, DType::kBF16);
  EXPECT_EQ(b.offset, a.offset + 8);
  EXPECT_EQ(b.bytes, 6);
}

TEST(SafetensorsTest, ScalarsAndEmptyTensorsAreLegal) {
  const auto tensors = ReadFile(
      SafetensorsFile(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                      R"("z":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[4,4]},)"
                      R"("y":{"dtype":"F16","shape":[3,0],"data_offsets":[0,0]}})",
                      "1234"));
  ASSERT_THAT(tensors, IsOk());
  ASSERT_EQ(tensors->size(), 3);
  EXPECT_EQ(tensors->at(0).name, "y");
  EXPECT_THAT(tensors->at(1).info.shape, IsEmpty());
  EXPECT_EQ(tensors->at(2).bytes, 0);
}

TEST(SafetensorsTest, FileWithoutTensorsIsLegal) {
  EXPECT_THAT(ReadFile(SafetensorsFile("{}", "")), IsOk());
  EXPECT_THAT(ReadFile(SafetensorsFile("{\"__metadata__\":null}    ", "")), IsOk());
  EXPECT_THAT(ReadFile(SafetensorsFile("{}", "x")), IsError(kInvalid, "0 bytes of tensors"));
}

TEST(SafetensorsTest, KnowsTheSizeOfEveryType) {
  const std::vector<std::pair<const char*, int>> bits = {
      {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},
      {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
      {"F64", 64},    {"I64", 64},        {"U64", 64},        {"C64", 64},    {"F4", 4},
      {"F6_E2M3", 6}, {"F6_E3M2", 6}};
  for (const auto& [name, size] : bits) {
    const std::string header = absl::StrCat(R"({"t":{"dtype":")", name,
                                            R"(","shape":[4],"data_offsets":[0,)", size / 2, "]}}");
    EXPECT_THAT(ParseSafetensorsHeader("m", header, size / 2), IsOk()) << name;
    EXPECT_THAT(ParseSafetensorsHeader("m", header, size / 2 + 1), IsError(kInvalid, "the file"));
  }
}

TEST(ElementCountTest, DetectsOverflow) {
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({3, 4}), 12);
  EXPECT_EQ(ElementCount({0, INT64_MAX}), 0);
  EXPECT_EQ(ElementCount({INT64_MAX, 1}), INT64_MAX);
  EXPECT_EQ(ElementCount({INT64_C(1) << 32, INT64_C(1) << 31}), -1);
  EXPECT_EQ(ElementCount({INT64_C(1) << 32, INT64_C(1) << 32, 0}), -1);
}

// Dimensions at which arithmetic of some width wraps, in every pair: none may be taken for a small
// tensor.
TEST(SafetensorsTest, WrappingProductsAreRefused) {
  const std::vector<std::string> sizes = {
      "2147483647",          "2147483648",           "4294967295",
      "4294967296",          "4611686018427387904",  "9223372036854775807",
      "9223372036854775808", "18446744073709551615", "18446744073709551616"};
  for (const std::string& a : sizes) {
    for (const std::string& b : sizes) {
      for (const char* end : {"0", "4", "16", "9223372036854775807"}) {
        const std::string header = absl::StrCat(R"({"t":{"dtype":"F32","shape":[)", a, ",", b,
                                                R"(],"data_offsets":[0,)", end, "]}}");
        EXPECT_THAT(ParseSafetensorsHeader("m", header, 16), IsError(kInvalid, "m: ")) << header;
      }
    }
  }
}

struct Damage {
  const char* name;
  std::string header;
  std::string message;
};

void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

std::string Tensor(absl::string_view fields) {
  return absl::StrCat("{\"t\":{", fields, "}}");
}

std::string Header(absl::string_view dtype, absl::string_view shape, absl::string_view offsets) {
  return Tensor(
      absl::StrCat(R"("dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets));
}

std::string Two(absl::string_view a_offsets, absl::string_view b_offsets) {
  return absl::StrCat(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":)", a_offsets,
                      R"(},"b":{"dtype":"U8","shape":[8],"data_offsets":)", b_offsets, "}}");
}

class SafetensorsDamageTest : public testing::TestWithParam<Damage> {};

TEST_P(SafetensorsDamageTest, IsRefused) {  // in a file with 16 bytes of data
  EXPECT_THAT(ParseSafetensorsHeader("m", GetParam().header, 16),
              IsError(kInvalid, GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Text, SafetensorsDamageTest,
    testing::Values(
        Damage{"Empty", "", "m: the header must begin with '{'"},
        Damage{"Array", "[]", "m: the header must begin with '{'"},
        Damage{"SpaceFirst", " {}", "m: the header must begin with '{'"},
        Damage{"OnlySpaces", "    ", "m: the header must begin with '{'"},
        Damage{"NewlineAfter", "{}\n", "m: the header must end with '}'"},
        Damage{"NulAfter", std::string("{}\0\0", 4), "m: the header must end with '}'"},
        Damage{"TabBetweenSpaces", "{}  \t ", "m: the header must end with '}'"},
        Damage{"TwoObjects", "{}{}", "m: not valid JSON"},
        Damage{"NotUtf8", "{\"\xff\":1}", "m: not valid JSON: the text is not valid UTF-8"},
        Damage{"Unclosed", "{\"a\": {}", "m: not valid JSON"},
        Damage{"TooDeep", absl::StrCat("{\"a\":", std::string(64, '['), std::string(64, ']'), "}"),
               "nested more than 64 deep"},
        Damage{"MetadataIsAString", R"({"__metadata__":"x"})", "m: __metadata__ is \"x\"; it must"},
        Damage{"MetadataOfNumbers", R"({"__metadata__":{"a":1}})",
               "m: __metadata__.a is 1; it must be a string"},
        Damage{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", "more than once"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Tensor, SafetensorsDamageTest,
    testing::Values(
        Damage{"NotAnObject", R"({"t":[]})", "m: t is []; it must be an object"},
        Damage{"NoDtype", Tensor(R"("shape":[4],"data_offsets":[0,16])"),
               "m: t has no key \"dtype\""},
        Damage{"NoShape", Tensor(R"("dtype":"F32","data_offsets":[0,16])"),
               "m: t has no key \"shape\""},
        Damage{"NoOffsets", Tensor(R"("dtype":"F32","shape":[4])"),
               "m: t has no key \"data_offsets\""},
        Damage{"UnknownKey", Tensor(R"("dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1)"),
               "m: t has the key \"x\"; only"},
        Damage{"KeyTwice",
               Tensor(R"("dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16])"),
               "m: t has the key \"dtype\" more than once"},
        Damage{"TensorTwice",
               R"({"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
               R"("t":{"dtype":"U8","shape":[8],"data_offsets":[8,16]}})",
               "m: has the key \"t\" more than once"},
        Damage{"UnknownDtype", Header("\"F33\"", "[4]", "[0,16]"),
               "m: t.dtype is \"F33\"; it must be a safetensors dtype"},
        Damage{"LowerCaseDtype", Header("\"f32\"", "[4]", "[0,16]"), "m: t.dtype is \"f32\""},
        Damage{"NumberAsDtype", Header("32", "[4]", "[0,16]"),
               "m: t.dtype is 32; it must be a str"},
        Damage{"NullDtype", Header("null", "[4]", "[0,16]"), "m: t.dtype is null; it must be a s"},
        Damage{"ShapeIsANumber", Header("\"F32\"", "4", "[0,16]"), "m: t.shape is 4; it must be"},
        Damage{"NegativeSize", Header("\"F32\"", "[-4]", "[0,16]"),
               "m: t.shape[0] is -4; it must be an integer from 0"},
        Damage{"TwoNegativeSizes", Header("\"F32\"", "[-2,-2]", "[0,16]"), "m: t.shape[0] is -2"},
        Damage{"FractionalSize", Header("\"F32\"", "[4.0]", "[0,16]"), "m: t.shape[0] is 4"},
        Damage{"TextAsSize", Header("\"F32\"", "[\"4\"]", "[0,16]"), "m: t.shape[0] is \"4\""},
        Damage{"HugeSize", Header("\"F32\"", "[9223372036854775808]", "[0,16]"), "m: t.shape[0]"},
        Damage{"ListAsSize", Header("\"F32\"", "[[4]]", "[0,16]"), "m: t.shape[0] is [4]"},
        Damage{"ProductOverflows", Header("\"F32\"", "[4294967296,4294967296]", "[0,16]"),
               "m: t has shape [4294967296, 4294967296], whose size does not fit"},
        Damage{"BitsOverflow", Header("\"F32\"", "[576460752303423489]", "[0,16]"),
               "whose size does not fit"},
        Damage{"HalfAByte", Header("\"F4\"", "[5]", "[0,2]"), "not a whole number of bytes"},
        Damage{"ShapeTooSmall", Header("\"F32\"", "[3]", "[0,16]"),
               "m: t has data_offsets [0, 16], 16 bytes; shape [3] of F32 takes 12"},
        Damage{"ShapeTooLarge", Header("\"F32\"", "[5]", "[0,16]"), "takes 20"},
        Damage{"DtypeTooWide", Header("\"F64\"", "[4]", "[0,16]"), "takes 32"},
        Damage{"DtypeTooNarrow", Header("\"F16\"", "[4]", "[0,16]"), "takes 8"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Offsets, SafetensorsDamageTest,
    testing::Values(
        Damage{"OneOffset", Header("\"F32\"", "[4]", "[0]"),
               "m: t.data_offsets is [0]; it must be [begin, end]"},
        Damage{"ThreeOffsets", Header("\"F32\"", "[4]", "[0,8,16]"), "t.data_offsets is [0,8,16]"},
        Damage{"NoOffset", Header("\"F32\"", "[4]", "[]"), "t.data_offsets is []"},
        Damage{"OffsetsAreNull", Header("\"F32\"", "[4]", "null"), "t.data_offsets is null"},
        Damage{"Backwards", Header("\"F32\"", "[4]", "[16,0]"), "t.data_offsets is [16,0]"},
        Damage{"NegativeOffset", Header("\"F32\"", "[4]", "[-16,0]"), "t.data_offsets[0] is -16"},
        Damage{"FractionalOffset", Header("\"F32\"", "[4]", "[0,16.0]"), "t.data_offsets[1] is 16"},
        Damage{
            "BeyondTheEnd", Header("\"F32\"", "[8]", "[0,32]"),
            "m: the header describes 32 bytes of tensors, but the file holds 16; it has been cut"},
        Damage{"FarBeyondTheEnd",
               Header("\"U8\"", "[9223372036854775807]", "[0,9223372036854775807]"),
               "whose size does not fit"},
        Damage{"LargestThatFits",
               Header("\"U8\"", "[1152921504606846975]", "[0,1152921504606846975]"),
               "the header describes 1152921504606846975 bytes"},
        Damage{"LastByteOfAddresses",
               Header("\"U8\"", "[1]", "[9223372036854775806,9223372036854775807]"),
               "begins at byte 9223372036854775806 of the data; it must begin at 0"},
        Damage{"BytesLeftOver", Header("\"F32\"", "[3]", "[0,12]"),
               "m: the header describes 12 bytes of tensors, but the file holds 16"},
        Damage{"NotFromTheBeginning", Header("\"F32\"", "[3]", "[4,16]"),
               "m: tensor \"t\" begins at byte 4 of the data; it must begin at 0"},
        Damage{"Hole", Two("[0,8]", "[9,17]"),
               "\"b\" begins at byte 9 of the data; it must begin at 8"},
        Damage{"Overlap", Two("[0,8]", "[7,15]"), "\"b\" begins at byte 7 of the data; it must"},
        Damage{"SamePlace", Two("[0,8]", "[0,8]"), "\"b\" begins at byte 0 of the data; it must"},
        Damage{"SwappedWithHole", Two("[9,17]", "[0,8]"), "\"a\" begins at byte 9 of the data"},
        Damage{"EmptyTensorInAHole",
               R"({"z":{"dtype":"U8","shape":[0],"data_offsets":[3,3]},)"
               R"("t":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}})",
               "\"z\" begins at byte 3 of the data; it must begin at 16"}),
    [](const auto& info) { return info.param.name; });

std::string WithHeaderSize(uint64_t size, absl::string_view rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, sizeof(size));
  return absl::StrCat(bytes, rest);
}

TEST(SafetensorsTest, HeaderSizeMustBeWithinLimitAndFile) {
  EXPECT_THAT(ReadFile(""), IsError(kInvalid, "m: has 0 bytes; a safetensors file begins with"));
  EXPECT_THAT(ReadFile("1234567"), IsError(kInvalid, "m: has 7 bytes"));
  EXPECT_THAT(ReadFile(WithHeaderSize(0, "")), IsError(kInvalid, "must begin with '{'"));
  EXPECT_THAT(ReadFile(WithHeaderSize(3, "{}")),
              IsError(kInvalid, "declares a header of 3 bytes, but the file has only 10"));
  EXPECT_THAT(ReadFile(WithHeaderSize((16 << 20) + 1, "{}")),
              IsError(kInvalid, "declares a header of 16777217 bytes; at most 16777216"));
  for (const uint64_t size :
       {UINT64_C(100000001), UINT64_C(1) << 31, UINT64_C(1) << 32, (UINT64_C(1) << 63) - 1,
        UINT64_C(1) << 63, UINT64_MAX - 7, UINT64_MAX}) {
    EXPECT_THAT(ReadFile(WithHeaderSize(size, "{}")),
                IsError(kInvalid, absl::StrCat("declares a header of ", size)));
  }
}

TEST(SafetensorsTest, HeaderOfTheLargestSizeIsRead) {
  std::string header = "{}";
  header.resize(kMaxSafetensorsHeaderBytes, ' ');
  const TestFolder folder;
  folder.Write("m", SafetensorsFile(header, ""));
  std::filesystem::resize_file(folder.File("m"), kLeastFileToHeader * header.size());  // sparse
  const auto file = File::Open(folder.File("m"), "m");
  ASSERT_THAT(file, IsOk());
  EXPECT_THAT(ReadSafetensorsHeader(**file),
              IsError(kInvalid, "describes 0 bytes of tensors, but the file holds"));
}

TEST(SafetensorsTest, LargeHeadersTakeALargeFile) {
  std::string header = "{}";
  header.resize(kSmallSafetensorsHeaderBytes, ' ');
  EXPECT_THAT(ReadFile(SafetensorsFile(header, "")), IsOk());
  EXPECT_THAT(ReadFile(SafetensorsFile(header + ' ', "")),
              IsError(kInvalid,
                      "declares a header of 1048577 bytes in a file of 1048585; a header "
                      "of more than 1048576 bytes may be at most 1/16 of the file"));
}

TEST(SafetensorsTest, OtherFilesThatPeopleHaveAreNamed) {
  EXPECT_THAT(ReadFile("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
              IsError(kInvalid, "m: is a Git LFS pointer, not the file itself"));
  EXPECT_THAT(ReadFile("PK\x03\x04 and the rest of a zip"),
              IsError(kInvalid, "m: declares a header"));
  EXPECT_THAT(ReadFile("GGUF\x03 and the rest of it"), IsError(kInvalid, "m: declares a header"));
}

TEST(SafetensorsTest, ManyTensorsAreReadInBoundedTime) {
  std::string header = "{";
  constexpr int kTensors = 200000;
  for (int i = 0; i < kTensors; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"", i,
                    "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[", i, ",", i + 1, "]}");
  }
  const auto tensors = ParseSafetensorsHeader("m", header + "}", kTensors);
  ASSERT_THAT(tensors, IsOk());
  EXPECT_EQ(tensors->size(), kTensors);
}

std::string SmallFile() {
  const std::vector<TestTensor> tensors = {RandomTensor("a.weight", "F32", {2, 3}, 1),
                                           RandomTensor("b", "BF16", {3}, 2),
                                           RandomTensor("c", "F16", {1, 1, 2}, 3)};
  return SafetensorsFile(tensors);
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const TestFolder folder;
  const std::string bytes = SmallFile();
  ASSERT_THAT(ReadFile(folder, bytes), IsOk());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ReadFile(folder, bytes.substr(0, size)), IsError(kInvalid, "m: ")) << size;
  }
}

TEST(SafetensorsTest, EveryExtensionIsRefused) {
  const std::string bytes = SmallFile();
  for (const int extra : {1, 2, 8, 4096}) {
    EXPECT_THAT(ReadFile(bytes + std::string(static_cast<size_t>(extra), '\0')),
                IsError(kInvalid, "but the file holds"));
  }
}

// All that decides how the data are read.
bool SameLayout(const std::vector<StoredTensor>& a, const std::vector<StoredTensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const StoredTensor& x, const StoredTensor& y) {
                      return x.dtype_name == y.dtype_name && x.info.shape == y.info.shape &&
                             x.offset == y.offset && x.bytes == y.bytes;
                    });
}

// A flipped bit can give a tensor another name, which shows when it is looked for, but never
// another layout.
TEST(SafetensorsTest, EveryFlippedBitOfTheHeaderIsRefusedOrChangesOnlyAName) {
  const TestFolder folder;
  const std::string bytes = SmallFile();
  const auto right = ReadFile(folder, bytes);
  ASSERT_THAT(right, IsOk());
  const auto header_end = static_cast<size_t>(right->front().offset);
  int refused = 0;
  for (size_t i = 0; i < header_end; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      const auto tensors = ReadFile(folder, flipped);
      if (tensors.ok()) {
        EXPECT_TRUE(SameLayout(*tensors, *right)) << "byte " << i << " bit " << bit;
      } else {
        EXPECT_THAT(tensors, IsError(kInvalid, "m: "));
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(header_end) * 5);
}

// Random bytes in random places: no crash, and nothing outside the file is ever described.
TEST(SafetensorsTest, RandomDamageNeverDescribesBytesOutsideTheFile) {
  const std::string bytes = SmallFile();
  const std::string header = bytes.substr(8, bytes.size() - 8 - 34);
  uint64_t state = 12345;
  const auto random = [&state](uint64_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
  };
  const std::string alphabet = "{}[]\",:0123456789 -.eF";
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = header;
    for (uint64_t n = 1 + random(4); n > 0; --n) {
      damaged[random(damaged.size())] = alphabet[random(alphabet.size())];
    }
    const auto tensors = ParseSafetensorsHeader("m", damaged, 34);
    if (!tensors.ok()) continue;
    for (const StoredTensor& tensor : *tensors) {
      ASSERT_GE(tensor.offset, 0);
      ASSERT_LE(tensor.offset + tensor.bytes, 34);
    }
  }
}

}  // namespace
}  // namespace heed
