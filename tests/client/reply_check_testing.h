// Replies that a test damages, and what is to be said of them.
#ifndef HEED_TESTS_CLIENT_REPLY_CHECK_TESTING_H_
#define HEED_TESTS_CLIENT_REPLY_CHECK_TESTING_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_answers.h"

namespace heed::testing {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline void ExpectBroken(const absl::Status& status, const std::string& what) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << "not found: " << what;
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("the server's answer is broken: "));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(what));
}

inline void AddTokens(int count, v1::PromptInfo* prompt) {
  for (int i = 0; i < count; ++i) prompt->add_tokens()->set_id(i);
}

inline void Fill(const std::vector<int64_t>& shape, v1::Tensor* tensor) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  tensor->Clear();
  FillTensor(std::vector<float>(static_cast<size_t>(count), 0.25f), shape, tensor);
}

inline void Set(int index, float value, v1::Tensor* tensor) {
  tensor->mutable_data()->replace(
      static_cast<size_t>(index) * sizeof(float), sizeof(float),
      std::string(reinterpret_cast<const char*>(&value), sizeof(float)));
}

}  // namespace heed::testing

#endif  // HEED_TESTS_CLIENT_REPLY_CHECK_TESTING_H_
