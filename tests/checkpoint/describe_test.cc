// Descriptions of checkpoints, of those that heed serves and of others.
#include "model/checkpoint/describe.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

CheckpointDescription Describe(const std::string& path) {
  const auto description = DescribeCheckpoint(path);
  EXPECT_THAT(description, IsOk());
  return description.value_or(CheckpointDescription{});
}

std::string Golden(const std::string& name) {
  return std::string(HEED_SOURCE_DIR) + "/tests/golden/" + name;
}

TEST(DescribeTest, AGgufFileInFull) {
  EXPECT_EQ(DescriptionText(Describe(Golden("gguf/llama3-bf16/model.gguf"))),
            "format       GGUF, 1 file of 26.7 kB\n"
            "architecture llama\n"
            "parameters   11,820 in 29 tensors\n"
            "  BF16       11,520 in 15 tensors, 23 kB\n"
            "  F32        300 in 14 tensors, 1.2 kB\n"
            "tokenizer    none\n"
            "layers       2 layers of 4 heads on 2 key heads of 8, width 24, feed-forward 40\n"
            "vocabulary   48 rows, also the unembedding\n"
            "context      64 tokens, causal\n"
            "memory       47.3 kB of weights in f32, 256 B of keys and values per token, 16.4 kB "
            "for a whole context\n"
            "heed         can serve it\n");
}

TEST(DescribeTest, AFolderInShards) {
  const CheckpointDescription description = Describe(Golden("models/llama-gqa-f32"));
  EXPECT_EQ(description.format, "safetensors");
  EXPECT_EQ(description.architecture, "llama");
  EXPECT_EQ(description.weight_files, 3);
  EXPECT_EQ(description.tokenizer, "BPE, tokenizer.json");
  EXPECT_EQ(description.bytes(), 4 * description.values());
  ASSERT_TRUE(description.config.has_value());
  EXPECT_EQ(description.cache_bytes_per_token(), 2 * 3 * 24 * 4);
}

TEST(DescribeTest, GgufTokenizersAndModelsWithoutAHead) {
  const CheckpointDescription bert = Describe(Golden("gguf/bert/model.gguf"));
  EXPECT_EQ(bert.tokenizer, "bert, 300 tokens");
  EXPECT_THAT(DescriptionText(bert), HasSubstr("300 rows, no head: embeddings, but no predict"));
  EXPECT_THAT(DescriptionText(bert), HasSubstr("context      32 tokens, bidirectional\n"));
}

TEST(DescribeTest, QuantizedTypesAreCounted) {
  const CheckpointDescription description = Describe(Golden("gguf/quantized/Q4_K_M.gguf"));
  EXPECT_EQ(description.stored.front().dtype, "Q4_K");
  EXPECT_LT(description.bytes(), description.values());
  EXPECT_THAT(DescriptionText(description), HasSubstr("\n  Q6_K       "));
}

TEST(DescribeTest, WhatHeedRefusesIsDescribedAsFarAsItCanBe) {
  const TestFolder folder;
  TestGguf file = TinyGguf("gpt2");
  file.Set("general.architecture", GgufText("rwkv7"));
  folder.Write("m.gguf", file.Bytes());
  CheckpointDescription description = Describe(folder.File("m.gguf"));
  EXPECT_EQ(description.architecture, "rwkv7");
  EXPECT_EQ(description.tensors(), 28);
  EXPECT_FALSE(description.config.has_value());
  EXPECT_THAT(
      DescriptionText(description),
      HasSubstr("\nheed         refuses it: m.gguf: general.architecture is \"rwkv7\"; he"));
  const TestFolder hugging_face;
  WriteTinyModel(hugging_face, "gpt2");
  hugging_face.Write("config.json", R"({"model_type": "rwkv7"})");
  description = Describe(hugging_face.path());
  EXPECT_EQ(description.architecture, "rwkv7");
  EXPECT_EQ(description.tensors(), 28);
  EXPECT_THAT(DescriptionText(description), HasSubstr("refuses it: config.json: model_type is"));
  hugging_face.Write("config.json", "{");
  description = Describe(hugging_face.path());
  EXPECT_THAT(DescriptionText(description), HasSubstr("architecture not named\n"));
  EXPECT_THAT(std::string(description.refusal.message()), StartsWith("config.json: "));
}

TEST(DescribeTest, WhereThereIsNothingIsAnError) {
  const TestFolder folder;
  EXPECT_THAT(DescribeCheckpoint(folder.File("none")).status(),
              IsError(absl::StatusCode::kNotFound, "there is no such folder"));
  EXPECT_THAT(DescribeCheckpoint(folder.path()).status(),
              IsError(absl::StatusCode::kNotFound, "the folder is empty"));
  folder.Write("m.gguf", "GGUF");
  EXPECT_THAT(DescribeCheckpoint(folder.File("m.gguf")).status(),
              IsError(absl::StatusCode::kInvalidArgument, "m.gguf: ends after 4 bytes"));
}

TEST(DescribeTest, SizesAreReadable) {
  CheckpointDescription description;
  description.stored = {{"F32", 1, 1234567890, 4938271560}, {"F16", 2, 999, 1998}};
  const std::string text = DescriptionText(description);
  EXPECT_THAT(text, HasSubstr("parameters   1,234,568,889 in 3 tensors\n"));
  EXPECT_THAT(text, HasSubstr("  F32        1,234,567,890 in 1 tensor, 4.94 GB\n"));
  EXPECT_THAT(text, HasSubstr("  F16        999 in 2 tensors, 2 kB\n"));
}

}  // namespace
}  // namespace heed
