#include "model/base/error.h"

#include <string>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ErrorTest, KeepsCodeMessageReasonAndMetadata) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "model \"x\" is not loaded",
                {{"model", "x"}, {"loaded", "a:b, c"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "model \"x\" is not loaded");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, "MODEL_NOT_FOUND");
  EXPECT_THAT(details.metadata, ElementsAre(Pair("model", "x"), Pair("loaded", "a:b, c")));
  EXPECT_THAT(details.violations, IsEmpty());
}

TEST(ErrorTest, MetadataMayHoldAnyBytes) {
  const std::string bytes("\0\n:12:\xff", 8);
  const absl::Status status =
      MakeError(absl::StatusCode::kInternal, "R", "m", {{bytes, ""}, {"", bytes}});
  EXPECT_THAT(GetErrorDetails(status).metadata, ElementsAre(Pair(bytes, ""), Pair("", bytes)));
}

TEST(ErrorTest, InvalidFieldsListsEveryViolation) {
  const absl::Status status = InvalidFields(
      {{"sampling.top_p", "is 1.5; it must be in (0, 1]"}, {"positions[3]", "is -1"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "sampling.top_p: is 1.5; it must be in (0, 1]; positions[3]: is -1");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, "INVALID_FIELD");
  ASSERT_EQ(details.violations.size(), 2);
  EXPECT_EQ(details.violations[0].field, "sampling.top_p");
  EXPECT_EQ(details.violations[0].description, "is 1.5; it must be in (0, 1]");
  EXPECT_EQ(details.violations[1].field, "positions[3]");
  EXPECT_EQ(details.violations[1].description, "is -1");
}

TEST(ErrorTest, AnnotateKeepsCodeAndDetails) {
  const absl::Status status =
      Annotate(MakeError(absl::StatusCode::kDataLoss, "FILE_CHANGED", "was cut", {{"k", "v"}}),
               "model.safetensors");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.message(), "model.safetensors: was cut");
  EXPECT_EQ(GetErrorDetails(status).reason, "FILE_CHANGED");
  EXPECT_THAT(GetErrorDetails(status).metadata, ElementsAre(Pair("k", "v")));
}

TEST(ErrorTest, AnnotateLeavesOkAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "prefix").ok());
}

TEST(ErrorTest, ForeignStatusIsNamedAfterItsCode) {
  const ErrorDetails details = GetErrorDetails(absl::ResourceExhaustedError("full"));
  EXPECT_EQ(details.reason, "RESOURCE_EXHAUSTED");
  EXPECT_THAT(details.metadata, IsEmpty());
  EXPECT_EQ(GetErrorDetails(absl::OkStatus()).reason, "OK");
}

// Every cut and every changed byte of a payload is either still a payload or counts as none; none
// of them crashes.
TEST(ErrorTest, DamagedPayloadNeverCrashes) {
  const absl::Status status = MakeError(absl::StatusCode::kAborted, "REASON", "m", {{"k", "v"}});
  std::string url;
  std::string bytes;
  status.ForEachPayload([&](absl::string_view u, const absl::Cord& payload) {
    url = std::string(u);
    bytes = std::string(payload);
  });
  ASSERT_FALSE(bytes.empty());
  const auto reason_of = [&url](const std::string& payload) {
    absl::Status damaged(absl::StatusCode::kAborted, "m");
    damaged.SetPayload(url, absl::Cord(payload));
    return GetErrorDetails(damaged).reason;
  };
  EXPECT_EQ(reason_of(bytes), "REASON");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(reason_of(bytes.substr(0, size)), "ABORTED") << size;
  }
  EXPECT_EQ(reason_of(bytes + "0"), "ABORTED");
  EXPECT_EQ(reason_of("6:REASON20:99999999999999999999"), "ABORTED");
  EXPECT_EQ(reason_of("18446744073709551615:x"), "ABORTED");
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      reason_of(flipped);
    }
  }
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  HEED_ASSIGN_OR_RETURN(const int half, Half(value));
  HEED_RETURN_IF_ERROR(Half(half).status());
  return Half(half);
}

TEST(StatusMacrosTest, ReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_EQ(Quarter(3).status().message(), "odd");
}

}  // namespace
}  // namespace heed
