#include "server/port_file.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using testing::EndsWith;

class PortFileTest : public testing::Test {
 protected:
  PortFileTest() : dir_(fs::path(testing::TempDir()) / absl::StrCat("port_file_", getpid())) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~PortFileTest() override { fs::remove_all(dir_); }

  std::string Path(const std::string& name) const { return (dir_ / name).string(); }

  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const fs::path dir_;
};

TEST_F(PortFileTest, IsWrittenWhole) {
  EXPECT_TRUE(CheckPortFile(Path("port")).ok());
  EXPECT_TRUE(fs::is_empty(dir_));
  EXPECT_TRUE(WritePortFile(Path("port"), 1234).ok());
  EXPECT_TRUE(WritePortFile(Path("port"), 56).ok());
  EXPECT_EQ(Read(Path("port")), "56\n");
  EXPECT_FALSE(fs::exists(Path("port.tmp")));
  EXPECT_TRUE(CheckPortFile("").ok());
  EXPECT_TRUE(WritePortFile("", 1).ok());
}

TEST_F(PortFileTest, TheReasonIsSaidBeforeTheServerStarts) {
  const auto refusal = [](const std::string& path) {
    return std::string(CheckPortFile(path).message());
  };
  EXPECT_THAT(refusal(dir_.string()),
              EndsWith(dir_.string() + ": it is a folder; it must be the path of a file"));
  EXPECT_THAT(refusal(Path("none/port")), EndsWith("none/port: No such file or directory"));
  EXPECT_THAT(refusal("/dev/null/port"), EndsWith("/port: Not a directory"));
}

// A name that is not a file's must not become one, which root could bring about in /dev.
TEST_F(PortFileTest, LinksAndDevicesStayWhatTheyAre) {
  fs::create_symlink("target", Path("link"));
  EXPECT_TRUE(CheckPortFile(Path("link")).ok());
  EXPECT_TRUE(WritePortFile(Path("link"), 1234).ok());
  EXPECT_TRUE(fs::is_symlink(Path("link")));
  EXPECT_EQ(Read(Path("target")), "1234\n");
  fs::create_symlink("/dev/full", Path("full"));
  EXPECT_THAT(std::string(WritePortFile(Path("full"), 1).message()),
              EndsWith("full: No space left on device"));
}

}  // namespace
}  // namespace heed
