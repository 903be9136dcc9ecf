#include "server/load_models.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/wrong_usage.h"
#include "tests/checkpoint/checkpoint_builder.h"

namespace heed {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

std::vector<std::string> Names(const Registry& registry) {
  std::vector<std::string> names;
  for (const auto& model : registry.models()) names.push_back(model->name);
  return names;
}

// Two models, of which the second lost a file, and one that was never there.
class LoadModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteTinyModel(whole_, "llama");
    WriteTinyModel(damaged_, "llama");
    damaged_.Remove("model.safetensors");
    config_.kv_cache_mib = 1;
    config_.models = {{"damaged", damaged_.path()}, {"whole", whole_.path()}, {"absent", absent()}};
  }

  std::string absent() const { return whole_.File("absent"); }

  TestFolder whole_;
  TestFolder damaged_;
  ServerConfig config_;
};

TEST_F(LoadModelsTest, OneThatIsNotThereIsToldOfFirst) {
  EXPECT_THAT(LoadModels(config_).status().message(),
              AllOf(HasSubstr(absent()), HasSubstr("no such folder")));
}

TEST_F(LoadModelsTest, ADamagedModelFailsTheWholeAndNamesFolderAndFile) {
  config_.models.pop_back();
  const auto loaded = LoadModels(config_);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.status().message(),
              AllOf(HasSubstr(absl::StrCat("cannot load ", damaged_.path(), ": ")),
                    HasSubstr("model.safetensors")));
}

TEST_F(LoadModelsTest, AllowMissingLeavesThemOutWithAWarningEach) {
  config_.allow_missing = true;
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(Names(loaded->registry), ElementsAre("whole"));
  EXPECT_THAT(loaded->warnings,
              ElementsAre(AllOf(HasSubstr(damaged_.path()), HasSubstr("model.safetensors"),
                                HasSubstr("starting without it")),
                          AllOf(HasSubstr(absent()), HasSubstr("no such folder"))));
}

TEST_F(LoadModelsTest, AllowMissingWithoutAnyModelLeftIsAnError) {
  config_.allow_missing = true;
  config_.models = {{"damaged", damaged_.path()}};
  const auto loaded = LoadModels(config_);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.status().message(),
              AllOf(HasSubstr("nothing to serve"), HasSubstr("model.safetensors"),
                    Not(HasSubstr("starting without"))));
}

TEST_F(LoadModelsTest, AFolderOfModelsIsSearchedForDamagedOnesToo) {
  const std::filesystem::path dir = whole_.File("dir");
  std::filesystem::create_directories(dir);
  std::filesystem::copy(whole_.path(), dir / "average");
  std::filesystem::copy(whole_.path(), dir / "decoder");
  std::filesystem::remove(dir / "decoder" / "config.json");
  config_.models.clear();
  config_.models_dir = dir.string();
  EXPECT_THAT(LoadModels(config_).status().message(),
              AllOf(HasSubstr((dir / "decoder").string()), HasSubstr("config.json")));
  config_.allow_missing = true;
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(Names(loaded->registry), ElementsAre("average"));
}

TEST_F(LoadModelsTest, AMissingFolderOfModelsIsAWarningOnlyBesideOthers) {
  config_.allow_missing = true;
  config_.models = {{"whole", whole_.path()}};
  config_.models_dir = absent();
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr(absent())));
  config_.models.clear();
  EXPECT_EQ(LoadModels(config_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LoadModelsTest, WholeModelsGiveNoWarning) {
  config_.models = {{"whole", whole_.path()}};
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->warnings, IsEmpty());
  EXPECT_THAT(loaded->notes, ElementsAre("whole has no tokenizer: prompts are token ids"));
}

TEST_F(LoadModelsTest, TensorsThatNobodyUsesAreNoted) {
  std::vector<TestTensor> tensors = TinyTensors("llama");
  tensors.push_back(RandomTensor("vision.patch.weight", "F32", {2, 8}, 1));
  tensors.push_back(RandomTensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, 1));
  WriteWeights(whole_, tensors);
  config_.models = {{"whole", whole_.path()}};
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->warnings, IsEmpty());
  EXPECT_THAT(loaded->notes, Contains(absl::StrCat("whole does not use 1 of the tensors in ",
                                                   whole_.path(), ": \"vision.patch.weight\"")));
}

TEST_F(LoadModelsTest, WeightsAreHeldAsTheConfigSaysForEachModel) {
  const std::string golden = HEED_SOURCE_DIR "/tests/golden/";
  ServerConfig config;
  config.models = {{"a", golden + "models/llama-gqa-f32"},
                   {"b", golden + "models/gpt2-f32"},
                   {"c", golden + "gguf/quantized/Q8_0.gguf"}};
  config.weights_by_model = {{"a", WeightFormat::kInt8}};
  const auto loaded = LoadModels(config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<std::string> held;
  for (const auto& model : loaded->registry.models()) held.push_back(model->model->compute_dtype());
  EXPECT_THAT(held, ElementsAre("INT8", "F32", "Q8_0"));
}

TEST_F(LoadModelsTest, KeysAndValuesAreKeptAsTheConfigSaysForEachModel) {
  const std::string golden = HEED_SOURCE_DIR "/tests/golden/models/";
  ServerConfig config;
  config.kv_cache_mib = 1;
  config.models = {{"a", golden + "gpt2-f32"},
                   {"b", golden + "gpt2-f32"},
                   {"c", golden + "gpt2-f32"},
                   {"d", golden + "mixing-attention"}};
  config.kv_type = KvType::kInt8;
  config.kv_type_by_model = {{"a", KvType::kF32}, {"b", KvType::kF16}};
  const auto loaded = LoadModels(config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<KvType> kept;
  std::vector<int64_t> room;
  for (const auto& model : loaded->registry.models()) {
    kept.push_back(model->kv_pool->layout().type);
    room.push_back(model->kv_pool->total_pages());
  }
  EXPECT_THAT(kept, ElementsAre(KvType::kF32, KvType::kF16, KvType::kInt8, KvType::kF32));
  EXPECT_EQ(room[1], 2 * room[0]);
  EXPECT_GT(room[2], 2 * room[0]);
  const std::string tokens = absl::StrCat(16 * room[2]);
  EXPECT_THAT(loaded->notes,
              IsSupersetOf({"c keeps keys and values in int8: room for " + tokens + " tokens"}));
}

TEST_F(LoadModelsTest, AFormatForAModelThatIsNotThereIsWrongUsage) {
  config_.models = {{"whole", whole_.path()}};
  config_.weights_by_model = {{"whole", WeightFormat::kInt8}, {"whale", WeightFormat::kInt8}};
  EXPECT_EQ(LoadModels(config_).status(),
            WrongUsage("--weights: no model is called \"whale\"; did you mean \"whole\"?"));
  config_.weights_by_model.clear();
  config_.kv_type_by_model = {{"other", KvType::kF16}};
  EXPECT_EQ(LoadModels(config_).status(),
            WrongUsage("--kv-cache-type: no model is called \"other\"; say one of whole"));
}

TEST_F(LoadModelsTest, GgufFilesOfTheFolderAreServedBesideFolders) {
  const std::filesystem::path dir = whole_.File("dir");
  std::filesystem::create_directories(dir);
  std::filesystem::copy(whole_.path(), dir / "average");
  const std::string golden = absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/gguf/");
  std::filesystem::copy(golden + "gpt2/model.gguf", dir / "Gpt2-F32.gguf");
  config_.models.clear();
  config_.models_dir = dir.string();
  const auto loaded = LoadModels(config_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(Names(loaded->registry), ElementsAre("average", "gpt2-f32"));
}

TEST_F(LoadModelsTest, AModelOfTheFolderCannotHaveTheNameOfAGivenOne) {
  const std::filesystem::path dir = whole_.File("dir");
  std::filesystem::create_directories(dir);
  std::filesystem::copy(whole_.path(), dir / "whole");
  config_.models = {{"whole", whole_.path()}};
  config_.models_dir = dir.string();
  config_.allow_missing = true;
  const absl::Status status = LoadModels(config_).status();
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("two models are called \"whole\": "), HasSubstr(whole_.path()),
                    HasSubstr((dir / "whole").string())));
  EXPECT_TRUE(IsWrongUsage(status));
}

// A log of a model's loading on a clock of its own.
class LoadLogTest : public testing::Test {
 protected:
  std::vector<std::string> lines_;
  absl::Time time_ = absl::UnixEpoch();
  const std::function<void(absl::string_view)> write_ = [this](absl::string_view line) {
    lines_.emplace_back(line);
  };
  const LoadLog::Clock clock_ = [this] { return time_; };
};

TEST_F(LoadLogTest, NothingIsSaidOfAQuickModel) {
  LoadLog log("tiny", write_, clock_);
  time_ += absl::Milliseconds(900);
  log.Progress("loading", 1, 2);
  log.Finish(1000, {});
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(LoadLogTest, ASlowModelIsToldOfEveryTwoSecondsAndAtTheEnd) {
  LoadLog log("large", write_, clock_);
  for (int64_t tenths = 1; tenths <= 45; ++tenths) {
    time_ += absl::Milliseconds(100);
    log.Progress(tenths < 20 ? "checking" : "loading", tenths * 100000000, 4500000000);
  }
  log.Finish(9000000000, {.made_packed_copy = true});
  EXPECT_THAT(lines_,
              ElementsAre("loading large: 44 % of 4500 M parameters",
                          "loading large: 88 % of 4500 M parameters",
                          "loaded large in 4.5 s: 9.00 GB of weights at 2.00 GB/s; the next start "
                          "has a packed copy"));
}

TEST_F(LoadLogTest, CheckingIsOfBytes) {
  LoadLog log("large", write_, clock_);
  time_ += absl::Seconds(3);
  log.Progress("checking", 500000000, 4500000000);
  log.Finish(3000000000, {.from_packed_copy = true});
  EXPECT_THAT(lines_, ElementsAre("checking large: 11 % of 4.5 GB",
                                  "loaded large in 3.0 s: 3.00 GB of weights at 1.00 GB/s, from "
                                  "the packed copy"));
}

// A server that starts again finds the copy, and one whose checkpoint has changed makes another.
TEST_F(LoadModelsTest, PackedCopiesAreFoundAgainAndFollowTheCheckpoint) {
  const TestFolder copies;
  config_.models = {{"whole", whole_.path()}};
  config_.pack_cache = copies.File("packed");
  const auto report = [&] {
    const auto loaded = LoadModels(config_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_THAT(loaded->warnings.size(), testing::Le(1));
    return loaded->registry.models().front()->report;
  };
  EXPECT_TRUE(report().made_packed_copy);
  EXPECT_TRUE(report().from_packed_copy);
  config_.models.front().name = "other";
  EXPECT_TRUE(report().made_packed_copy);
  config_.models.front().name = "whole";
  std::vector<TestTensor> tensors = TinyTensors("llama");
  tensors.front() = RandomTensor(tensors.front().name, "F32", {11, 8}, 77);
  WriteWeights(whole_, tensors);
  EXPECT_TRUE(report().made_packed_copy);
  EXPECT_TRUE(report().from_packed_copy);
}

}  // namespace
}  // namespace heed
