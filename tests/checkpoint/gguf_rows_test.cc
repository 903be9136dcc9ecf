#include "model/checkpoint/gguf_rows.h"

#include <string>

#include "gtest/gtest.h"

namespace heed {
namespace {

// `rows` after it has been put in order.
std::string Restored(const GgufRowOrder& order, std::string rows) {
  RestoreRowOrder(order, absl::MakeSpan(rows.data(), rows.size()));
  return rows;
}

TEST(GgufRowsTest, NothingMovesByDefault) {
  EXPECT_EQ(Restored({}, "abcdef"), "abcdef");
  EXPECT_EQ(Restored({}, ""), "");
}

TEST(GgufRowsTest, RotaryPairsBecomeHalvesOfEachHead) {
  EXPECT_EQ(Restored(GgufRowOrder::RotaryPairs(2, 4), "aAbBcCdD"), "abABcdCD");
  EXPECT_EQ(Restored(GgufRowOrder::RotaryPairs(1, 6), "aAbBcC"), "abcABC");
  EXPECT_EQ(Restored(GgufRowOrder::RotaryPairs(1, 4), "a0A0b0B0"), "a0b0A0B0");
  EXPECT_EQ(Restored(GgufRowOrder::RotaryPairs(3, 2), "aAbBcC"), "aAbBcC");
}

TEST(GgufRowsTest, QueriesKeysValuesBecomeEachHeadsOwn) {
  EXPECT_EQ(Restored(GgufRowOrder::QueriesKeysValues(2), "qQkKvV"), "qkvQKV");
  EXPECT_EQ(Restored(GgufRowOrder::QueriesKeysValues(2), "qrQRklKLvwVW"), "qrklvwQRKLVW");
  EXPECT_EQ(Restored(GgufRowOrder::QueriesKeysValues(1), "qkv"), "qkv");
}

}  // namespace
}  // namespace heed
