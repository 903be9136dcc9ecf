// Commands against the server of canned answers.
#ifndef HEED_TESTS_CLIENT_CLI_FIXTURE_H_
#define HEED_TESTS_CLIENT_CLI_FIXTURE_H_

#include <string>
#include <utility>
#include <vector>

#include "client/cli/app.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"
#include "tests/client/json_check.h"
#include "tests/client/run_command.h"

namespace heed::cli {

class CliFixture : public ::testing::Test {
 protected:
  // Runs a command that must succeed, and gives what it printed.
  std::string Run(const std::vector<std::string>& words, const CommandOptions& options = {}) {
    result_ = RunCommand(server_.address(), words, options);
    EXPECT_EQ(result_.exit_code, kExitDone) << result_.err;
    return result_.out;
  }

  google::protobuf::Value RunJson(std::vector<std::string> words,
                                  const CommandOptions& options = {}) {
    words.push_back("--json");
    return ParseJson(Run(words, options));
  }

  // Runs a command that must fail, and gives what it said on standard error.
  std::string RunToFail(int exit_code, const std::vector<std::string>& words,
                        const CommandOptions& options = {}) {
    result_ = RunCommand(server_.address(), words, options);
    EXPECT_EQ(result_.exit_code, exit_code) << result_.err;
    return result_.err;
  }

  static google::protobuf::Value ParseJson(const std::string& text) {
    bool ok = false;
    const google::protobuf::Value value = testing::ParseJson(text, &ok);
    EXPECT_TRUE(ok) << text;
    return value;
  }

  testing::FakeServer server_;
  CommandResult result_;  // of the last command
};

}  // namespace heed::cli

#endif  // HEED_TESTS_CLIENT_CLI_FIXTURE_H_
