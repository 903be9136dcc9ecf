#include "model/base/ascending.h"

#include <vector>

#include "gtest/gtest.h"

namespace heed {
namespace {

TEST(FindAscendingTest, FindsWhatALookAtEachFinds) {
  for (const std::vector<int>& list : std::vector<std::vector<int>>{
           {}, {3}, {0, 1, 2, 3}, {2, 3, 4, 9}, {0, 5, 6, 7, 20}, {1, 10, 11}}) {
    for (int value = -2; value < 25; ++value) {
      const auto place = std::find(list.begin(), list.end(), value);
      EXPECT_EQ(FindAscending(absl::MakeConstSpan(list), value),
                place == list.end() ? -1 : place - list.begin())
          << value << " among " << list.size();
    }
  }
}

}  // namespace
}  // namespace heed
