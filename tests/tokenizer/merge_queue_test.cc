#include "model/tokenizer/merge_queue.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace heed {
namespace {

TEST(MergeQueueTest, TakesRanksInOrderAndPositionsFromTheLeft) {
  MergeQueue queue;
  queue.Reset(10);
  queue.Push(7, 1);
  queue.Push(3, 9);
  queue.Push(3, 4);
  queue.Push(7, 0);
  const std::pair<int, int> expected[] = {{3, 4}, {3, 9}, {7, 0}, {7, 1}};
  for (const auto& [rank, position] : expected) {
    const std::optional<MergeQueue::Item> item = queue.Pop();
    ASSERT_TRUE(item.has_value());
    EXPECT_EQ(item->rank, rank);
    EXPECT_EQ(item->position, position);
  }
  EXPECT_FALSE(queue.Pop().has_value());
}

TEST(MergeQueueTest, AgreesWithASetUnderRandomPushesAndPops) {
  uint32_t state = 3;
  const auto random = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return static_cast<int32_t>((state >> 16) % n);
  };
  MergeQueue queue;
  for (int round = 0; round < 50; ++round) {
    queue.Reset(20);  // also over what the last round left
    std::multiset<std::pair<int32_t, int32_t>> expected;
    for (int step = 0; step < 2000; ++step) {
      if (random(3) > 0) {
        const std::pair<int32_t, int32_t> item = {random(20), random(100)};
        queue.Push(item.first, item.second);
        expected.insert(item);
        continue;
      }
      const std::optional<MergeQueue::Item> item = queue.Pop();
      ASSERT_EQ(item.has_value(), !expected.empty());
      if (!item.has_value()) continue;
      ASSERT_EQ(std::make_pair(item->rank, item->position), *expected.begin());
      expected.erase(expected.begin());
    }
  }
}

}  // namespace
}  // namespace heed
