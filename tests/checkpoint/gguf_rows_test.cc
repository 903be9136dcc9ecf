#include "model/checkpoint/gguf_rows.h"

#include <string>

#include "gtest/gtest.h"

namespace heed {
namespace {

// `rows` of a file in the order of the model, put together from runs.
std::string Restored(const GgufRowOrder& order, const std::string& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  std::string restored;
  while (static_cast<int64_t>(restored.size()) < count) {
    const GgufRowRun run = FindRows(order, count, static_cast<int64_t>(restored.size()));
    restored += rows.substr(static_cast<size_t>(run.first), static_cast<size_t>(run.count));
  }
  return restored;
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
