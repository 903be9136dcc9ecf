// Answers in parts, of a server whose replies have room for a few rows.
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/request/rows.h"
#include "client/error.h"
#include "client/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_answers.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// Of a prompt of 10 tokens, the rows of a request as numbers 100 * row, 100 * row + 1, ...
class SmallReplies {
 public:
  static constexpr int64_t kTokens = 10, kLimit = 4 * 33;  // three rows

  absl::StatusOr<v1::RolloutResponse> operator()(const v1::RolloutRequest& request) {
    asked.emplace_back(request.queries().begin(), request.queries().end());
    const std::vector<int64_t> rows = RowsOf(request.queries(), kTokens);
    const auto bytes = static_cast<int64_t>(rows.size()) * kTokens * 4;
    if (bytes > kLimit) {
      return FromGrpcStatus(testing::HeedError(
          grpc::RESOURCE_EXHAUSTED, "too much", "REPLY_TOO_LARGE",
          {{"requested_bytes", absl::StrCat(bytes)}, {"limit_bytes", absl::StrCat(kLimit)}}));
    }
    v1::RolloutResponse answer;
    for (int i = 0; i < tokens; ++i) answer.mutable_prompt()->add_tokens();
    if (asked.size() == change_after) tokens = 9;
    answer.mutable_weights()->add_shape(static_cast<int64_t>(rows.size()));
    answer.mutable_weights()->add_shape(kTokens);
    for (int64_t row : rows) {
      answer.add_queries(row);
      std::vector<float> values(kTokens);
      std::iota(values.begin(), values.end(), static_cast<float>(100 * row));
      answer.mutable_weights()->mutable_data()->append(reinterpret_cast<const char*>(values.data()),
                                                       values.size() * sizeof(float));
    }
    return answer;
  }

  std::vector<std::vector<int64_t>> asked;
  size_t change_after = 0;  // calls until the prompt has another length
  int tokens = kTokens;
};

absl::StatusOr<int64_t> TenTokens() {
  return SmallReplies::kTokens;
}

TEST(CliRowsTest, WhatFitsIsAskedForOnce) {
  SmallReplies server;
  v1::RolloutRequest request;
  for (int64_t row : {4, -1, 2}) request.add_queries(row);
  const auto count = []() -> absl::StatusOr<int64_t> { return absl::InternalError("not asked"); };
  const auto answer = AskForRows(request, std::ref(server), count);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(answer->queries(), ElementsAre(2, 4, 9));
  EXPECT_THAT(server.asked, SizeIs(1));
}

TEST(CliRowsTest, MoreComesInPartsInOrder) {
  SmallReplies server;
  v1::RolloutRequest request;
  for (int64_t row : {7, -1, 2, 0, 2, 5}) request.add_queries(row);
  const auto answer = AskForRows(request, std::ref(server), TenTokens);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_THAT(server.asked, ElementsAre(SizeIs(6), ElementsAre(0, 2, 5), ElementsAre(7, 9)));
  EXPECT_THAT(answer->queries(), ElementsAre(0, 2, 5, 7, 9));
  EXPECT_THAT(answer->weights().shape(), ElementsAre(5, 10));
  request.clear_queries();
  server.asked.clear();
  const auto all = AskForRows(request, std::ref(server), TenTokens);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(server.asked, SizeIs(5));
  EXPECT_THAT(all->weights().shape(), ElementsAre(10, 10));
  const auto* const data = reinterpret_cast<const float*>(all->weights().data().data());
  ASSERT_EQ(all->weights().data().size(), 400u);
  for (int row = 0; row < 10; ++row) {
    EXPECT_EQ(data[row * 10 + 3], static_cast<float>(100 * row + 3));
  }
}

TEST(CliRowsTest, PartsOfDifferentPromptsAreAnError) {
  SmallReplies server;
  server.change_after = 2;
  EXPECT_EQ(AskForRows(v1::RolloutRequest(), std::ref(server), TenTokens).status().code(),
            absl::StatusCode::kInternal);
}

TEST(CliRowsTest, OtherErrorsAreHandedOn) {
  const auto refuse = [](const v1::RolloutRequest&) -> absl::StatusOr<v1::RolloutResponse> {
    return absl::ResourceExhaustedError("busy");
  };
  const auto answer = AskForRows(v1::RolloutRequest(), refuse, TenTokens);
  EXPECT_EQ(answer.status(), absl::ResourceExhaustedError("busy"));
  // Of a row that fits into no reply, one is asked for, and the refusal is handed on.
  EXPECT_EQ(RowsThatFit(absl::OkStatus(), 5), 0);
  // What a run takes is no less for fewer rows.
  const auto quota =
      FromGrpcStatus(testing::HeedError(grpc::RESOURCE_EXHAUSTED, "no room", "TRACE_QUOTA",
                                        {{"requested_bytes", "100"}, {"limit_bytes", "50"}}));
  EXPECT_EQ(RowsThatFit(quota, 5), 0);
  const auto huge =
      FromGrpcStatus(testing::HeedError(grpc::RESOURCE_EXHAUSTED, "too much", "REPLY_TOO_LARGE",
                                        {{"requested_bytes", "1000000"}, {"limit_bytes", "10"}}));
  EXPECT_EQ(RowsThatFit(huge, 5), 1);
  int asked = 0;
  const auto always = [&](const v1::RolloutRequest&) -> absl::StatusOr<v1::RolloutResponse> {
    ++asked;
    return huge;
  };
  EXPECT_EQ(AskForRows(v1::RolloutRequest(), always, TenTokens).status(), huge);
  EXPECT_EQ(asked, 2);
}

TEST(CliRowsTest, PartsOfADecompositionAreOneAnswer) {
  v1::DecomposeAttentionResponse first, second;
  for (auto* part : {&first, &second}) {
    part->add_queries(part == &first ? 1 : 4);
    part->mutable_norms()->add_shape(1);
    part->mutable_norms()->add_shape(2);
    part->mutable_norms()->set_data(part == &first ? "12345678" : "abcdefgh");
    part->mutable_timings()->mutable_compute()->set_nanos(600'000'000);
    part->mutable_mixing_ratios()->add_shape(1);
    part->mutable_mixing_ratios()->set_data(part == &first ? "1234" : "abcd");
  }
  AppendRows(second, &first);
  EXPECT_THAT(first.queries(), ElementsAre(1, 4));
  EXPECT_EQ(first.timings().compute().seconds(), 1);
  EXPECT_EQ(first.timings().compute().nanos(), 200'000'000);
  EXPECT_THAT(first.norms().shape(), ElementsAre(2, 2));
  EXPECT_EQ(first.norms().data(), "12345678abcdefgh");
  EXPECT_THAT(first.mixing_ratios().shape(), ElementsAre(2));
  EXPECT_EQ(first.mixing_ratios().data(), "1234abcd");
}

}  // namespace
}  // namespace heed::cli
