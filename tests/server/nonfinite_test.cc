// A model whose weights overflow on one token: the calls that hold it end, the layer is named, and
// nobody else notices.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "model/inspect/nonfinite_finder.h"
#include "tests/base/print_formats.h"
#include "tests/server/scheduler_fixture.h"
#include "tests/transformer/forwarding_checkpoint.h"

namespace heed {
namespace {

using ::testing::HasSubstr;

constexpr TokenId kBad = 200;

// Dimension 0 of the stream says whether the token is the bad one, of which a unit of a layer's
// feed-forward half makes more than a float can hold.
class OverflowingCheckpoint final : public ForwardingCheckpoint {
 public:
  OverflowingCheckpoint(const Checkpoint& checkpoint, int layer)
      : ForwardingCheckpoint(checkpoint), mlp_(absl::StrCat("h.", layer, ".mlp.")) {}

  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override {
    const absl::Status status = ForwardingCheckpoint::ReadRows(name, shape, rows, out);
    const int64_t cols = static_cast<int64_t>(out.size()) / rows.count;
    // The first `count` of a row, if it is among those that were read.
    const auto set = [&](int64_t row, int64_t count, float value) {
      const int64_t place = row - rows.first;
      if (place >= 0 && place < rows.count) std::fill_n(out.begin() + place * cols, count, value);
    };
    if (absl::EndsWith(name, "wte.weight")) set(kBad, 1, 1e4f);
    if (absl::EndsWith(name, "ln_2.weight")) out[0] = 1;
    if (absl::EndsWith(name, mlp_ + "c_fc.weight")) {  // [width, units]
      for (int64_t i = 0; i < config().width; ++i) set(i, 1, i == 0 ? 1e10f : 0);
    }
    if (absl::EndsWith(name, mlp_ + "c_fc.bias")) out[0] = -4e10f;
    if (absl::EndsWith(name, mlp_ + "c_proj.weight")) set(0, cols, 1e30f);  // [units, width]
    return status;
  }

 private:
  const std::string mlp_;
};

class NonfiniteTest : public testing::TestWithParam<WeightFormat> {
 protected:
  void ServeOverflowing(int layer) {
    auto checkpoint =
        OpenHuggingFaceFolder(std::string(HEED_SOURCE_DIR) + "/tests/golden/models/gpt2-f32");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    auto model = LoadLanguageModel(OverflowingCheckpoint(**checkpoint, layer), DefaultBackend(),
                                   {.weights = GetParam()});
    ASSERT_TRUE(model.ok()) << model.status();
    auto served = std::make_shared<ServedModel>();
    served->model = *std::move(model);
    // So few that every page is used again, whatever was left there.
    served->kv_pool = std::make_unique<KvPool>(KvLayout::For(served->model->config()), 6);
    model_.served = std::move(served);
  }

  std::shared_ptr<FakeCall> Started(Scheduler& scheduler, std::shared_ptr<FakeCall> call) {
    EXPECT_TRUE(scheduler.Submit(MakeRequest(call, model_)).ok());
    return call;
  }

  FakeServed model_;
};

TEST_P(NonfiniteTest, OnlyTheCallThatOverflowsEnds) {
  ServeOverflowing(/*layer=*/0);
  Scheduler scheduler({.prefix_cache = false});
  const auto alone = Started(scheduler, MakeCall(20, 6));
  EXPECT_TRUE(alone->Wait().ok()) << alone->status;
  for (int i = 0; i < 3; ++i) {
    const auto bad = MakeCall(30, 2);
    bad->prompt[17] = kBad;
    Started(scheduler, bad);
    const auto good = Started(scheduler, MakeCall(20, 6));
    ExpectError(bad->Wait(), absl::StatusCode::kInternal, "NONFINITE_STATES");
    EXPECT_EQ(Metadata(bad->status, "position"), "17");
    EXPECT_EQ(Metadata(bad->status, "origin"), "layer 0 (mlp_out)");
    EXPECT_TRUE(good->Wait().ok()) << good->status;
    EXPECT_EQ(good->logits, alone->logits);
  }
  EXPECT_EQ(model_.pool().free_pages(), model_.pool().total_pages());
}

TEST_P(NonfiniteTest, TheLayerIsNamed) {
  ServeOverflowing(/*layer=*/1);
  Scheduler scheduler({});
  const auto bad = MakeCall(5, 0);
  bad->prompt[4] = kBad;
  ExpectError(Started(scheduler, bad)->Wait(), absl::StatusCode::kInternal, "NONFINITE_STATES");
  EXPECT_THAT(bad->status.message(), HasSubstr("at position 4, from layer 1 (mlp_out) on"));
}

// Also where nobody wants logits.
TEST_P(NonfiniteTest, APromptThatOnlyRunsEndsToo) {
  ServeOverflowing(/*layer=*/0);
  Scheduler scheduler({.max_step_tokens = 8});
  const auto bad = MakeCall(30, 0);
  bad->prompt[17] = kBad;
  bad->positions = std::vector<int64_t>{};
  ExpectError(Started(scheduler, bad)->Wait(), absl::StatusCode::kInternal, "NONFINITE_STATES");
  EXPECT_EQ(Metadata(bad->status, "position"), "17");
  EXPECT_EQ(Metadata(bad->status, "origin"), "layer 0 (mlp_out)");
  EXPECT_EQ(bad->chunks.size(), 2u);
}

// Behind the last layer's attention nothing is made of a position but for who asks for that.
TEST_P(NonfiniteTest, WhatNobodyAsksForHarmsNobody) {
  ServeOverflowing(/*layer=*/1);
  Scheduler scheduler({.prefix_cache = false});
  for (int64_t position : {17, 18}) {
    const auto bad = MakeCall(30, 0);
    bad->prompt[17] = kBad;
    bad->positions = {position};
    const absl::Status status = Started(scheduler, bad)->Wait();
    if (position == 18) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      ExpectError(status, absl::StatusCode::kInternal, "NONFINITE_STATES");
      EXPECT_EQ(Metadata(bad->status, "origin"), "layer 1 (mlp_out)");
    }
  }
}

// An edit that is too large is the caller's.
TEST_P(NonfiniteTest, AnEditedSequenceEndsAsAWrongRequest) {
  class Overflow : public ForwardEditor {
    bool EditsSite(Site site, int layer) const override {
      return site == Site::kResidualMid && layer == 1;
    }
    void EditSite(Site, int, int64_t, MatrixRef rows) const override {
      rows.Row(0)[0] = std::numeric_limits<float>::infinity();
    }
  };
  ServeOverflowing(/*layer=*/0);
  Scheduler scheduler({});
  Overflow editor;
  const auto call = MakeCall(5, 0);
  EngineRequest request = MakeRequest(call, model_);
  request.plan.editor = &editor;
  ASSERT_TRUE(scheduler.Submit(std::move(request)).ok());
  ExpectError(call->Wait(), absl::StatusCode::kInvalidArgument, "NONFINITE_STATES");
  EXPECT_EQ(Metadata(call->status, "origin"), "layer 1 (residual_mid)");
}

// What one prompt makes of a page must not be seen by another that does not hold the bad token.
TEST_P(NonfiniteTest, SharedPagesCarryNothingOver) {
  ServeOverflowing(/*layer=*/0);
  Scheduler scheduler({});
  const auto alone = Started(scheduler, MakeCall(40, 4));
  EXPECT_TRUE(alone->Wait().ok()) << alone->status;
  const auto bad = MakeCall(40, 4);
  bad->prompt[35] = kBad;
  ExpectError(Started(scheduler, bad)->Wait(), absl::StatusCode::kInternal, "NONFINITE_STATES");
  const auto warm = Started(scheduler, MakeCall(40, 4));
  EXPECT_TRUE(warm->Wait().ok()) << warm->status;
  EXPECT_EQ(warm->timings.cached_tokens, 32);
  EXPECT_EQ(warm->logits, alone->logits);
}

INSTANTIATE_TEST_SUITE_P(Formats, NonfiniteTest,
                         testing::Values(WeightFormat::kF32, WeightFormat::kInt8),
                         [](const auto& format) {
                           return format.param == WeightFormat::kF32 ? "f32" : "int8";
                         });

TEST(NonfiniteFinderTest, FindsTheFirstRowAndStopsLooking) {
  std::vector<float> rows = {1, 2, std::numeric_limits<float>::infinity(), 4, std::nanf(""), 6};
  NonfiniteFinder finder;
  finder.OnSite(Site::kQuery, 0, 10, {rows.data(), 1, 2});
  EXPECT_FALSE(finder.place().has_value());
  EXPECT_TRUE(finder.WantSite(Site::kKey, 0));
  finder.OnSite(Site::kKey, 0, 10, {rows.data(), 3, 2});
  ASSERT_TRUE(finder.place().has_value());
  EXPECT_EQ(finder.place()->site, Site::kKey);
  EXPECT_EQ(finder.place()->position, 11);
  EXPECT_FALSE(finder.WantSite(Site::kValue, 0));
}

}  // namespace
}  // namespace heed
