#include "model/checkpoint/float_formats.h"

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace heed {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Every 16-bit pattern, behind `padding` bytes so that none is aligned.
std::string AllPatterns(size_t padding) {
  std::string bytes(padding, '\x55');
  for (int i = 0; i < 65536; ++i) {
    bytes.push_back(static_cast<char>(i & 0xFF));
    bytes.push_back(static_cast<char>(i >> 8));
  }
  return bytes;
}

// The definition, in the library's arithmetic.
float HalfByDefinition(int bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction == 0 ? sign * kInf : NAN;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
}

TEST(FloatFormatsTest, EveryF16IsExact) {
  for (const size_t padding : {0, 1}) {
    const std::string bytes = AllPatterns(padding);
    std::vector<float> values(65536);
    F16ToF32(bytes.data() + padding, absl::MakeSpan(values));
    for (int i = 0; i < 65536; ++i) {
      const float expected = HalfByDefinition(i);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(values[i])) << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected)) << i;
      }
    }
  }
}

TEST(FloatFormatsTest, EveryBF16IsTheUpperHalfOfAFloat) {
  const std::string bytes = AllPatterns(1);
  std::vector<float> values(65536);
  BF16ToF32(bytes.data() + 1, absl::MakeSpan(values));
  for (uint32_t i = 0; i < 65536; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), i << 16) << i;
  }
}

TEST(FloatFormatsTest, ConvertsNothing) {
  F16ToF32(nullptr, {});
  BF16ToF32(nullptr, {});
  EXPECT_EQ(FindNonFinite({}), -1);
}

TEST(FloatFormatsTest, FindsTheFirstNonFiniteWhereverItIs) {
  for (const size_t size : {1, 2, 7, 16, 33, 100}) {
    for (size_t at = 0; at < size; ++at) {
      for (const float bad : {kInf, -kInf, NAN, -NAN, std::bit_cast<float>(0x7F800001u)}) {
        std::vector<float> values(size, std::numeric_limits<float>::max());
        EXPECT_EQ(FindNonFinite(values), -1);
        values[at] = bad;
        values[size - 1] = bad;
        EXPECT_EQ(FindNonFinite(values), static_cast<int64_t>(at));
      }
    }
  }
}

TEST(FloatFormatsTest, SmallValuesAreFinite) {
  EXPECT_EQ(FindNonFinite({0.0f, -0.0f, std::numeric_limits<float>::denorm_min(),
                           std::numeric_limits<float>::lowest()}),
            -1);
}

}  // namespace
}  // namespace heed
