// What tests of conversions share.
#ifndef HEED_TESTS_SERVER_CONVERT_TESTING_H_
#define HEED_TESTS_SERVER_CONVERT_TESTING_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "model/base/error.h"

namespace heed {

// A message in protobuf's text format.
template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// The fields that a status says are wrong.
inline std::vector<std::string> WrongFields(const absl::Status& status) {
  std::vector<std::string> fields;
  for (const FieldViolation& violation : GetErrorDetails(status).violations) {
    fields.push_back(violation.field);
  }
  return fields;
}

inline std::string Repeat(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) absl::StrAppend(&repeated, text, " ");
  return repeated;
}

}  // namespace heed

#endif  // HEED_TESTS_SERVER_CONVERT_TESTING_H_
