// Ways to damage a GGUF file, and what is expected then.
#ifndef HEED_TESTS_CHECKPOINT_GGUF_DAMAGE_H_
#define HEED_TESTS_CHECKPOINT_GGUF_DAMAGE_H_

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "model/base/error.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {

inline absl::Status OpenBytes(const std::string& bytes) {
  const TestFolder folder;
  folder.Write("m.gguf", bytes);
  return OpenCheckpoint(folder.File("m.gguf")).status();
}

inline void ExpectRefused(const std::string& bytes, absl::StatusCode code,
                          const std::string& message) {
  const absl::Status status = OpenBytes(bytes);
  EXPECT_THAT(status, IsError(code, message));
  EXPECT_TRUE(absl::StartsWith(GetErrorDetails(status).reason, "CHECKPOINT_")) << status;
}

struct Damage {
  const char* name;
  std::function<void(TestGguf&)> damage;
  absl::StatusCode code;
  std::string message;
};

inline void PrintTo(const Damage& damage, std::ostream* out) {
  *out << damage.name;
}

// Of a tiny model of the architecture.
inline void ExpectDamageRefused(absl::string_view architecture, const Damage& damage) {
  TestGguf file = TinyGguf(architecture);
  ASSERT_THAT(OpenBytes(file.Bytes()), IsOk());
  damage.damage(file);
  ExpectRefused(file.Bytes(), damage.code, damage.message);
}

inline std::function<void(TestGguf&)> Set(std::string key, std::string value) {
  return [=](TestGguf& file) { file.Set(key, value); };
}

inline std::function<void(TestGguf&)> NoKey(std::string key) {
  return [=](TestGguf& file) { file.RemoveKey(key); };
}

inline std::function<void(TestGguf&)> Change(std::string tensor,
                                             std::function<void(TestGgufTensor&)> to) {
  return [=](TestGguf& file) { to(file.Tensor(tensor)); };
}

inline std::function<void(TestGguf&)> Dimensions(std::string tensor,
                                                 std::vector<uint64_t> dimensions) {
  return Change(tensor, [=](TestGgufTensor& t) { t.dimensions = dimensions; });
}

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_GGUF_DAMAGE_H_
