// Spans of positions as callers name them.
#include "model/inspect/selection.h"

#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(SelectionTest, SpansAreTakenInOrderAndEachPositionOnce) {
  SelectionErrors errors;
  EXPECT_THAT(ResolveSpans("spans", {{6, 8}, {0, 2}, {-3}, {1, 3}, {6, 7}}, 9, &errors),
              ElementsAre(0, 1, 2, 6, 7, 8));
  EXPECT_THAT(ResolveSpans("spans", {}, 9, &errors), IsEmpty());
  EXPECT_TRUE(errors.ToStatus().ok()) << errors.ToStatus();
}

TEST(SelectionTest, OverlappingSpansTakeNoMoreMemoryThanTheirPositions) {
  SelectionErrors errors;
  const std::vector<PositionSpan> spans(20000);
  const std::vector<int64_t> positions = ResolveSpans("spans", spans, 500, &errors);
  EXPECT_THAT(positions, SizeIs(500));
  EXPECT_LE(positions.capacity(), 1000u);
}

TEST(SelectionTest, AWrongSpanHasNoPositions) {
  SelectionErrors errors;
  EXPECT_THAT(ResolveSpans("spans", {{0, 10}, {2, 4}, {4, 3}}, 9, &errors), ElementsAre(2, 3));
  EXPECT_EQ(errors.count(), 2);
}

}  // namespace
}  // namespace heed
