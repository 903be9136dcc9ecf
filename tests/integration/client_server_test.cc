// The real client against the real server, on golden checkpoints: what arrives over the wire is
// what transformers computed, calls end right in every way they can end, and nothing stays behind.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/server.h"
#include "tests/base/populates.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/integration/eventually.h"
#include "tests/transformer/golden_file.h"

namespace heed {
namespace {

std::string GoldenFolder(const std::string& name) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", name);
}

// A model whose context is so long that a generation never ends by itself during a test.
class EndlessModel {
 public:
  EndlessModel() {
    folder_.Write("config.json", absl::StrReplaceAll(TinyConfig("llama"),
                                                     {{"\"max_position_embeddings\": 16",
                                                       "\"max_position_embeddings\": 400000"}}));
    WriteWeights(folder_, TinyTensors("llama"));
  }
  const std::string& path() const { return folder_.path(); }

 private:
  TestFolder folder_;
};

class ClientServerTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }

  void Start(ServerConfig config) {
    config.listen = "127.0.0.1:0";
    config.log_level = "off";
    // A call whose caller is gone must end because of that, not because nobody reads it.
    config.stall_timeout = absl::Hours(1);
    Registry registry;
    LoadOptions options;
    options.kv_cache_bytes = int64_t{8} << 20;
    for (const char* name :
         {"gpt2-f32", "llama-gqa-f32", "llama-bf16", "bert-f32", "gpt2-bare-f16"}) {
      Add(name, GoldenFolder(name), options, &registry);
    }
    options.kv_cache_bytes = int64_t{256} << 20;  // for its long context
    Add("endless", endless_.path(), options, &registry);
    auto server = Server::Start(config, std::move(registry));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    target_ = absl::StrCat("127.0.0.1:", server_->port());
    auto client = Client::Connect(target_);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  static void Add(const std::string& name, const std::string& folder, const LoadOptions& options,
                  Registry* registry) {
    auto model = LoadServedModel(name, folder, options);
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_TRUE(registry->Add(*std::move(model)).ok());
  }

  // A generation that only ends when somebody ends it.
  static heed::client::GenerateRequest Endless() {
    heed::client::GenerateRequest request;
    request.model = "endless";
    request.token_ids = {1, 2, 3};
    request.max_tokens = 390000;
    request.ignore_end_of_text = true;
    return request;
  }

  bool Idle() const { return server_->stats().live == 0 && server_->stats().queued == 0; }

  EndlessModel endless_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
  std::string target_;
};

std::vector<int32_t> GoldenIds(const GoldenFile& golden) {
  const std::vector<int64_t> ids = golden.Read<int64_t>("input_ids");
  return {ids.begin(), ids.end()};
}

TEST_F(ClientServerTest, ModelsAreListedAndDescribed) {
  const auto models = client_->ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 6u);
  const auto llama = client_->GetModel("llama-gqa-f32");
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->architecture, "llama");
  EXPECT_EQ(llama->layer_count, 3);
  EXPECT_EQ(llama->head_count, 4);
  EXPECT_EQ(llama->kv_head_count, 2);
  EXPECT_EQ(llama->head_dim, 12);
  EXPECT_EQ(llama->vocabulary_size, 320);
  EXPECT_EQ(llama->tokenizer.vocabulary_size, 312);
  EXPECT_THAT(llama->identity.digest, testing::MatchesRegex("sha256:[0-9a-f]{64}"));
  const auto bert = client_->GetModel("bert-f32");
  ASSERT_TRUE(bert.ok()) << bert.status();
  EXPECT_EQ(bert->direction, AttentionDirection::kBidirectional);
  EXPECT_TRUE(bert->tokenizer.mask_id.has_value());
  const auto first = client_->GetModel("");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->identity.name, "gpt2-f32");
}

TEST_F(ClientServerTest, DistributionsEqualTransformers) {
  for (const std::string name :
       {"gpt2-f32", "llama-gqa-f32", "llama-bf16", "bert-f32", "gpt2-bare-f16"}) {
    const GoldenFile golden(GoldenFolder(name) + "/golden.safetensors");
    const std::vector<float> logits = golden.Read<float>("logits");
    const size_t vocab = golden.Shape("logits")[1];
    heed::client::PredictRequest request;
    request.model = name;
    request.token_ids = GoldenIds(golden);
    request.all_positions = true;
    request.full_distribution = true;
    const auto result = client_->Predict(request);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->predictions.size() * vocab, logits.size());
    for (size_t p = 0; p < result->predictions.size(); ++p) {
      const float* row = logits.data() + p * vocab;
      double sum = 0, entropy = 0;
      for (size_t i = 0; i < vocab; ++i) sum += std::exp(double{row[i]});
      for (size_t i = 0; i < vocab; ++i) {
        const double want = row[i] - std::log(sum);
        ASSERT_NEAR(result->predictions[p].log_probabilities[i], want, 2e-4)
            << name << ", position " << p;
        entropy -= std::exp(want) * want;
      }
      EXPECT_NEAR(result->predictions[p].entropy, entropy, 1e-3);
    }
  }
}

TEST_F(ClientServerTest, AttentionEqualsTransformers) {
  for (const std::string name :
       {"gpt2-f32", "llama-gqa-f32", "llama-bf16", "bert-f32", "gpt2-bare-f16"}) {
    const GoldenFile golden(GoldenFolder(name) + "/golden.safetensors");
    heed::client::AttentionRequest request;
    request.model = name;
    request.token_ids = GoldenIds(golden);
    const auto maps = client_->Attention(request);
    ASSERT_TRUE(maps.ok()) << maps.status();
    const size_t layer_size = maps->weights.size() / maps->header.layers.size();
    for (size_t layer = 0; layer < maps->header.layers.size(); ++layer) {
      const std::vector<float> want = golden.Read<float>(absl::StrCat("attentions.", layer));
      ASSERT_EQ(layer_size, want.size());
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR(maps->weights[layer * layer_size + i], want[i], 1e-5) << name;
    }
    request.top_k = 5;
    const auto top = client_->Attention(request);
    ASSERT_TRUE(top.ok()) << top.status();
    for (size_t row = 0; row < top->dropped_mass.size(); ++row) {
      double mass = top->dropped_mass[row];
      for (int k = 0; k < 5; ++k) {
        const int32_t key = top->keys[row * 5 + k];
        const float weight = top->weights[row * 5 + k];
        mass += weight;
        if (key >= 0) {
          ASSERT_EQ(weight, maps->weights[row * maps->header.key_count + key]);
        } else {
          ASSERT_EQ(weight, 0.0f);
        }
      }
      ASSERT_NEAR(mass, 1.0, 1e-5);
    }
  }
}

TEST_F(ClientServerTest, EmbeddingsEqualTransformers) {
  for (const std::string name :
       {"gpt2-f32", "llama-gqa-f32", "llama-bf16", "bert-f32", "gpt2-bare-f16"}) {
    heed::client::EmbedRequest request;
    request.model = name;
    request.token_ids = {GoldenIds(GoldenFile(GoldenFolder(name) + "/golden.safetensors"))};
    request.pooling = heed::client::Pooling::kLast;
    request.token_vectors = true;
    const auto result = client_->Embed(request);
    ASSERT_TRUE(result.ok()) << result.status();
    const std::vector<float> want =
        GoldenFile(GoldenFolder(name) + "/states.safetensors").Read<float>("last_hidden_state");
    const std::vector<float>& tokens = result->embeddings.front().token_vectors;
    ASSERT_EQ(tokens.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(tokens[i], want[i], 1e-4) << name;
    const std::vector<float>& last = result->embeddings.front().vector;
    EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), tokens.rbegin())) << name;
  }
}

TEST_F(ClientServerTest, GreedyGenerationEqualsTransformersAndCarriesItsAttention) {
  for (const std::string name : {"gpt2-f32", "llama-gqa-f32", "llama-bf16", "gpt2-bare-f16"}) {
    const GoldenFile golden(GoldenFolder(name) + "/golden.safetensors");
    heed::client::GenerateRequest request;
    request.model = name;
    request.token_ids = GoldenIds(golden);
    request.token_ids.resize(8);
    request.max_tokens = 16;
    request.attention = heed::client::AttentionSelection{};
    const auto result = client_->Generate(request);
    ASSERT_TRUE(result.ok()) << result.status();
    std::vector<int64_t> ids;
    for (const auto& token : result->tokens) ids.push_back(token.token.id);
    EXPECT_EQ(ids, golden.Read<int64_t>("greedy_ids")) << name;
    EXPECT_EQ(result->end.finish_reason, FinishReason::kLength);

    // The same rows, asked for afterwards with the whole sequence as the prompt, have the same
    // bits.
    heed::client::AttentionRequest whole;
    whole.model = name;
    whole.token_ids = request.token_ids;
    for (int64_t id : ids) whole.token_ids.push_back(static_cast<int32_t>(id));
    const auto maps = client_->Attention(whole);
    ASSERT_TRUE(maps.ok()) << maps.status();
    for (const auto& token : result->tokens) {
      ASSERT_EQ(token.attention.size(), maps->header.layers.size() * maps->header.heads.size());
      for (const auto& tile : token.attention) {
        ASSERT_EQ(tile.queries, std::vector<int64_t>{token.position - 1});
        const float* row =
            maps->weights.data() + maps->RowOffset(tile.layer, tile.head, token.position - 1);
        for (size_t k = 0; k < tile.weights.size(); ++k) ASSERT_EQ(tile.weights[k], row[k]) << name;
      }
    }
  }
}

TEST_F(ClientServerTest, TheSameSeedGivesTheSameTextAloneAndInCompany) {
  heed::client::GenerateRequest request;
  request.text = "hello there";
  request.temperature = 1.0f;
  request.top_p = 0.9f;
  request.seed = 7;
  request.max_tokens = 30;
  const auto alone = client_->Generate(request);
  ASSERT_TRUE(alone.ok()) << alone.status();
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      heed::client::GenerateRequest other = request;
      if (i % 2 == 1) other.seed = 100 + i;
      const auto result = client_->Generate(other);
      if (i % 2 == 0 && result.ok() && result->text == alone->text) ++same;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, 4);
}

TEST_F(ClientServerTest, ErrorsCarryTheirReason) {
  const auto missing = client_->Predict({.model = "gpt2-f33", .text = "x"});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetServerError(missing.status()).reason, "MODEL_NOT_FOUND");
  EXPECT_THAT(std::string(missing.status().message()), testing::HasSubstr("gpt2-f32"));

  const std::vector<int32_t> too_long(1311, 5);
  const auto refused = client_->Predict({.model = "gpt2-f32", .token_ids = too_long});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto error = GetServerError(refused.status());
  EXPECT_EQ(error.reason, "CONTEXT_WINDOW_EXCEEDED");
  EXPECT_EQ(error.metadata.at("prompt_tokens"), "1311");
  EXPECT_EQ(error.metadata.at("context_window"), "64");

  const auto cut = client_->Predict(
      {.model = "gpt2-f32", .token_ids = too_long, .truncation = Truncation::kLeft});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->prompt.dropped_token_count, 1311 - 64);
  EXPECT_EQ(cut->prompt.truncation, Truncation::kLeft);

  const auto wrong = client_->Predict({.model = "gpt2-f32", .text = "x", .top_k = 301});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(GetServerError(wrong.status()).wrong_fields.size(), 1u);
  EXPECT_EQ(GetServerError(wrong.status()).wrong_fields[0].field, "candidates.top_k");

  const auto encoder = client_->Generate({.model = "bert-f32", .text = "x"});
  EXPECT_EQ(encoder.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetServerError(encoder.status()).reason, "NOT_GENERATIVE");

  const auto no_tokenizer = client_->Predict({.model = "gpt2-bare-f16", .text = "x"});
  EXPECT_EQ(no_tokenizer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetServerError(no_tokenizer.status()).reason, "NO_TOKENIZER");
}

// All weights and the largest, of models that see both ways, too.
TEST_F(ClientServerTest, AttentionThatIsTooMuchToHoldHasTheSameBits) {
  heed::client::AttentionRequest request;
  request.token_ids.assign(30, 7);
  for (int i = 0; i < 30; i += 4) request.token_ids[i] = i;
  const auto answers = [&] {
    std::vector<heed::client::AttentionMaps> all;
    for (const char* model : {"llama-gqa-f32", "bert-f32", "gpt2-bare-f16"}) {
      for (const int top_k : {0, 3}) {
        request.model = model;
        request.top_k = top_k;
        auto maps = client_->Attention(request);
        EXPECT_TRUE(maps.ok()) << maps.status();
        if (maps.ok()) all.push_back(*std::move(maps));
      }
    }
    return all;
  };
  const auto held = answers();
  ServerConfig config;
  config.max_attention_bytes = 8;
  Start(config);
  const auto computed = answers();
  ASSERT_EQ(held.size(), 6u);
  ASSERT_EQ(computed.size(), 6u);
  for (size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(computed[i].weights, held[i].weights) << i;
    EXPECT_EQ(computed[i].keys, held[i].keys) << i;
    EXPECT_EQ(computed[i].dropped_mass, held[i].dropped_mass) << i;
    EXPECT_EQ(computed[i].header.queries, held[i].header.queries) << i;
  }
}

TEST_F(ClientServerTest, CancellingFreesThePlaceInTheBatch) {
  CancelToken cancel;
  std::atomic<int> tokens{0};
  std::thread caller([&] {
    const auto result =
        client_->Generate(Endless(), [&](const heed::client::GenerateEvent& event) { ++tokens; },
                          {.cancel = &cancel});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
  });
  ASSERT_TRUE(Eventually([&] { return tokens > 3; }));
  EXPECT_EQ(server_->stats().live, 1);
  cancel.Cancel();
  caller.join();
  EXPECT_TRUE(Eventually([&] { return Idle(); }));
}

TEST_F(ClientServerTest, ADeadlineEndsACallOnBothSides) {
  const auto result = client_->Generate(Endless(), {.deadline = absl::Milliseconds(300)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Eventually([&] { return Idle(); }));
}

// Runs `arguments` as a child whose output nobody reads.
pid_t Spawn(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
    execv(argv[0], argv.data());
    _exit(127);
  }
  return pid;
}

TEST_F(ClientServerTest, AKilledClientLeavesTheBatch) {
  const pid_t pid = Spawn({HEED_CLI, "--server", target_, "--model", "endless", "generate", "--ids",
                           "1,2,3", "--max-tokens", "390000", "--ignore-end-of-text"});
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(Eventually([&] { return server_->stats().generated_tokens > 3; }));
  kill(pid, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(Eventually([&] { return Idle(); }));
}

// One call of some kind, by number; true when it ended as it should.
bool MixedCall(Client& client, int i) {
  switch (i % 8) {
    case 0:
      return client.Predict({.text = absl::StrCat("number ", i), .top_k = 3}).ok();
    case 1: {
      heed::client::GenerateRequest request;
      request.model = "llama-gqa-f32";
      request.token_ids = {5, 6, 7};
      request.max_tokens = 20;
      request.ignore_end_of_text = true;
      const auto result = client.Generate(request);
      return result.ok() && result->tokens.size() == 20;
    }
    case 2: {
      heed::client::AttentionRequest request;
      request.model = "bert-f32";
      request.token_ids.assign(1 + i % 40, 9);
      const auto maps = client.Attention(request);
      return maps.ok() && maps->header.key_count == 1 + i % 40;
    }
    case 3:
      return client.Predict({.model = "none", .text = "x"}).status().code() ==
             absl::StatusCode::kNotFound;
    case 4:
      return client.Tokenize({.text = "some text to read"}).ok();
    case 5: {
      heed::client::GenerateRequest request;
      request.model = "endless";
      request.token_ids = {1};
      request.max_tokens = 300000;
      request.ignore_end_of_text = true;
      return client.Generate(request, {.deadline = absl::Milliseconds(200)}).status().code() ==
             absl::StatusCode::kDeadlineExceeded;
    }
    case 6:
      return client.Predict({.text = "x", .top_k = -1}).status().code() ==
             absl::StatusCode::kInvalidArgument;
    default:
      return client.ListModels().ok();
  }
}

TEST_F(ClientServerTest, TwoHundredMixedCallsAtOnceAllEndRight) {
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 200; ++i) {
    threads.emplace_back([&, i] {
      if (MixedCall(*client_, i)) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
  EXPECT_TRUE(Eventually([&] { return Idle() && server_->attention_bytes() == 0; }));
}

TEST_F(ClientServerTest, ShuttingDownLetsCallsEndAndRefusesNewOnes) {
  std::atomic<bool> running{false};
  absl::Status ended;
  std::thread caller([&] {
    ended =
        client_->Generate(Endless(), [&](const heed::client::GenerateEvent&) { running = true; })
            .status();
  });
  ASSERT_TRUE(Eventually([&] { return running.load(); }));
  EXPECT_EQ(server_->Shutdown(absl::Milliseconds(100)), 1);
  caller.join();
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
}

// The real program: SIGTERM while a generation runs lets it end, then exits with 0.
TEST(ServerTest, MemoryOfEveryModelIsReadiedFromTheStart) {
  ServerConfig config;
  config.listen = "127.0.0.1:0";
  config.log_level = "off";
  Registry registry;
  std::vector<std::shared_ptr<const ServedModel>> models;
  for (const char* name : {"gpt2-f32", "bert-f32"}) {
    auto model = LoadServedModel(name, GoldenFolder(name), {});
    ASSERT_TRUE(model.ok()) << model.status();
    models.push_back(*model);
    ASSERT_TRUE(registry.Add(*std::move(model)).ok());
  }
  if (!SystemPopulates()) GTEST_SKIP() << "this system offers nothing for it";
  const auto server = Server::Start(config, std::move(registry));
  ASSERT_TRUE(server.ok()) << server.status();
  for (const auto& model : models) {
    const KvPool& pool = *model->kv_pool;
    for (int i = 0; i < 1000 && pool.touched_bytes() == 0; ++i) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    EXPECT_GT(pool.touched_bytes(), 0) << model->name;
  }
}

TEST(ServerProgramTest, SigtermDrains) {
  TestFolder folder;
  const std::string port_file = folder.File("port");
  const pid_t pid =
      Spawn({HEED_SERVER, "--listen=127.0.0.1:0", absl::StrCat("--port-file=", port_file),
             absl::StrCat("--model=m=", GoldenFolder("llama-gqa-f32"))});
  ASSERT_GT(pid, 0);
  std::string port;
  ASSERT_TRUE(
      Eventually([&] { return static_cast<bool>(std::getline(std::ifstream(port_file), port)); }));
  auto client = Client::Connect(absl::StrCat("127.0.0.1:", port));
  ASSERT_TRUE(client.ok()) << client.status();
  heed::client::GenerateRequest request;
  request.token_ids = {5, 6, 7};
  request.max_tokens = 40;
  request.ignore_end_of_text = true;
  bool signalled = false;
  const auto result = (*client)->Generate(request, [&](const heed::client::GenerateEvent&) {
    if (!signalled) kill(pid, SIGTERM);
    signalled = true;
  });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->tokens.size(), 40u);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ServerProgramTest, AWrongCommandLineIsToldFromAFailureByItsExitCode) {
  const std::string model = absl::StrCat("--model=m=", GoldenFolder("llama-gqa-f32"));
  const auto exit_code = [&](const std::string& flag) {
    const pid_t pid = Spawn({HEED_SERVER, "--listen=127.0.0.1:0", model, flag});
    int status = 0;
    if (!Eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; })) {
      kill(pid, SIGKILL);
      return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(exit_code("--nonsense"), 2);
  EXPECT_EQ(exit_code("--weights=nosuch=int8"), 2);
  EXPECT_EQ(exit_code("--kv-cache-type=nosuch=f16"), 2);
  EXPECT_EQ(exit_code("--model=other=/nowhere"), 1);
  EXPECT_EQ(exit_code("--port-file=/nowhere/port"), 1);
}

// A port file that is a pipe without a reader keeps the server from being ready.
TEST(ServerProgramTest, ASignalBeforeItIsReadyEndsIt) {
  TestFolder folder;
  const std::string port_file = folder.File("port");
  ASSERT_EQ(mkfifo(port_file.c_str(), 0600), 0);
  const pid_t pid =
      Spawn({HEED_SERVER, "--listen=127.0.0.1:0", absl::StrCat("--port-file=", port_file),
             absl::StrCat("--model=m=", GoldenFolder("llama-gqa-f32"))});
  ASSERT_GT(pid, 0);
  const auto leaves_signals_to_its_thread = [&] {
    std::ifstream facts(absl::StrCat("/proc/", pid, "/status"));
    for (std::string line; std::getline(facts, line);) {
      if (absl::StartsWith(line, "SigBlk:")) return absl::EndsWith(line, "4002");
    }
    return false;
  };
  EXPECT_TRUE(Eventually(leaves_signals_to_its_thread));
  kill(pid, SIGTERM);
  int status = 0;
  if (!Eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; })) {
    kill(pid, SIGKILL);
    FAIL() << "it goes on";
  }
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

}  // namespace
}  // namespace heed
