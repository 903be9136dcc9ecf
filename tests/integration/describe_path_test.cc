// heed describe PATH by the real programs: which words are paths, who answers, and the exit codes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/integration/eventually.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kNobody[] = "127.0.0.1:1";

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// The same file under another path; a copy where that is on another disk.
void Place(const std::string& program, const fs::path& path) {
  fs::create_directories(path.parent_path());
  std::error_code error;
  fs::create_hard_link(program, path, error);
  if (error) fs::copy_file(program, path);
}

// A folder with bin/heed, bin/heed-server, models, alone/heed, and the two as a build leaves them.
class DescribePathTest : public testing::Test {
 protected:
  void SetUp() override {
    Place(HEED_CLI, folder_.File("bin/heed"));
    Place(HEED_SERVER, folder_.File("bin/heed-server"));
    Place(HEED_CLI, folder_.File("alone/heed"));
    Place(HEED_CLI, folder_.File("build/client/cli/heed"));
    Place(HEED_SERVER, folder_.File("build/server/heed-server"));
    const std::string goldens = absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/");
    fs::copy(goldens + "models/llama-gqa-f32", folder_.File("here"));
    fs::copy(goldens + "models/llama-gqa-f32", folder_.File("served"));
    fs::copy(goldens + "gguf/gpt2/model.gguf", folder_.File("model.gguf"));
  }

  ~DescribePathTest() override {
    if (server_ <= 0) return;
    kill(server_, SIGTERM);
    int status = -1;
    waitpid(server_, &status, 0);
    EXPECT_EQ(status, 0);
  }

  // Runs a command line of the shell in the folder.
  Outcome Run(const std::string& command, const std::string& server = kNobody,
              const std::string& path = "/nonexistent") const {
    const int status = std::system(absl::StrCat("cd ", folder_.path(), " && HEED_SERVER=", server,
                                                " PATH=", path, " ", command, " >out 2>err")
                                       .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadTestFile(folder_.File("out")),
            ReadTestFile(folder_.File("err"))};
  }

  // Serves the folder "served"; gives the address.
  std::string StartServer() {
    const std::string port_file = folder_.File("port");
    const std::string program = folder_.File("bin/heed-server");
    const std::string model = absl::StrCat("--model=", folder_.File("served"));
    const std::string port = absl::StrCat("--port-file=", port_file);
    server_ = fork();
    if (server_ == 0) {
      execl(program.c_str(), "heed-server", "--listen=127.0.0.1:0", port.c_str(), model.c_str(),
            "--kv-cache-mib=8", "--log-level=off", nullptr);
      _exit(127);
    }
    EXPECT_TRUE(Eventually([&] { return fs::exists(port_file); }));
    return absl::StrCat("127.0.0.1:", std::atoi(ReadTestFile(port_file).c_str()));
  }

  TestFolder folder_;
  pid_t server_ = 0;
};

TEST_F(DescribePathTest, PathsNeedNoServer) {
  for (const char* path : {"./here", "here/", "model.gguf", "here", "here/golden.safetensors"}) {
    for (const char* json : {"", " --json"}) {
      const Outcome own = Run(absl::StrCat("bin/heed-server --describe=", path, json));
      const Outcome described = Run(absl::StrCat("bin/heed describe ", path, json));
      EXPECT_EQ(described.exit_code, own.exit_code) << path;
      EXPECT_EQ(described.out, own.out) << path;
      EXPECT_EQ(described.err, own.err) << path;
      EXPECT_THAT(described.out, StartsWith(*json == 0 ? "format " : "{\"format\":"));
    }
  }
  EXPECT_EQ(Run("bin/heed describe ./here").exit_code, 0);
}

TEST_F(DescribePathTest, TheServerProgramIsFoundInABuildTree) {
  const Outcome described = Run("build/client/cli/heed describe ./here");
  EXPECT_EQ(described.exit_code, 0) << described.err;
  EXPECT_THAT(described.out, StartsWith("format "));
}

TEST_F(DescribePathTest, WhatIsRefusedOrMissingExitsWithOne) {
  folder_.Write("here/config.json", R"({"model_type": "t5"})");
  const Outcome refused = Run("bin/heed describe here/");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out, HasSubstr("heed         refuses it: config.json: model_type is \"t5\""));
  const Outcome missing = Run("bin/heed describe none/x");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.out, "");
  EXPECT_EQ(missing.err, "heed-server: none/x: there is no such folder\n");
}

TEST_F(DescribePathTest, NamesAreAskedOfTheServerFirst) {
  const std::string address = StartServer();
  // There is a folder of this name as well.
  const Outcome served = Run("bin/heed describe served", address);
  EXPECT_EQ(served.exit_code, 0) << served.err;
  EXPECT_THAT(served.out, HasSubstr("digest"));
  const Outcome path = Run("bin/heed describe ./served", address);
  EXPECT_EQ(path.exit_code, 0) << path.err;
  EXPECT_THAT(path.out, StartsWith("format "));
  const Outcome other = Run("bin/heed describe here", address);
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_THAT(other.out, StartsWith("format "));
  const Outcome unknown = Run("bin/heed describe sarved", address);
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("\"sarved\" is not loaded. Loaded: served."));
}

TEST_F(DescribePathTest, ANameWithNobodyToAskIsNoPath) {
  const Outcome outcome = Run("bin/heed describe there");
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("no heed server answers"));
}

TEST_F(DescribePathTest, TheServerProgramIsLookedForInPathToo) {
  const Outcome none = Run("alone/heed describe ./here");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, HasSubstr("takes heed-server, which is neither beside heed, in"));
  EXPECT_THAT(Run("alone/heed describe ./here --json").err, StartsWith("{\"error\":"));
  const Outcome found = Run("alone/heed describe ./here", kNobody, folder_.File("bin"));
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, StartsWith("format "));
}

}  // namespace
}  // namespace heed
