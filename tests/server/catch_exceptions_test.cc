#include "server/engine/catch_exceptions.h"

#include <memory>
#include <new>
#include <stdexcept>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using testing::HasSubstr;

TEST(CatchExceptionsTest, WhatWorkReturnsComesBack) {
  EXPECT_TRUE(CatchExceptions([] { return absl::OkStatus(); }).ok());
  EXPECT_EQ(CatchExceptions([] { return absl::AbortedError("no"); }), absl::AbortedError("no"));
  const auto made = CatchExceptions(
      []() -> absl::StatusOr<std::unique_ptr<int>> { return std::make_unique<int>(7); });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(**made, 7);
}

TEST(CatchExceptionsTest, ExceptionsBecomeErrors) {
  const absl::StatusOr<int> out_of_memory =
      CatchExceptions([]() -> absl::StatusOr<int> { throw std::bad_alloc(); });
  EXPECT_TRUE(absl::IsResourceExhausted(out_of_memory.status())) << out_of_memory.status();
  const absl::Status named =
      CatchExceptions([]() -> absl::Status { throw std::runtime_error("a wheel came off"); });
  EXPECT_TRUE(absl::IsInternal(named));
  EXPECT_THAT(named.message(), HasSubstr("a wheel came off"));
  EXPECT_TRUE(absl::IsInternal(CatchExceptions([]() -> absl::Status { throw 7; })));
}

}  // namespace
}  // namespace heed
