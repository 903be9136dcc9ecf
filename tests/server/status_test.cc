#include "server/calls/status.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/base/utf8.h"

namespace heed {
namespace {

using testing::EndsWith;

google::rpc::Status RichStatus(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

template <typename T>
std::optional<T> Detail(const grpc::Status& status) {
  const google::rpc::Status rich = RichStatus(status);
  for (const google::protobuf::Any& any : rich.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

TEST(StatusTest, OkStaysOkWithoutDetails) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(ToGrpcStatus(absl::OkStatus()).error_details(), "");
}

TEST(StatusTest, EveryCodeKeepsItsNumberAndHasAReason) {
  for (int code = 1; code <= 16; ++code) {
    const grpc::Status status =
        ToGrpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "why"));
    EXPECT_EQ(static_cast<int>(status.error_code()), code);
    EXPECT_EQ(status.error_message(), "why");
    EXPECT_EQ(RichStatus(status).code(), code);
    EXPECT_EQ(RichStatus(status).message(), "why");
    const auto info = Detail<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value()) << code;
    EXPECT_EQ(info->domain(), "heed");
    EXPECT_FALSE(info->reason().empty());
  }
}

TEST(StatusTest, ReasonAndMetadataBecomeErrorInfo) {
  const grpc::Status status =
      ToGrpcStatus(MakeError(absl::StatusCode::kFailedPrecondition, "TOO_LONG", "too long",
                             {{"has", "5"}, {"takes", "4"}}));
  const auto info = Detail<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason(), "TOO_LONG");
  EXPECT_EQ(info->metadata().size(), 2u);
  EXPECT_EQ(info->metadata().at("has"), "5");
  EXPECT_FALSE(Detail<google::rpc::BadRequest>(status).has_value());
  EXPECT_FALSE(Detail<google::rpc::RetryInfo>(status).has_value());
}

TEST(StatusTest, ViolationsBecomeBadRequest) {
  const grpc::Status status = ToGrpcStatus(InvalidFields({{"a.b", "is 1"}, {"c[2]", "is 2"}}));
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  const auto bad_request = Detail<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad_request.has_value());
  ASSERT_EQ(bad_request->field_violations_size(), 2);
  EXPECT_EQ(bad_request->field_violations(0).field(), "a.b");
  EXPECT_EQ(bad_request->field_violations(1).description(), "is 2");
}

TEST(StatusTest, AFieldInTheMetadataBecomesAViolation) {
  const grpc::Status status = ToGrpcStatus(MakeError(absl::StatusCode::kOutOfRange, "POSITION",
                                                     "position 9", {{"field", "queries[0]"}}));
  const auto bad_request = Detail<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad_request.has_value());
  EXPECT_EQ(bad_request->field_violations(0).field(), "queries[0]");
  EXPECT_EQ(bad_request->field_violations(0).description(), "position 9");
}

TEST(StatusTest, AFullQueueSaysWhenToRetry) {
  const auto retry = Detail<google::rpc::RetryInfo>(
      ToGrpcStatus(MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "full")));
  ASSERT_TRUE(retry.has_value());
  EXPECT_GT(retry->retry_delay().nanos(), 0);
}

TEST(StatusTest, ALongMessageIsCutAtACharacter) {
  for (size_t shift = 0; shift < 4; ++shift) {
    std::string message(shift, 'x');
    for (int i = 0; i < 600; ++i) message += "\xe2\x82\xac";
    const grpc::Status status = ToGrpcStatus(absl::InternalError(message));
    EXPECT_LE(status.error_message().size(), kMaxErrorMessageBytes);
    EXPECT_GE(status.error_message().size(), kMaxErrorMessageBytes - 4);
    EXPECT_TRUE(IsValidUtf8(status.error_message()));
    EXPECT_THAT(status.error_message(), EndsWith("..."));
  }
  const std::string fits(kMaxErrorMessageBytes, 'x');
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(fits)).error_message(), fits);
}

TEST(StatusTest, BytesThatAreNotUtf8AreReplaced) {
  const grpc::Status status =
      ToGrpcStatus(MakeError(absl::StatusCode::kNotFound, "R", "a\xff", {{"k\xff", "v\xff"}}));
  EXPECT_EQ(status.error_message(), "a\xef\xbf\xbd");
  EXPECT_TRUE(Detail<google::rpc::ErrorInfo>(status).has_value());
  const grpc::Status worst = ToGrpcStatus(absl::InternalError(std::string(1024, '\xff')));
  EXPECT_LE(worst.error_message().size(), kMaxErrorMessageBytes);
}

// What is sent must fit the 8 KiB of metadata that a gRPC client takes, or it sees nothing of it.
TEST(StatusTest, DetailsAreBoundedAndKeepTheReason) {
  std::vector<FieldViolation> violations;
  for (int i = 0; i < 100; ++i) violations.push_back({absl::StrCat("f", i), std::string(500, 'd')});
  std::vector<std::pair<std::string, std::string>> metadata;
  for (int i = 0; i < 100; ++i) metadata.push_back({absl::StrCat("k", i), std::string(500, 'v')});
  for (const absl::Status& error :
       {InvalidFields(violations),
        MakeError(absl::StatusCode::kInternal, "REASON", std::string(5000, 'm'), metadata)}) {
    const grpc::Status status = ToGrpcStatus(error);
    EXPECT_LE(status.error_details().size(), kMaxErrorDetailsBytes);
    const auto info = Detail<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info.has_value());
    EXPECT_FALSE(info->reason().empty());
  }
  const auto bad_request = Detail<google::rpc::BadRequest>(ToGrpcStatus(InvalidFields(violations)));
  ASSERT_TRUE(bad_request.has_value());
  EXPECT_EQ(bad_request->field_violations(0).field(), "f0");
}

}  // namespace
}  // namespace heed
