// The real command against the real server, as a process of its own: models that cannot be loaded,
// and the ladder and fill-mask over golden checkpoints.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/client/json_check.h"
#include "tests/client/run_command.h"

namespace heed {
namespace {

using cli::RunCommand;
using ::testing::AllOf;
using testing::At;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string GoldenFolder(const std::string& name) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", name);
}

// A heed-server of its own, ended with the test.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> flags) {
    std::vector<std::string> arguments = {HEED_SERVER, "--listen=127.0.0.1:0", "--kv-cache-mib=8",
                                          absl::StrCat("--port-file=", folder_.File("port"))};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    pid_ = fork();
    if (pid_ == 0) Run(arguments);
  }

  ~ServerProcess() {
    if (exit_code_) return;
    kill(pid_, SIGTERM);
    int status = -1;
    waitpid(pid_, &status, 0);
    EXPECT_EQ(status, 0) << log();
  }

  // Waits until it answers, or has ended; empty then.
  std::string WaitForAddress() {
    std::string port;
    while (!std::getline(std::ifstream(folder_.File("port")), port)) {
      if (HasEnded()) return "";
      absl::SleepFor(absl::Milliseconds(2));
    }
    return absl::StrCat("127.0.0.1:", port);
  }

  // Once WaitForAddress was empty.
  int exit_code() const { return exit_code_.value_or(-1); }
  // What it said on standard error.
  std::string log() const { return ReadTestFile(folder_.File("log")); }

 private:
  [[noreturn]] void Run(std::vector<std::string>& arguments) const {
    const int file = open(folder_.File("log").c_str(), O_CREAT | O_WRONLY, 0600);
    dup2(file, STDERR_FILENO);
    dup2(file, STDOUT_FILENO);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }

  bool HasEnded() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return true;
  }

  TestFolder folder_;
  pid_t pid_ = -1;
  std::optional<int> exit_code_;
};

std::string DecoderFlag() {
  return absl::StrCat("--model=decoder=", GoldenFolder("llama-gqa-f32"));
}

std::string EncoderFlag() {
  return absl::StrCat("--model=encoder=", GoldenFolder("bert-f32"));
}

// A model whose weights are gone.
class DamagedModel {
 public:
  DamagedModel() {
    WriteTinyModel(folder_, "llama");
    folder_.Remove("model.safetensors");
  }
  std::string flag() const { return absl::StrCat("--model=damaged=", folder_.path()); }
  const std::string& path() const { return folder_.path(); }

 private:
  TestFolder folder_;
};

TEST(AllowMissingTest, ADamagedModelEndsTheServerAndIsNamed) {
  const DamagedModel damaged;
  ServerProcess server({damaged.flag(), DecoderFlag()});
  EXPECT_EQ(server.WaitForAddress(), "");
  EXPECT_EQ(server.exit_code(), 1);
  EXPECT_THAT(server.log(), AllOf(HasSubstr(damaged.path()), HasSubstr("model.safetensors")));
}

TEST(AllowMissingTest, TheServerStartsWithoutIt) {
  const DamagedModel damaged;
  ServerProcess server({"--allow-missing", damaged.flag(), EncoderFlag(), DecoderFlag()});
  const std::string address = server.WaitForAddress();
  ASSERT_NE(address, "") << server.log();
  EXPECT_THAT(server.log(), AllOf(HasSubstr(damaged.path()), HasSubstr("model.safetensors"),
                                  HasSubstr("starting without it")));
  auto client = Client::Connect(address);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto models = (*client)->ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  std::vector<std::string> names;
  for (const ModelInfo& model : *models) names.push_back(model.identity.name);
  EXPECT_THAT(names, ElementsAre("encoder", "decoder"));
  EXPECT_EQ((*client)->GetModel("")->identity.name, "encoder");
  EXPECT_EQ((*client)->GetModel("damaged").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*(*client)->Health(), Serving::kServing);
}

TEST(AllowMissingTest, WithoutAnyModelLeftItEnds) {
  const DamagedModel damaged;
  ServerProcess server({"--allow-missing", damaged.flag()});
  EXPECT_EQ(server.WaitForAddress(), "");
  EXPECT_EQ(server.exit_code(), 1);
  EXPECT_THAT(server.log(), HasSubstr("nothing to serve"));
}

class LadderServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    address_ = server_.WaitForAddress();
    ASSERT_NE(address_, "") << server_.log();
  }

  google::protobuf::Value RunJson(std::vector<std::string> words) {
    words.push_back("--json");
    const cli::CommandResult result = RunCommand(address_, words);
    EXPECT_EQ(result.exit_code, cli::kExitDone) << result.err;
    bool ok = false;
    const google::protobuf::Value value = testing::ParseJson(result.out, &ok);
    EXPECT_TRUE(ok) << result.out;
    return value;
  }

  ServerProcess server_{{DecoderFlag(), EncoderFlag()}};
  std::string address_;
};

double Sum(const google::protobuf::Value& list) {
  double sum = 0;
  for (const auto& value : list.list_value().values()) sum += value.number_value();
  return sum;
}

TEST_F(LadderServerTest, EveryRungLooksWithWeightsThatSumToOne) {
  const auto json = RunJson({"ladder", "hello ____ world"});
  for (const char* rung : {"rungs.0", "rungs.1"}) {
    const auto answer = [&](const char* path) {
      return At(json, absl::StrCat(rung, ".answers.0.", path));
    };
    EXPECT_NEAR(Sum(answer("looks_at.weights")), 1, 1e-5);
    EXPECT_NEAR(Sum(answer("looks_at.last_layer_mean_weights")), 1, 1e-5);
    EXPECT_EQ(answer("looks_at.weights").list_value().values_size(),
              answer("prompt.tokens").list_value().values_size());
    EXPECT_EQ(answer("candidates").list_value().values_size(), 4);
  }
  EXPECT_EQ(At(json, "rungs.0.answers.0.asked").string_value(), "hello");
  EXPECT_EQ(At(json, "rungs.1.answers.0.asked").string_value(), "hello [MASK] world");
}

TEST_F(LadderServerTest, TheSamePromptTwiceIsTheSameBitForBit) {
  const auto json = RunJson({"ladder", "hello world", "hello world"});
  EXPECT_TRUE(At(json, "rungs.0.comparison.identical").bool_value());
  EXPECT_TRUE(At(json, "rungs.1.comparison.identical").bool_value());
  const auto other = RunJson({"ladder", "hello world", "good world"});
  EXPECT_FALSE(At(other, "rungs.0.comparison.identical").bool_value());
  EXPECT_GT(At(other, "rungs.0.comparison.largest_difference").number_value(), 1e-6);
}

TEST_F(LadderServerTest, ABlankIsFilledIn) {
  const cli::CommandResult result =
      RunCommand(address_, {"predict", "--model=encoder", "a ____ b ____", "--top=3"});
  EXPECT_EQ(result.exit_code, cli::kExitDone) << result.err;
  EXPECT_THAT(result.out, HasSubstr("[MASK]#1"));
  EXPECT_THAT(result.out, HasSubstr("[MASK]#2"));
  EXPECT_EQ(RunCommand(address_, {"predict", "--model=encoder", "a b"}).exit_code,
            cli::kExitServerError);
}

TEST_F(LadderServerTest, APromptTooLongForEveryRungSaysSo) {
  std::string text = "a";
  for (int i = 0; i < 2000; ++i) text += " b";
  const cli::CommandResult result = RunCommand(address_, {"ladder", text});
  EXPECT_EQ(result.exit_code, cli::kExitServerError);
  EXPECT_THAT(result.err, HasSubstr("context window exceeded"));
}

// The verbs about heads, layers and edits, over a golden decoder.
class InspectVerbsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new ServerProcess({DecoderFlag()});
    address_ = server_->WaitForAddress();
  }
  static void TearDownTestSuite() { delete server_; }

  static cli::CommandResult Run(std::vector<std::string> words) {
    return RunCommand(address_, std::move(words));
  }

  // What a verb prints for people, and the JSON of the same.
  static std::string Text(const std::vector<std::string>& words) {
    const auto result = Run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  static google::protobuf::Value Json(std::vector<std::string> words) {
    words.push_back("--json");
    bool ok = false;
    const auto value = testing::ParseJson(Text(words), &ok);
    EXPECT_TRUE(ok);
    return value;
  }

  static inline ServerProcess* server_ = nullptr;
  static inline std::string address_;
};

TEST_F(InspectVerbsTest, EveryVerbAnswersForPeopleAndPrograms) {
  const std::string prompt = "the cat sat and the cat";
  const std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>> verbs = {
      {{"stats", prompt, "--stat=first"}, {"layer", "ROW_STATS_V1_MEAN"}},
      {{"detect", prompt, "--pattern=duplicate"}, {"Best: layer", "TL_MUL"}},
      {{"lens", prompt}, {"embed", "model", "LOGIT_LENS"}},
      {{"lens", prompt, "--all", "--ablate=1.2"}, {"after each word", "1 edit"}},
      {{"attribute", prompt}, {"layer 2 feed-forward", "DIRECT_LOGIT_ATTRIBUTION"}},
      {{"attribute", prompt, "--by=source"}, {"by the word they read"}},
      {{"explain", prompt, "--layer=1", "--head=2"}, {"Layer 1 head 2", "q·k"}},
      {{"intervene", prompt, "--cut=-1->1", "--focus=0", "--bidirectional"},
       {"cut -1->1", "focus 0", "counterfactual"}},
      {{"sweep", prompt}, {"by layer and head"}},
      {{"sweep", prompt, "--grid=edges", "--metric=kl"}, {"by layer and key"}},
      {{"sweep", prompt, "--grid=focus", "--layer=0"}, {"times beta"}},
      {{"compare", prompt, "the dog sat and the dog"}, {"A says", "Jensen-Shannon"}}};
  for (const auto& [words, expected] : verbs) {
    const std::string text = Text(words);
    for (const std::string& part : expected) EXPECT_THAT(text, HasSubstr(part)) << words[0];
    Json(words);
  }
}

TEST_F(InspectVerbsTest, NumbersAreThoseOfTheWire) {
  const auto stats = Json({"stats", "the cat"});
  EXPECT_EQ(At(stats, "entropy_nats.shape.1").number_value(), 4);
  EXPECT_EQ(At(stats, "provenance.model.name").string_value(), "decoder");
  const auto sweep = Json({"sweep", "the cat", "--metric=kl"});
  const auto cell = At(sweep, "values.1.2");
  const auto intervene = Json({"intervene", "the cat", "--ablate=1.2"});
  EXPECT_NEAR(At(intervene, "results.0.values.3").number_value(), cell.number_value(), 1e-6);
}

TEST_F(InspectVerbsTest, WrongUseIsExplained) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"stats", "a", "--stat=speed"}, "is not one of entropy, effective"},
      {{"detect", "a", "--pattern=nose"}, "is not one of previous, duplicate, induction"},
      {{"attribute", "a", "--by=day"}, "is not one of component, head, source"},
      {{"intervene", "a"}, "needs an edit"},
      {{"intervene", "a", "--cut=a"}, "is no edge"},
      {{"intervene", "a cat", "--cut=dog->cat"}, "is no token of the prompt"},
      {{"intervene", "a", "--ablate=x.1"}, "is no head"},
      {{"intervene", "a", "--focus=big"}, "is not a number"},
      {{"intervene", "a", "--preset=none"}, "is not one of last-word"},
      {{"sweep", "a", "--grid=moon"}, "is not one of heads, edges, patch, focus"},
      {{"sweep", "a", "--metric=joy"}, "is not one of probability"},
      {{"compare", "a"}, "there is nothing to compare"}};
  for (const auto& [words, message] : wrong) {
    const auto result = Run(words);
    EXPECT_EQ(result.exit_code, 2) << words[0];
    EXPECT_THAT(result.err, HasSubstr(message));
  }
  const auto missing = Run({"intervene", "a cat", "--ablate=9.1"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("layers[0]"));
}

}  // namespace
}  // namespace heed
