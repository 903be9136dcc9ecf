// Blocks of every format against the reference's values, and by the formulas.
#include "model/checkpoint/block_formats.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/transformer/golden_file.h"

namespace heed {
namespace {

using testing::Each;
using testing::ElementsAreArray;

const BlockFormat& Format(absl::string_view name) {
  for (const BlockFormat& format : BlockFormats()) {
    if (format.name == name) return format;
  }
  ADD_FAILURE() << "no format " << name;
  return BlockFormats()[0];
}

std::vector<float> Dequantize(absl::string_view name, const std::string& bytes) {
  const BlockFormat& format = Format(name);
  std::vector<float> values(bytes.size() / format.block_bytes * format.block_values);
  format.dequantize(bytes.data(), absl::MakeSpan(values));
  return values;
}

class BlockGoldenTest : public testing::TestWithParam<const char*> {};

// Bit for bit; the scales are of all signs and sizes.
TEST_P(BlockGoldenTest, ValuesEqualTheReference) {
  const GoldenFile golden(std::string(HEED_SOURCE_DIR) + "/tests/golden/gguf/blocks.safetensors");
  const std::string name = GetParam();
  const std::vector<float> want = golden.Read<float>(name + ".values");
  const std::vector<char> blocks = golden.Read<char>(name + ".blocks");
  const std::string bytes(blocks.begin(), blocks.end());
  ASSERT_GT(want.size(), 500);
  ASSERT_EQ(want.size(), bytes.size() / Format(name).block_bytes * Format(name).block_values);
  EXPECT_THAT(Dequantize(name, bytes), ElementsAreArray(want));
  // Wherever the bytes begin.
  std::vector<float> shifted(want.size());
  const std::string moved = "x" + bytes;
  Format(name).dequantize(moved.data() + 1, absl::MakeSpan(shifted));
  EXPECT_THAT(shifted, ElementsAreArray(want));
}

INSTANTIATE_TEST_SUITE_P(Formats, BlockGoldenTest,
                         testing::Values("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K",
                                         "Q4_K", "Q5_K", "Q6_K"),
                         [](const auto& info) { return std::string(info.param); });

constexpr char kOne[] = "\x00\x3C";  // f16
constexpr char kTwo[] = "\x00\x40";

std::string Half(const char* bits) {
  return std::string(bits, 2);
}

TEST(BlockFormatsTest, EightBitsAreSigned) {
  std::string block = Half(kTwo);
  for (int i = 0; i < 32; ++i) block.push_back(static_cast<char>(i - 16));
  const std::vector<float> values = Dequantize("Q8_0", block);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(values[i], 2.0f * static_cast<float>(i - 16));
}

TEST(BlockFormatsTest, FourBitsLieInTwoHalves) {
  const std::string block = Half(kOne) + std::string(16, '\x3A');
  const std::vector<float> values = Dequantize("Q4_0", block);
  EXPECT_THAT(std::vector<float>(values.begin(), values.begin() + 16), Each(2));
  EXPECT_THAT(std::vector<float>(values.begin() + 16, values.end()), Each(-5));
  EXPECT_THAT(Dequantize("Q4_1", Half(kOne) + Half(kTwo) + std::string(16, '\0')), Each(2));
}

TEST(BlockFormatsTest, FifthBitsAreByValue) {
  const std::string qh = std::string("\x01\x00\x02\x00", 4);  // of values 0 and 17
  std::vector<float> want(32, 0.0f);
  want[0] = want[17] = 16;
  EXPECT_THAT(Dequantize("Q5_1", Half(kOne) + std::string(2, '\0') + qh + std::string(16, '\0')),
              ElementsAreArray(want));
  for (float& value : want) value -= 16;
  EXPECT_THAT(Dequantize("Q5_0", Half(kOne) + qh + std::string(16, '\0')), ElementsAreArray(want));
}

TEST(BlockFormatsTest, SixBitsAreCentredOnZero) {
  const std::string zeros = std::string(192, '\0') + std::string(16, '\x03') + Half(kOne);
  EXPECT_THAT(Dequantize("Q6_K", zeros), Each(-96));
}

TEST(BlockFormatsTest, PlainNumbersAreBlocksOfOne) {
  EXPECT_THAT(Dequantize("F32", std::string("\x00\x00\x80\x3F\x00\x00\x00\xC0", 8)),
              ElementsAreArray({1.0f, -2.0f}));
  EXPECT_THAT(Dequantize("F16", Half(kOne) + Half(kTwo)), ElementsAreArray({1.0f, 2.0f}));
  EXPECT_THAT(Dequantize("BF16", std::string("\x80\x3F\x00\xC0", 4)),
              ElementsAreArray({1.0f, -2.0f}));
}

TEST(BlockFormatsTest, NothingMakesNothing) {
  for (const BlockFormat& format : BlockFormats()) {
    if (format.dequantize != nullptr) format.dequantize("", {});
  }
}

TEST(BlockFormatsTest, SizesAreThoseOfTheFormat) {
  EXPECT_EQ(Format("Q4_K").ByteCount(512), 288);
  EXPECT_EQ(Format("F32").ByteCount(3), 12);
  EXPECT_EQ(FindBlockFormat(12), &Format("Q4_K"));
  for (const uint32_t removed : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 4294967295u}) {
    EXPECT_EQ(FindBlockFormat(removed), nullptr) << removed;
  }
}

TEST(DTypeNameTest, NamesWhatHeedReads) {
  EXPECT_EQ(DTypeName(DType::kF32), "F32");
  EXPECT_EQ(DTypeName(DType::kF16), "F16");
  EXPECT_EQ(DTypeName(DType::kBF16), "BF16");
  EXPECT_EQ(DTypeName(DType::kI64), "I64");
  EXPECT_EQ(DTypeName(DType::kQ4_K), "Q4_K");
  EXPECT_EQ(DTypeName(DType::kOther), "other");
}

}  // namespace
}  // namespace heed
