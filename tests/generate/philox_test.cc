#include "model/generate/philox.h"

#include <set>

#include "gtest/gtest.h"

namespace heed {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers published with the algorithm's reference implementation (Random123,
// kat_vectors).
TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ(Philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, RandomBitsUsesTheWholeSeedAndTheWholeDraw) {
  std::set<uint64_t> seen;
  for (int bit = 0; bit < 64; ++bit) {
    seen.insert(RandomBits(uint64_t{1} << bit, 0));
    seen.insert(RandomBits(0, uint64_t{1} << bit));
  }
  EXPECT_EQ(seen.size(), 128u);
}

TEST(PhiloxTest, RandomBitsAreThePublishedAnswersFirstTwoWords) {
  EXPECT_EQ(RandomBits(0, 0), 0xe169c58d6627e8d5u);
}

}  // namespace
}  // namespace heed
