// Checkpoints that transformers itself wrote, heed's own mixing models, and the models that ship
// with heed.
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/tensor_names.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::Optional;

std::string Golden(absl::string_view name) {
  return absl::StrCat(HEED_SOURCE_DIR, "/tests/golden/models/", name);
}

// Every folder with a config.json under `parent`.
std::vector<std::string> CheckpointFolders(absl::string_view parent) {
  std::vector<std::string> folders;
  for (const auto& entry : fs::directory_iterator(absl::StrCat(HEED_SOURCE_DIR, "/", parent))) {
    if (fs::exists(entry.path() / "config.json")) folders.push_back(entry.path().string());
  }
  return folders;
}

// Reads every parameter in the safetensors files of the folder; returns how many there are.
int ReadEverything(const std::string& folder, const Checkpoint& checkpoint) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("model", 0) != 0 || entry.path().extension() != ".safetensors") continue;
    const auto file = File::Open(entry.path().string(), name);
    EXPECT_THAT(file, IsOk());
    const auto tensors = ReadSafetensorsHeader(**file);
    EXPECT_THAT(tensors, IsOk());
    for (const StoredTensor& tensor : *tensors) {
      const auto known = CanonicalTensorName(checkpoint.config().architecture, tensor.name);
      if (!known) continue;
      std::vector<float> values(static_cast<size_t>(ElementCount(tensor.info.shape)));
      EXPECT_THAT(checkpoint.ReadF32(*known, tensor.info.shape, absl::MakeSpan(values)), IsOk());
      ++count;
    }
  }
  return count;
}

TEST(GoldensTest, EveryGoldenOpensAndEveryTensorIsReadable) {
  const std::vector<std::string> folders = CheckpointFolders("tests/golden/models");
  EXPECT_GE(folders.size(), 11);
  for (const std::string& folder : folders) {
    SCOPED_TRACE(folder);
    const auto checkpoint = OpenHuggingFaceFolder(folder);
    ASSERT_THAT(checkpoint, IsOk());
    EXPECT_GE(ReadEverything(folder, **checkpoint), 2);
  }
}

TEST(GoldensTest, ShippedModelsOpen) {
  for (const std::string& folder : CheckpointFolders("model/zoo")) {
    SCOPED_TRACE(folder);
    const auto checkpoint = OpenHuggingFaceFolder(folder);
    ASSERT_THAT(checkpoint, IsOk());
    EXPECT_GT(ReadEverything(folder, **checkpoint), 0);
    EXPECT_FALSE((*checkpoint)->tokenizer_json().empty());
  }
}

TEST(GoldensTest, Gpt2) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("gpt2-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->dtype(), DType::kF32);
  EXPECT_EQ((*checkpoint)->config().norm_eps, 0.001);
  EXPECT_EQ((*checkpoint)->config().ffn_width, 128);
  EXPECT_THAT((*checkpoint)->config().eos_ids, ElementsAre(299));
  EXPECT_THAT((*checkpoint)->Find("h.1.attn.c_attn.weight")->shape, ElementsAre(32, 96));
  EXPECT_FALSE((*checkpoint)->tokenizer_json().empty());
}

TEST(GoldensTest, BareGpt2InF16WithMaskBuffers) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("gpt2-bare-f16"));
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->dtype(), DType::kF16);
  EXPECT_THAT((*checkpoint)->Find("h.0.attn.bias"), IsNull());
  EXPECT_THAT((*checkpoint)->Find("h.0.attn.masked_bias"), IsNull());
  EXPECT_THAT((*checkpoint)->Find("h.0.attn.c_attn.bias"), NotNull());
}

TEST(GoldensTest, ShardedLlamaWithItsOwnHeadDim) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("llama-gqa-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  const ModelConfig& config = (*checkpoint)->config();
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.rope_theta, 5000);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_THAT((*checkpoint)->Find("layers.2.self_attn.q_proj.weight")->shape, ElementsAre(48, 40));
  EXPECT_THAT((*checkpoint)->Find("lm_head.weight")->shape, ElementsAre(320, 40));
}

TEST(GoldensTest, LlamaInBF16AsTransformers5WritesIt) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("llama-bf16"));
  ASSERT_THAT(checkpoint, IsOk());
  const ModelConfig& config = (*checkpoint)->config();
  EXPECT_EQ((*checkpoint)->dtype(), DType::kBF16);
  EXPECT_TRUE(config.attention_bias);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.rope_theta, 500);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(config.rope_scaling.factor, 4);
  EXPECT_EQ(config.rope_scaling.original_context, 32);
  EXPECT_THAT(config.eos_ids, ElementsAre(309, 311));
  EXPECT_THAT(config.bos_id, Optional(308));
}

TEST(GoldensTest, MixingModelWithPositions) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("mixing-attention-pos"));
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_EQ((*checkpoint)->dtype(), DType::kF16);
  EXPECT_EQ((*checkpoint)->config().mixing, MixingPattern::kAttention);
  EXPECT_THAT((*checkpoint)->config().eos_ids, ElementsAre(0));
  EXPECT_THAT((*checkpoint)->Find("position_embedding.weight")->shape, ElementsAre(64, 20));
}

TEST(GoldensTest, BertWithPositionIds) {
  const auto checkpoint = OpenHuggingFaceFolder(Golden("bert-f32"));
  ASSERT_THAT(checkpoint, IsOk());
  EXPECT_FALSE((*checkpoint)->config().causal);
  EXPECT_EQ((*checkpoint)->config().token_types, 2);
  EXPECT_THAT((*checkpoint)->Find("embeddings.position_ids"), IsNull());
  EXPECT_THAT((*checkpoint)->Find("embeddings.word_embeddings.weight")->shape,
              ElementsAre(300, 32));
  EXPECT_THAT((*checkpoint)->Find("cls.predictions.bias")->shape, ElementsAre(300));
}

}  // namespace
}  // namespace heed
