// GGUF files whose container is damaged: each must be refused for its own reason.
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/checkpoint/gguf_damage.h"

namespace heed {
namespace {

// ---- Damage to the file's bytes.

struct ByteDamage {
  const char* name;
  std::function<std::string(std::string)> damage;  // of a tiny GPT-2
  absl::StatusCode code;
  std::string message;
};

void PrintTo(const ByteDamage& damage, std::ostream* out) {
  *out << damage.name;
}

class GgufByteDamageTest : public testing::TestWithParam<ByteDamage> {};

TEST_P(GgufByteDamageTest, IsRefused) {
  const std::string sound = TinyGguf("gpt2").Bytes();
  ASSERT_THAT(OpenBytes(sound), IsOk());
  ExpectRefused(GetParam().damage(sound), GetParam().code, GetParam().message);
}

// Other bytes at a place.
std::function<std::string(std::string)> Put(size_t at, std::string bytes) {
  return [=](std::string file) { return file.replace(at, bytes.size(), bytes); };
}

std::function<std::string(std::string)> Is(std::string bytes) {
  return [=](const std::string&) { return bytes; };
}

std::function<std::string(std::string)> Cut(size_t size) {
  return [=](const std::string& file) { return file.substr(0, size); };
}

INSTANTIATE_TEST_SUITE_P(
    Preamble, GgufByteDamageTest,
    testing::Values(
        ByteDamage{"Empty", Cut(0), kInvalid,
                   "m.gguf: ends after 0 bytes, in the middle of the fi"},
        ByteDamage{"ThreeBytes", Cut(3), kInvalid,
                   "ends after 3 bytes, in the middle of the first"},
        ByteDamage{"NoVersion", Cut(7), kInvalid, "in the middle of the version; it has been cut"},
        ByteDamage{"NoTensorCount", Cut(15), kInvalid, "the middle of the number of tensors; it"},
        ByteDamage{"NoKeyCount", Cut(23), kInvalid, "in the middle of the number of keys; it"},
        ByteDamage{"OtherMagic", Put(0, "GGML"), kInvalid, "m.gguf: begins with \"GGML\"; a GGUF"},
        ByteDamage{"LowerCaseMagic", Put(0, "gguf"), kInvalid, "begins with \"gguf\"; a GGUF file"},
        ByteDamage{"LfsPointer", Is("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
                   kInvalid, "is a Git LFS pointer, not the file itself; fetch it with: git lfs"},
        ByteDamage{"Safetensors", Is(SafetensorsFile(std::vector<TestTensor>{})), kInvalid,
                   "a GGUF file begins with \"GGUF\""},
        ByteDamage{"VersionOne", Put(4, std::string("\1\0\0\0", 4)), kUnimplemented,
                   "is GGUF version 1; heed reads versions 2 and 3"},
        ByteDamage{"VersionZero", Put(4, std::string(4, '\0')), kUnimplemented,
                   "is GGUF version 0"},
        ByteDamage{"VersionFour", Put(4, std::string("\4\0\0\0", 4)), kUnimplemented,
                   "is GGUF version 4; heed reads versions 2 and 3"},
        ByteDamage{
            "BigEndian", Put(4, std::string("\0\0\0\3", 4)), kUnimplemented,
            "is a big-endian GGUF file; heed reads little-endian ones: convert it with gguf-"},
        ByteDamage{"HugeTensorCount", Put(8, std::string(8, '\xFF')), kInvalid,
                   "declares 18446744073709551615 tensors, but its"},
        ByteDamage{"NegativeTensorCount", Put(15, "\x80"), kInvalid, "tensors, but its"},
        ByteDamage{"HugeKeyCount", Put(16, std::string(8, '\xFF')), kInvalid,
                   "declares 18446744073709551615 keys, but its"},
        ByteDamage{"OneTensorTooMany", Put(8, "\x1D"), kInvalid, "m.gguf: at byte"},
        ByteDamage{"OneTensorTooFew", Put(8, "\x1B"), kInvalid,
                   "m.gguf: the last tensor ends at byte 7584, but the file has 7648; nothing may"},
        ByteDamage{"OneKeyTooMany", Put(16, "\x0A"), kInvalid, "the length of a tensor's name is"},
        ByteDamage{"OneKeyTooFew", Put(16, "\x08"), kInvalid, "m.gguf: "},
        ByteDamage{"NoKeys", Put(16, std::string(8, '\0')), kInvalid, "m.gguf: "},
        ByteDamage{"NothingAtAll", Put(8, std::string(16, '\0')), kInvalid,
                   "m.gguf: has no key \"general.architecture\""}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Text, GgufByteDamageTest,
    testing::Values(
        ByteDamage{"KeyOfNoLength", Put(24, std::string(8, '\0')), kInvalid,
                   "at byte 24, the length of a key is 0; it must be from 1 to 65535"},
        ByteDamage{"KeyTooLong", Put(24, std::string("\0\0\1", 3)), kInvalid,
                   "at byte 24, the length of a key is 65536; it must be from 1 to 65535"},
        ByteDamage{"KeyOfHugeLength", Put(24, std::string(8, '\xFF')), kInvalid,
                   "the length of a key is 18446744073709551615; it must be"},
        ByteDamage{"KeyBeyondTheEnd", Put(24, std::string("\xFF\xFF", 2)), kInvalid,
                   "in the middle of a key; it has been cut short"},
        ByteDamage{"KeyNotPrintable", Put(32, "\n"), kInvalid, "it must be printable ASCII"},
        ByteDamage{"KeyNotAscii", Put(32, "\xC3\xA4"), kInvalid, "it must be printable ASCII"},
        ByteDamage{
            "UnknownType", Put(52, "\x0D"), kInvalid,
            "the value of \"general.architecture\" has type 13; the types have numbers from"},
        ByteDamage{"HugeType", Put(52, std::string(4, '\xFF')), kInvalid, "has type 4294967295"},
        ByteDamage{
            "TextBeyondTheEnd", Put(56, "\xFF\xFF"), kInvalid,
            "the value of \"general.architecture\" is a string of 65535 bytes, but the file"},
        ByteDamage{"TextOfHugeLength", Put(56, std::string(8, '\xFF')), kInvalid,
                   "is a string of 18446744073709551615 bytes, but the file has only"},
        ByteDamage{"CutInTheKeys", Cut(70), kInvalid, "m.gguf: declares"},
        ByteDamage{"CutInTheTensors", Cut(1000), kInvalid, "m.gguf: tensor"},
        ByteDamage{"CutInTheData",
                   [](const std::string& file) { return file.substr(0, file.size() - 64); },
                   kInvalid, "m.gguf: tensor \"output_norm."},
        ByteDamage{"BytesLeftOver",
                   [](const std::string& file) { return file + std::string(33, 'x'); }, kInvalid,
                   "nothing may follow but padding"}),
    [](const auto& info) { return info.param.name; });

// ---- Damage to what a file says.

class GgufContainerDamageTest : public testing::TestWithParam<Damage> {};
TEST_P(GgufContainerDamageTest, IsRefused) {
  ExpectDamageRefused("gpt2", GetParam());
}

std::string ArrayValue(uint32_t type, uint64_t size, const std::string& elements) {
  return LittleEndianBytes(9, 4) + LittleEndianBytes(type, 4) + LittleEndianBytes(size, 8) +
         elements;
}

INSTANTIATE_TEST_SUITE_P(
    Values, GgufContainerDamageTest,
    testing::Values(
        Damage{"KeyTwice",
               [](TestGguf& f) {
                 f.keys.push_back({"gpt2.block_count", GgufU32(2)});
               },
               kInvalid, "m.gguf: has the key \"gpt2.block_count\" more than once"},
        Damage{"BoolOfTwo", Set("x", LittleEndianBytes(7, 4) + "\2"), kInvalid,
               "the value of \"x\" is a bool of 2; it must be 0 or 1"},
        Damage{"BoolOfTwoInAnArray", Set("x", ArrayValue(7, 2, std::string("\1\2"))), kInvalid,
               "the value of \"x\" is a bool of 2"},
        Damage{
            "ArrayOfArrays", Set("x", ArrayValue(9, 1, ArrayValue(4, 0, ""))), kInvalid,
            "the value of \"x\" is an array of type 9, of arrays; arrays hold numbers, bools or"},
        Damage{"ArrayOfUnknownType", Set("x", ArrayValue(13, 1, "1234")), kInvalid,
               "is an array of type 13; arrays hold"},
        Damage{"ArrayBeyondTheEnd", Set("x", ArrayValue(4, 1u << 20, "1234")), kInvalid,
               "is an array of 1048576 elements, but the file has only"},
        Damage{"ArrayWhoseBytesOverflow", Set("x", ArrayValue(4, uint64_t{1} << 62, "1234")),
               kInvalid, "is an array of 4611686018427387904 elements, but"},
        Damage{"ArrayOfTextsBeyondTheEnd", Set("x", ArrayValue(8, 1u << 16, "12345678")), kInvalid,
               "is an array of 65536 elements, but the file has only"},
        Damage{"ArrayOfATextBeyondTheEnd",
               Set("x", ArrayValue(8, 1, LittleEndianBytes(uint64_t{1} << 63, 8))), kInvalid,
               "is a string of 9223372036854775808 bytes, but the file has only"},
        Damage{"AlignmentOfZero", Set("general.alignment", GgufU32(0)), kInvalid,
               "general.alignment is 0 (u32); it must be a power of two"},
        Damage{"AlignmentOfThree", Set("general.alignment", GgufU32(3)), kInvalid,
               "general.alignment is 3 (u32); it must be a power of two"},
        Damage{"AlignmentTooLarge", Set("general.alignment", GgufU32(1u << 31)), kInvalid,
               "general.alignment is 2147483648 (u32); it must be a power of two"},
        Damage{"AlignmentOfAnotherType", Set("general.alignment", GgufU64(32)), kInvalid,
               "general.alignment is 32 (u64); it must be a power of two from 1 to 2^30, as u32"},
        Damage{"AlignmentAsText", Set("general.alignment", GgufText("32")), kInvalid,
               "general.alignment is \"32\" (string); it must be"},
        Damage{"AnotherAlignment", Set("general.alignment", GgufU32(256)), kInvalid,
               "must be a multiple of the alignment, 256"}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Tensors, GgufContainerDamageTest,
    testing::Values(
        Damage{"TensorTwice",
               [](TestGguf& f) { f.tensors.push_back(f.Tensor("token_embd.weight")); }, kInvalid,
               "m.gguf: has the tensor \"token_embd.weight\" more than once"},
        Damage{"NoName", Change("token_embd.weight", [](auto& t) { t.name = ""; }), kInvalid,
               "the length of a tensor's name is 0; it must be from 1 to 64"},
        Damage{"NameTooLong",
               Change("token_embd.weight", [](auto& t) { t.name = std::string(65, 'x'); }),
               kInvalid, "the length of a tensor's name is 65; it must be from 1 to 64"},
        Damage{"NameNotPrintable", Change("token_embd.weight", [](auto& t) { t.name[0] = '\x1B'; }),
               kInvalid, "it must be printable ASCII"},
        Damage{"FiveDimensions", Dimensions("token_embd.weight", {8, 11, 1, 1, 1}), kInvalid,
               "m.gguf: tensor \"token_embd.weight\" has 5 dimensions; at most 4 are allowed"},
        Damage{"DimensionOfZero", Dimensions("token_embd.weight", {8, 0}), kInvalid,
               "has a dimension of 0; 1 is the least"},
        Damage{"HugeDimension", Dimensions("token_embd.weight", {UINT64_MAX, 11}), kInvalid,
               "has a dimension of 18446744073709551615, with which its size does not fit"},
        Damage{"DimensionsThatOverflow",
               Dimensions("token_embd.weight", {uint64_t{1} << 32, uint64_t{1} << 32}), kInvalid,
               "has a dimension of 4294967296, with which its size does not fit in 64 bits"},
        Damage{"DimensionsThatOverflowToSmall",
               Dimensions("token_embd.weight", {uint64_t{1} << 63, 2, 88}), kInvalid,
               "with which its size does not fit in 64 bits"},
        Damage{"LargerThanTheFile", Dimensions("token_embd.weight", {8, 100000}), kInvalid,
               "has 800000 values of F32, more than the file's"},
        Damage{"RemovedType", Change("token_embd.weight", [](auto& t) { t.type = 4; }), kInvalid,
               "tensor \"token_embd.weight\" has type 4, which is no ggml type heed knows"},
        Damage{"UnknownType", Change("token_embd.weight", [](auto& t) { t.type = 1000; }), kInvalid,
               "has type 1000, which is no ggml type heed knows"},
        Damage{"RowsOfPartOfABlock", Change("token_embd.weight", [](auto& t) { t.type = 8; }),
               kInvalid, "has rows of 8 values; for Q8_0 it must be a multiple of 32"},
        Damage{"RowsOfPartOfASuperBlock",
               [](TestGguf& f) {
                 f.Tensor("token_embd.weight").type = 12;
                 f.Tensor("token_embd.weight").dimensions = {128, 2};
               },
               kInvalid, "has rows of 128 values; for Q4_K it must be a multiple of 256"},
        Damage{"UnalignedOffset", Change("position_embd.weight", [](auto& t) { t.offset = 353; }),
               kInvalid, "begins at byte 353 of the data; it must be a multiple of the alignment"},
        Damage{"HugeOffset",
               Change("position_embd.weight", [](auto& t) { t.offset = UINT64_MAX - 31; }),
               kInvalid, "begins at byte 18446744073709551584 of the data, but the file has only"},
        Damage{
            "Overlap", Change("position_embd.weight", [](auto& t) { t.offset = 320; }), kInvalid,
            "tensor \"position_embd.weight\" begins at byte 320 of the data; it must begin at 352"},
        Damage{"Hole", Change("position_embd.weight", [](auto& t) { t.offset = 384; }), kInvalid,
               "begins at byte 384 of the data; it must begin at 352, where the tensor before it"},
        Damage{"SamePlace", Change("position_embd.weight", [](auto& t) { t.offset = 0; }), kInvalid,
               "begins at byte 0 of the data; it must begin at 352"},
        Damage{"SwappedPlaces",
               [](TestGguf& f) {
                 f.Tensor("blk.0.attn_norm.weight").offset = 896;
                 f.Tensor("blk.0.attn_norm.bias").offset = 864;
               },
               kInvalid,
               "tensor \"blk.0.attn_norm.weight\" begins at byte 896 of the data; it must"},
        Damage{
            "NarrowerType", Change("token_embd.weight", [](auto& t) { t.type = 1; }), kInvalid,
            "tensor \"position_embd.weight\" begins at byte 352 of the data; it must begin at 192"},
        Damage{"WiderType", Change("output_norm.bias", [](auto& t) { t.type = 27; }), kInvalid,
               "tensor \"output_norm.bias\" ends at byte"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace heed
