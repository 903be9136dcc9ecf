// The files that commands write.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/base/npy.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"

namespace heed::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kText[] = "the keys to the cabinet";

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class CliFilesTest : public CliFixture {
 protected:
  CliFilesTest() {
    folder_ = absl::StrCat(::testing::TempDir(), "cli_files_", getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~CliFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

// Expects a .npy file of `shape`, and gives its values.
std::vector<float> ReadNpy(const std::string& path, const std::vector<int64_t>& shape) {
  const std::string bytes = Read(path);
  const std::string header = NpyHeader(shape);
  EXPECT_EQ(bytes.substr(0, header.size()), header);
  if (bytes.size() < header.size()) return {};
  std::vector<float> values((bytes.size() - header.size()) / sizeof(float));
  std::memcpy(values.data(), bytes.data() + header.size(), values.size() * sizeof(float));
  return values;
}

TEST_F(CliFilesTest, AttentionNpyHoldsEveryWeight) {
  const std::string path = folder_ + "/a.npy";
  EXPECT_EQ(Run({"attention", kText, "--npy", path, "--head=1"}), "");
  EXPECT_EQ(result_.err,
            "heed: wrote " + path + " (float32 [2 layers, 1 heads, 5 queries, 5 keys])\n");
  const std::vector<float> weights = ReadNpy(path, {2, 1, 5, 5});
  ASSERT_THAT(weights, SizeIs(2 * 5 * 5));
  // Layer 1, query 4: head 1 there follows the pattern of later keys weighing more.
  EXPECT_EQ(std::vector<float>(weights.end() - 5, weights.end()), testing::FakeRow(3, 4, 5));
}

TEST_F(CliFilesTest, PredictFullWritesLogProbabilities) {
  const std::string path = folder_ + "/p.npy";
  Run({"predict", kText, "--all", "--full=" + path});
  const std::vector<float> values = ReadNpy(path, {5, 4});
  ASSERT_THAT(values, SizeIs(5 * 4));
  EXPECT_THAT(std::vector<float>(values.begin(), values.begin() + 4), ElementsAre(-1, -2, -3, -4));
  // Whatever places were asked for, this model predicts what it has not seen.
  EXPECT_THAT(Run({"predict", kText, "--position=1", "--full=" + path}),
              HasSubstr("perplexity 4.00 over 1 token "));
}

TEST_F(CliFilesTest, AFullDiskIsNamed) {
  for (const char* option : {"--html=/dev/full", "--npy=/dev/full"}) {
    EXPECT_EQ(RunToFail(kExitServerError, {"attention", kText, option}),
              "heed: cannot write /dev/full: No space left on device.\n");
  }
}

TEST_F(CliFilesTest, PredictFullRefusesRowsOfDifferentLengths) {
  server_.script.edit_predict = [](v1::PredictResponse& response) {
    v1::Tensor* tensor = response.mutable_predictions(0)->mutable_log_probabilities();
    tensor->set_shape(0, 3);
    tensor->mutable_data()->resize(12);
  };
  EXPECT_THAT(
      RunToFail(kExitServerError, {"predict", kText, "--all", "--full=" + folder_ + "/p.npy"}),
      HasSubstr("log_probabilities has shape [4]; expected [3]"));
}

TEST_F(CliFilesTest, AttentionHtmlIsOnePage) {
  const std::string path = folder_ + "/a.html";
  Run({"attention", kText, "--html", path});
  EXPECT_THAT(result_.err, HasSubstr("open it in a browser"));
  const std::string page = Read(path);
  EXPECT_THAT(page, HasSubstr(R"("tokens":["the","·keys","·to","·the","·cabinet"])"));
  EXPECT_THAT(page, HasSubstr(R"("first":{"layer":1,"head":0,)"));
}

TEST_F(CliFilesTest, AttentionIsWrittenInTheFormatOfTheName) {
  const std::string path = folder_ + "/a.csv";
  EXPECT_EQ(Run({"attention", kText, "--output", path, "--layer=1", "--head=1"}), "");
  EXPECT_THAT(result_.err, HasSubstr("(CSV [1 layer, 1 head, 5 queries, 5 keys])"));
  const std::string text = Read(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 26);
  EXPECT_THAT(text, HasSubstr("\n1,1,4, cabinet,0,the,"));
}

TEST_F(CliFilesTest, ViewersGetTheirJson) {
  const std::string path = folder_ + "/a.json";
  Run({"attention", kText, "--output", path, "--format=bertviz"});
  EXPECT_EQ(testing::At(ParseJson(Read(path)), "attention.0.right_text.1").string_value(), " keys");
  Run({"attention", kText, "--output", path, "--format=circuitsvis"});
  EXPECT_EQ(testing::At(ParseJson(Read(path)), "attentionHeadNames.3").string_value(), "L1H1");
}

TEST_F(CliFilesTest, APlaceThatCannotBeWrittenIsNamed) {
  const std::string path = folder_ + "/none/a.npy";
  EXPECT_EQ(RunToFail(kExitServerError, {"attention", kText, "--npy", path}),
            "heed: cannot write " + path + ": No such file or directory.\n");
}

TEST_F(CliFilesTest, AHyphenIsTheStandardOutputAndNoNameIsNoFile) {
  EXPECT_THAT(Run({"attention", kText, "--html=-"}), StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(result_.err, "");
  EXPECT_FALSE(std::filesystem::exists("-"));
  EXPECT_EQ(RunToFail(kExitUsage, {"attention", kText, "--html="}),
            "heed: the file to write has no name.\n");
}

TEST_F(CliFilesTest, AFailedWriteLeavesTheOldFile) {
  const std::string path = folder_ + "/a.npy";
  std::ofstream(path) << "old";
  std::filesystem::create_directory(path + ".part");
  RunToFail(kExitServerError, {"attention", kText, "--npy", path});
  EXPECT_EQ(Read(path), "old");
}

// A pipe stands for all that is no plain file: a device of the machine would be lost if this went
// wrong.
TEST_F(CliFilesTest, WhatIsNoPlainFileIsWrittenStraight) {
  const std::string path = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int pipe = open(path.c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(pipe, 0);
  Run({"attention", kText, "--npy", path});
  std::string bytes(4096, '\0');
  const ssize_t count = read(pipe, bytes.data(), bytes.size());
  close(pipe);
  const std::string header = NpyHeader({2, 2, 5, 5});
  ASSERT_EQ(count, static_cast<ssize_t>(header.size() + 2 * 2 * 5 * 5 * sizeof(float)));
  EXPECT_EQ(bytes.substr(0, header.size()), header);
  EXPECT_TRUE(std::filesystem::is_fifo(path));
  const std::string link = folder_ + "/link";  // as /dev/stdout is one
  std::filesystem::create_symlink("file.npy", link);
  Run({"attention", kText, "--npy", link});
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(Read(folder_ + "/file.npy").substr(0, header.size()), header);
}

TEST_F(CliFilesTest, EmbedNpyHoldsTheTextsVectors) {
  const std::string path = folder_ + "/v.npy";
  EXPECT_THAT(Run({"embed", "the keys", "the", "--npy", path}), HasSubstr("cosine similarity"));
  EXPECT_EQ(result_.err, "heed: wrote " + path + " (float32 [2 texts, 3 dimensions])\n");
  EXPECT_THAT(ReadNpy(path, {2, 3}), ElementsAre(0.5, 0.5, 1, 0, 0, 1));
}

}  // namespace
}  // namespace heed::cli
