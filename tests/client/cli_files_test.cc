// The files that commands write.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "client/cli/npy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_command.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;

constexpr char kText[] = "the keys to the cabinet";

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class CliFilesTest : public ::testing::Test {
 protected:
  CliFilesTest() {
    folder_ = ::testing::TempDir() + "/" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~CliFilesTest() override { std::filesystem::remove_all(folder_); }

  FakeServer server_;
  std::string folder_;
};

TEST_F(CliFilesTest, AttentionNpyHoldsEveryWeight) {
  const std::string path = folder_ + "/a.npy";
  const CommandResult result =
      RunCommand(server_.address(), {"attention", kText, "--npy", path, "--head=1"});
  ASSERT_EQ(result.exit_code, kExitDone) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "heed: wrote " + path + " (float32 [2 layers, 1 heads, 5 queries, 5 keys])\n");
  const std::string bytes = Read(path);
  const std::string header = NpyHeader({2, 1, 5, 5});
  ASSERT_EQ(bytes.size(), header.size() + 2 * 5 * 5 * 4);
  EXPECT_EQ(bytes.substr(0, header.size()), header);
  // Layer 1, query 4: head 1 there follows the pattern of later keys weighing more.
  std::vector<float> row(5);
  std::memcpy(row.data(), bytes.data() + bytes.size() - 20, 20);
  EXPECT_EQ(row, testing::FakeRow(3, 4, 5));
}

TEST_F(CliFilesTest, PredictFullWritesLogProbabilities) {
  const std::string path = folder_ + "/p.npy";
  const CommandResult result =
      RunCommand(server_.address(), {"predict", kText, "--all", "--full=" + path});
  ASSERT_EQ(result.exit_code, kExitDone) << result.err;
  const std::string header = NpyHeader({5, 4});
  const std::string bytes = Read(path);
  ASSERT_EQ(bytes.size(), header.size() + 5 * 4 * 4);
  std::vector<float> row(4);
  std::memcpy(row.data(), bytes.data() + header.size(), 16);
  EXPECT_THAT(row, ElementsAre(-1, -2, -3, -4));
}

TEST_F(CliFilesTest, PredictFullRefusesRowsOfDifferentLengths) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    v1::Tensor* tensor = response.mutable_predictions(0)->mutable_log_probabilities();
    tensor->set_shape(0, 3);
    tensor->mutable_data()->resize(12);
  };
  const CommandResult result =
      RunCommand(server_.address(), {"predict", kText, "--all", "--full=" + folder_ + "/p.npy"});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_THAT(result.err, HasSubstr("different lengths"));
}

TEST_F(CliFilesTest, AttentionHtmlIsOnePage) {
  const std::string path = folder_ + "/a.html";
  const CommandResult result = RunCommand(server_.address(), {"attention", kText, "--html", path});
  ASSERT_EQ(result.exit_code, kExitDone) << result.err;
  EXPECT_THAT(result.err, HasSubstr("open it in a browser"));
  const std::string page = Read(path);
  EXPECT_THAT(page, HasSubstr(R"("tokens":["the","·keys","·to","·the","·cabinet"])"));
  EXPECT_THAT(page, HasSubstr(R"("first":{"layer":1,"head":0,)"));
}

TEST_F(CliFilesTest, APlaceThatCannotBeWrittenIsNamed) {
  const std::string path = folder_ + "/none/a.npy";
  const CommandResult result = RunCommand(server_.address(), {"attention", kText, "--npy", path});
  EXPECT_EQ(result.exit_code, kExitServerError);
  EXPECT_EQ(result.err, "heed: cannot write " + path + ": No such file or directory.\n");
}

TEST_F(CliFilesTest, AFailedWriteLeavesTheOldFile) {
  const std::string path = folder_ + "/a.npy";
  std::ofstream(path) << "old";
  std::filesystem::create_directory(path + ".part");
  EXPECT_EQ(RunCommand(server_.address(), {"attention", kText, "--npy", path}).exit_code,
            kExitServerError);
  EXPECT_EQ(Read(path), "old");
}

TEST_F(CliFilesTest, ADeviceIsWrittenStraight) {
  const CommandResult result =
      RunCommand(server_.address(), {"attention", kText, "--npy=/dev/null"});
  EXPECT_EQ(result.exit_code, kExitDone) << result.err;
}

}  // namespace
}  // namespace heed::cli
