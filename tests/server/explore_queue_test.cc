// Requests that wait: the newest part wins, every request is accounted for.
#include "server/inspect/explore_queue.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

v1::ExploreRequest Edits(const std::string& name) {
  v1::ExploreRequest request;
  request.mutable_edits()->set_name(name);
  return request;
}

v1::ExploreRequest Hover(int layer) {
  v1::ExploreRequest request;
  request.mutable_hover()->set_layer(layer);
  return request;
}

absl::Time At(int second) {
  return absl::FromUnixSeconds(second);
}

TEST(ExploreQueueTest, ANewerPartReplacesAnOlderOne) {
  ExploreQueue queue;
  EXPECT_TRUE(queue.empty());
  ASSERT_TRUE(queue.Push(Edits("a"), At(1)).ok());
  ASSERT_TRUE(queue.Push(Hover(1), At(2)).ok());
  v1::ExploreRequest both = Edits("b");
  both.mutable_watch();
  ASSERT_TRUE(queue.Push(both, At(3)).ok());
  ASSERT_TRUE(queue.Push(Edits("c"), At(4)).ok());
  EXPECT_FALSE(queue.empty());
  ExploreQueue::Batch batch = queue.Take();
  EXPECT_TRUE(queue.empty());
  EXPECT_THAT(batch.skipped, ElementsAre(1));
  EXPECT_EQ(batch.arrived, At(1));
  ASSERT_THAT(batch.requests, SizeIs(3));
  EXPECT_EQ(batch.requests[0].sequence(), 2);
  EXPECT_EQ(batch.requests[0].hover().layer(), 1);
  EXPECT_EQ(batch.requests[1].sequence(), 3);
  EXPECT_TRUE(batch.requests[1].has_watch());
  EXPECT_FALSE(batch.requests[1].has_edits());
  EXPECT_EQ(batch.requests[2].edits().name(), "c");

  // What was taken is not replaced any more.
  ASSERT_TRUE(queue.Push(Edits("d"), At(5)).ok());
  batch = queue.Take();
  EXPECT_THAT(batch.skipped, IsEmpty());
  EXPECT_EQ(batch.arrived, At(5));
  EXPECT_EQ(batch.requests[0].sequence(), 5);
}

TEST(ExploreQueueTest, WhatIsWrongStaysToBeAnswered) {
  ExploreQueue queue;
  ASSERT_TRUE(queue.Push({}, At(1)).ok());
  v1::ExploreRequest open = Edits("a");
  open.mutable_open();
  ASSERT_TRUE(queue.Push(open, At(1)).ok());
  ASSERT_TRUE(queue.Push(Edits("b"), At(1)).ok());
  const ExploreQueue::Batch batch = queue.Take();
  EXPECT_THAT(batch.skipped, IsEmpty());
  ASSERT_THAT(batch.requests, SizeIs(3));
  EXPECT_TRUE(batch.requests[1].has_open());
}

TEST(ExploreQueueTest, WhatWaitsIsAllThatAnEditHasReadAgain) {
  ExploreQueue queue;
  v1::ExploreRequest first = Hover(1);
  first.mutable_open();
  first.mutable_watch()->set_top_k(7);
  ASSERT_TRUE(queue.Push(first, At(1)).ok());
  EXPECT_TRUE(queue.Waiting().has_open());
  EXPECT_EQ(queue.Waiting().watch().top_k(), 7);
  queue.Take();
  ASSERT_TRUE(queue.Push(Hover(2), At(2)).ok());
  const v1::ExploreRequest look = queue.Waiting();
  EXPECT_EQ(look.hover().layer(), 2);
  EXPECT_FALSE(look.has_open() || look.has_watch() || look.has_edits());
  ASSERT_TRUE(queue.Push(Edits("a"), At(3)).ok());
  const v1::ExploreRequest edit = queue.Waiting();
  EXPECT_TRUE(edit.has_edits());
  EXPECT_EQ(edit.watch().top_k(), 7);
  EXPECT_EQ(edit.hover().layer(), 2);
  EXPECT_FALSE(edit.has_open());
}

TEST(ExploreQueueTest, NumbersRise) {
  ExploreQueue queue;
  v1::ExploreRequest request = Hover(0);
  const auto push = [&](int64_t sequence) {
    request.set_sequence(sequence);
    return queue.Push(request, At(0));
  };
  EXPECT_TRUE(push(5).ok());
  EXPECT_EQ(push(5).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push(-1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(push(0).ok());
  EXPECT_EQ(queue.Take().requests[0].sequence(), 6);
  EXPECT_TRUE(push(std::numeric_limits<int64_t>::max()).ok());
  EXPECT_FALSE(push(0).ok());
}

TEST(ExploreQueueTest, IsFullAtSomePoint) {
  ExploreQueue queue;
  for (size_t i = 0; i < ExploreQueue::kMaxWaiting; ++i) {
    EXPECT_FALSE(queue.full());
    ASSERT_TRUE(queue.Push(Hover(0), At(0)).ok());
  }
  EXPECT_TRUE(queue.full());
  EXPECT_THAT(queue.Take().skipped, SizeIs(ExploreQueue::kMaxWaiting - 1));
  EXPECT_FALSE(queue.full());
}

}  // namespace
}  // namespace heed
