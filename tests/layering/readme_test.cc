// What the README shows is what the tests compile.
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

std::string ReadFromRoot(const std::string& path) {
  std::ifstream file(absl::StrCat(HEED_SOURCE_DIR, "/", path), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReadmeTest, ShowsTheProgramThatTheInstallTestBuilds) {
  const std::string readme = ReadFromRoot("README.md");
  for (const char* path :
       {"tests/client/consumer/main.cc", "tests/client/consumer/CMakeLists.txt"}) {
    const std::string shown = ReadFromRoot(path);
    ASSERT_FALSE(shown.empty()) << path;
    EXPECT_THAT(readme, testing::HasSubstr(absl::StrCat("\n", shown, "```"))) << path;
  }
}

}  // namespace
}  // namespace heed
