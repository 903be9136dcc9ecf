// Requests that wait: the newest part wins, every request is accounted for.
#include "server/inspect/explore_queue.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/convert_testing.h"

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
  ASSERT_TRUE(queue.Push({Edits("a")}, At(1)).ok());
  ASSERT_TRUE(queue.Push({Hover(1)}, At(2)).ok());
  v1::ExploreRequest both = Edits("b");
  both.mutable_watch();
  ASSERT_TRUE(queue.Push({both}, At(3)).ok());
  ASSERT_TRUE(queue.Push({Edits("c")}, At(4)).ok());
  EXPECT_FALSE(queue.empty());
  ExploreQueue::Batch batch = queue.Take();
  EXPECT_TRUE(queue.empty());
  EXPECT_THAT(batch.skipped, ElementsAre(1));
  EXPECT_EQ(batch.arrived, At(1));
  ASSERT_THAT(batch.requests, SizeIs(3));
  EXPECT_EQ(batch.requests[0].request.sequence(), 2);
  EXPECT_EQ(batch.requests[0].request.hover().layer(), 1);
  EXPECT_EQ(batch.requests[1].request.sequence(), 3);
  EXPECT_TRUE(batch.requests[1].request.has_watch());
  EXPECT_FALSE(batch.requests[1].request.has_edits());
  EXPECT_EQ(batch.requests[2].request.edits().name(), "c");

  // What was taken is not replaced any more.
  ASSERT_TRUE(queue.Push({Edits("d")}, At(5)).ok());
  batch = queue.Take();
  EXPECT_THAT(batch.skipped, IsEmpty());
  EXPECT_EQ(batch.arrived, At(5));
  EXPECT_EQ(batch.requests[0].request.sequence(), 5);
}

TEST(ExploreQueueTest, OfWhatIsWrongOnlyTheErrorWaits) {
  v1::ExploreRequest open = Edits("b");
  open.mutable_open()->mutable_prompt()->set_text("the");
  open.set_sequence(7);
  v1::ExploreRequest many = Hover(1);
  for (int i = 0; i < 65; ++i) many.mutable_hover()->add_tokens();
  v1::ExploreRequest rows;
  for (const int count : {32768, 32769}) {
    rows.mutable_watch()->add_rows()->mutable_heads()->Resize(count, 0);
  }
  ExploreQueue queue;
  ASSERT_TRUE(queue.Push(ExploreQueue::EntryOf(Edits("a"), false), At(1)).ok());
  for (const v1::ExploreRequest& wrong : {open, v1::ExploreRequest(), many, rows}) {
    ASSERT_TRUE(queue.Push(ExploreQueue::EntryOf(wrong, false), At(1)).ok());
  }
  const ExploreQueue::Batch batch = queue.Take();
  EXPECT_THAT(batch.skipped, IsEmpty());  // an edit that is wrong replaces none
  ASSERT_THAT(batch.requests, SizeIs(5));
  EXPECT_TRUE(batch.requests[0].error.ok());
  EXPECT_EQ(batch.requests[0].request.edits().name(), "a");
  const char* const fields[] = {"open", "edits", "hover.tokens", "watch.rows"};
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(WrongFields(batch.requests[i + 1].error), ElementsAre(fields[i]));
    v1::ExploreRequest number;
    number.set_sequence(7 + i);
    EXPECT_EQ(batch.requests[i + 1].request.SerializeAsString(), number.SerializeAsString());
  }
}

TEST(ExploreQueueTest, FieldsThatSayNothingDoNotWait) {
  v1::ExploreRequest first;
  first.mutable_open()->set_model("llama");
  const std::string known = first.SerializeAsString();
  first.GetReflection()->MutableUnknownFields(&first)->AddLengthDelimited(99, "?");
  auto& open = *first.mutable_open();
  open.GetReflection()->MutableUnknownFields(&open)->AddLengthDelimited(99, "?");
  ASSERT_NE(first.SerializeAsString(), known);
  const ExploreQueue::Entry entry = ExploreQueue::EntryOf(first, true);
  EXPECT_TRUE(entry.error.ok());
  EXPECT_EQ(entry.request.SerializeAsString(), known);

  v1::ExploreRequest off;
  off.mutable_hover()->set_off(true);
  const std::string short_off = off.SerializeAsString();
  for (int i = 0; i < 65; ++i) off.mutable_hover()->add_tokens();
  const ExploreQueue::Entry hover = ExploreQueue::EntryOf(off, false);
  EXPECT_TRUE(hover.error.ok());
  EXPECT_EQ(hover.request.SerializeAsString(), short_off);
}

TEST(ExploreQueueTest, WhatWaitsIsAllThatAnEditHasReadAgain) {
  ExploreQueue queue;
  v1::ExploreRequest first = Hover(1);
  first.mutable_open();
  first.mutable_watch()->set_top_k(7);
  ASSERT_TRUE(queue.Push({first}, At(1)).ok());
  EXPECT_TRUE(queue.Waiting().has_open());
  EXPECT_EQ(queue.Waiting().watch().top_k(), 7);
  queue.Take();
  ASSERT_TRUE(queue.Push({Hover(2)}, At(2)).ok());
  const v1::ExploreRequest look = queue.Waiting();
  EXPECT_EQ(look.hover().layer(), 2);
  EXPECT_FALSE(look.has_open() || look.has_watch() || look.has_edits());
  ASSERT_TRUE(queue.Push({Edits("a")}, At(3)).ok());
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
    return queue.Push({request}, At(0));
  };
  EXPECT_TRUE(push(5).ok());
  EXPECT_EQ(push(5).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(push(-1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(push(0).ok());
  EXPECT_EQ(queue.Take().requests[0].request.sequence(), 6);
  EXPECT_TRUE(push(std::numeric_limits<int64_t>::max()).ok());
  EXPECT_FALSE(push(0).ok());
}

TEST(ExploreQueueTest, IsFullAtSomePoint) {
  ExploreQueue queue;
  for (size_t i = 0; i < ExploreQueue::kMaxWaiting; ++i) {
    EXPECT_FALSE(queue.full());
    ASSERT_TRUE(queue.Push({Hover(0)}, At(0)).ok());
  }
  EXPECT_TRUE(queue.full());
  EXPECT_THAT(queue.Take().skipped, SizeIs(ExploreQueue::kMaxWaiting - 1));
  EXPECT_FALSE(queue.full());
}

}  // namespace
}  // namespace heed
