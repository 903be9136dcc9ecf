#include "server/engine/registry.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/base/error.h"

namespace heed {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::string Golden(absl::string_view model) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", model);
}

std::shared_ptr<const ServedModel> Named(absl::string_view name) {
  auto model = std::make_shared<ServedModel>();
  model->name = std::string(name);
  return model;
}

// --- Names ---------------------------------------------------------------------------------------

TEST(ModelNameTest, AcceptsWhatIsDocumented) {
  for (const std::string& name : {std::string("a"), std::string("0"), std::string("llama-3.2_1b"),
                                  std::string("a..--__"), std::string(64, 'x')}) {
    EXPECT_TRUE(IsValidModelName(name)) << name;
  }
}

TEST(ModelNameTest, RefusesEverythingElse) {
  for (const std::string& name :
       {std::string(), std::string("A"), std::string("-a"), std::string(".a"), std::string("_a"),
        std::string("a b"), std::string("a/b"), std::string("a\n"), std::string("é"),
        std::string("a\0", 2), std::string(65, 'x')}) {
    EXPECT_FALSE(IsValidModelName(name)) << name;
  }
}

// --- Finding -------------------------------------------------------------------------------------

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    for (absl::string_view name : {"decoder", "last-word", "encoder"}) {
      EXPECT_TRUE(registry_.Add(Named(name)).ok());
    }
  }
  std::string MessageFor(absl::string_view name) {
    const absl::Status status = registry_.Find(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(GetErrorDetails(status).reason, "MODEL_NOT_FOUND");
    return std::string(status.message());
  }

  Registry registry_;
};

TEST_F(RegistryTest, FindsByName) {
  EXPECT_EQ((*registry_.Find("encoder"))->name, "encoder");
}

TEST_F(RegistryTest, TheEmptyNameIsTheFirstModel) {
  EXPECT_EQ((*registry_.Find(""))->name, "decoder");
}

TEST_F(RegistryTest, AnUnknownNameIsAnsweredWithWhatIsLoaded) {
  EXPECT_THAT(MessageFor("zebra"),
              AllOf(HasSubstr("\"zebra\""), HasSubstr("decoder, last-word, encoder"),
                    Not(HasSubstr("Did you mean"))));
}

TEST_F(RegistryTest, AMisspeltNameIsAnsweredWithTheNearest) {
  EXPECT_THAT(MessageFor("decodr"), HasSubstr("Did you mean \"decoder\"?"));
  EXPECT_THAT(MessageFor("encodder"), HasSubstr("Did you mean \"encoder\"?"));
  EXPECT_THAT(MessageFor("LAST_WORD"), HasSubstr("Did you mean \"last-word\"?"));
}

TEST_F(RegistryTest, ALongNameIsShortenedInTheMessage) {
  const std::string message = MessageFor(std::string(100000, 'd'));
  EXPECT_LT(message.size(), 300u);
  EXPECT_THAT(message, HasSubstr("ddd...\""));
}

TEST_F(RegistryTest, ANameIsGivenOnce) {
  EXPECT_EQ(registry_.Add(Named("encoder")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(registry_.models().size(), 3u);
}

TEST_F(RegistryTest, ANameMustBeValid) {
  const absl::Status status = registry_.Add(Named("De coder"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("\"De coder\""));
  EXPECT_EQ(registry_.models().size(), 3u);
}

TEST(EmptyRegistryTest, FindsNothing) {
  EXPECT_EQ(Registry().Find("").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Registry().Find("a").status().code(), absl::StatusCode::kNotFound);
}

// --- Loading -------------------------------------------------------------------------------------

TEST(LoadServedModelTest, LoadsAllThatServingNeeds) {
  const auto served = LoadServedModel("tiny", Golden("gpt2-f32"), {});
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ((*served)->name, "tiny");
  EXPECT_THAT((*served)->digest, StartsWith("sha256:"));
  EXPECT_EQ((*served)->digest.size(), 7u + 64u);
  EXPECT_EQ((*served)->checkpoint_dtype, DType::kF32);
  ASSERT_NE((*served)->tokenizer, nullptr);
  EXPECT_LE((*served)->tokenizer->vocab_size(), (*served)->model->config().vocab_size);
  EXPECT_EQ((*served)->model->config().architecture, "gpt2");
}

// Beside the weights or, where a packed copy has to belong to the same bytes, before them.
TEST(LoadServedModelTest, TheDigestIsTheCheckpointsWithAPackedCopyAndWithout) {
  const auto checkpoint = OpenCheckpoint(Golden("gpt2-f32"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const std::string folder = absl::StrCat(::testing::TempDir(), "/digest-", getpid());
  std::filesystem::create_directories(folder);
  for (const std::string& pack_cache : {std::string(), folder}) {
    const auto served = LoadServedModel("tiny", Golden("gpt2-f32"), {.pack_cache = pack_cache});
    ASSERT_TRUE(served.ok()) << served.status();
    EXPECT_EQ((*served)->digest, (*checkpoint)->digest());
    EXPECT_EQ((*served)->report.made_packed_copy, !pack_cache.empty());
  }
  std::filesystem::remove_all(folder);
}

TEST(LoadServedModelTest, ACheckpointMayHaveNoTokenizer) {
  const auto served = LoadServedModel("bare", Golden("gpt2-bare-f16"), {});
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ((*served)->tokenizer, nullptr);
  EXPECT_EQ((*served)->checkpoint_dtype, DType::kF16);
}

// gpt2-f32 has 2 layers and 4 heads of 8 dimensions: a page of 16 tokens takes 8 KiB. Its context
// window of 64 tokens takes 4 pages.
TEST(LoadServedModelTest, ThePoolTakesTheBytesItIsGiven) {
  const auto served = LoadServedModel("tiny", Golden("gpt2-f32"), {.kv_cache_bytes = 100 * 1024});
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ((*served)->kv_pool->total_pages(), 12);
}

TEST(LoadServedModelTest, AContextWindowThatFitsIsServedWhole) {
  const auto served = LoadServedModel("tiny", Golden("gpt2-f32"), {.kv_cache_bytes = 32 * 1024});
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ((*served)->model->config().context_window, 64);
  EXPECT_EQ((*served)->kv_pool->total_pages(), 4);
  EXPECT_THAT((*served)->warnings, IsEmpty());
}

TEST(LoadServedModelTest, AContextWindowThatDoesNotFitIsServedAsFarAsItDoes) {
  const auto served =
      LoadServedModel("tiny", Golden("gpt2-f32"), {.kv_cache_bytes = 32 * 1024 - 1});
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ((*served)->model->config().context_window, 48);
  EXPECT_EQ((*served)->kv_pool->total_pages(), 3);
  EXPECT_THAT(
      (*served)->warnings,
      ElementsAre(
          "serves only the first 48 tokens of the context window: one sequence of the whole "
          "context window, 64 tokens, takes 32768 bytes of keys and values, and there are 32767; "
          "--kv-cache-mib=1 is enough."));
}

TEST(LoadServedModelTest, APoolWithoutRoomForOnePageIsRefused) {
  const absl::Status status =
      LoadServedModel("tiny", Golden("gpt2-f32"), {.kv_cache_bytes = 8191}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetails(status).reason, "KV_CACHE_TOO_SMALL");
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("64 tokens, takes 32768 bytes"), HasSubstr("there are 8191;"),
                    HasSubstr("--kv-cache-mib=1"), HasSubstr("16 tokens fit, which take 8192")));
}

// 64 million tokens by config.json, which take 36 GiB of keys and values that nobody must reserve.
TEST(LoadServedModelTest, AHugeContextWindowTakesNoMoreThanThePoolMay) {
  const std::string folder = absl::StrCat(testing::TempDir(), "/registry_huge_context_", getpid());
  std::filesystem::remove_all(folder);
  std::filesystem::copy(Golden("llama-gqa-f32"), folder);
  std::ifstream in(folder + "/config.json");
  std::string config(std::istreambuf_iterator<char>(in), {});
  const std::string declared = "\"max_position_embeddings\": 128";
  const size_t at = config.find(declared);
  ASSERT_NE(at, std::string::npos);
  config.replace(at, declared.size(), "\"max_position_embeddings\": 67108864");
  std::ofstream(folder + "/config.json", std::ios::trunc) << config;
  const auto served = LoadServedModel("tiny", folder, {.kv_cache_bytes = 1 << 20});
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(served.ok()) << served.status();
  const int64_t tokens = (*served)->kv_pool->total_pages() * kPageTokens;
  EXPECT_EQ((*served)->model->config().context_window, tokens);
  EXPECT_LE(tokens * 2 * 3 * 2 * 12 * 4, 1 << 20);
  EXPECT_THAT((*served)->warnings, ElementsAre(HasSubstr("67108864 tokens")));
}

TEST(LoadServedModelTest, AMissingFolderIsNotFound) {
  EXPECT_EQ(LoadServedModel("tiny", Golden("nowhere"), {}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(LoadServedModelTest, ABadNameIsRefusedBeforeAnythingIsRead) {
  const absl::Status status = LoadServedModel("A", Golden("nowhere"), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorDetails(status).reason, "INVALID_MODEL_NAME");
}

// A copy of a golden model in a folder of the test's own.
class DamagedModelTest : public testing::Test {
 protected:
  DamagedModelTest() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(testing::TempDir(), "/registry_", info->name(), "_", getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(Golden("gpt2-f32"), folder_);
  }
  ~DamagedModelTest() override { std::filesystem::remove_all(folder_); }

  void WriteTokenizer(absl::string_view json) {
    std::ofstream(folder_ + "/tokenizer.json", std::ios::trunc) << json;
  }

  std::string folder_;
};

TEST_F(DamagedModelTest, ADamagedTokenizerIsRefusedByName) {
  WriteTokenizer("{");
  const absl::Status status = LoadServedModel("tiny", folder_, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("tokenizer.json"));
}

TEST_F(DamagedModelTest, ATokenizerWithMoreIdsThanEmbeddingsIsRefused) {
  std::filesystem::copy_file(Golden("llama-bf16") + "/tokenizer.json", folder_ + "/tokenizer.json",
                             std::filesystem::copy_options::overwrite_existing);
  const absl::Status status = LoadServedModel("tiny", folder_, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("tokenizer.json"), HasSubstr("300")));
}

}  // namespace
}  // namespace heed
