// What checkpoints' headers say, those of models that heed serves and of others.
#include "model/checkpoint/describe.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using testing::ElementsAre;

CheckpointDescription Describe(const std::string& path) {
  const auto description = DescribeCheckpoint(path);
  EXPECT_THAT(description, IsOk());
  return description.value_or(CheckpointDescription{});
}

std::string Golden(const std::string& name) {
  return std::string(HEED_SOURCE_DIR) + "/tests/golden/" + name;
}

TEST(DescribeTest, AGgufFile) {
  const CheckpointDescription file = Describe(Golden("gguf/llama3-bf16/model.gguf"));
  EXPECT_TRUE(file.is_gguf);
  EXPECT_EQ(file.architecture, "llama");
  EXPECT_EQ(file.weight_files, 1);
  EXPECT_EQ(file.tokenizer, "");
  ASSERT_EQ(file.tensors.size(), 29);
  const auto table = std::find_if(file.tensors.begin(), file.tensors.end(),
                                  [](const auto& t) { return t.name == "token_embd.weight"; });
  ASSERT_NE(table, file.tensors.end());
  EXPECT_EQ(table->file, "model.gguf");
  EXPECT_EQ(table->dtype, "BF16");
  EXPECT_EQ(table->values, 48 * 24);
  EXPECT_EQ(table->bytes, 2 * 48 * 24);
  EXPECT_EQ(Describe(Golden("gguf/bert/model.gguf")).tokenizer, "GGUF");
}

TEST(DescribeTest, AFolderInShards) {
  const CheckpointDescription folder = Describe(Golden("models/llama-gqa-f32"));
  EXPECT_FALSE(folder.is_gguf);
  EXPECT_EQ(folder.architecture, "llama");
  EXPECT_EQ(folder.weight_files, 3);
  EXPECT_EQ(folder.tokenizer, "tokenizer.json");
  EXPECT_EQ(folder.tensors.size(), 30);
}

TEST(DescribeTest, TensorsOfAShardThatTheIndexLeavesOut) {
  const TestFolder folder;
  WriteTinyModel(folder, "llama", "F32", 2);
  const std::string shard = "model-00002-of-00002.safetensors";
  folder.Write(shard, SafetensorsFile(std::vector<TestTensor>{RandomTensor("a", "F32", {2}, 1),
                                                              RandomTensor("b", "F32", {3}, 2)}));
  folder.Write("model.safetensors.index.json", R"({"weight_map": {"b": ")" + shard + "\"}}");
  const CheckpointDescription description = Describe(folder.path());
  ASSERT_EQ(description.tensors.size(), 2);
  EXPECT_FALSE(description.tensors[0].in_index);
  EXPECT_TRUE(description.tensors[1].in_index);
}

TEST(DescribeTest, OneSafetensorsFile) {
  const CheckpointDescription file = Describe(Golden("models/opt-f16/model.safetensors"));
  EXPECT_EQ(file.architecture, "");
  EXPECT_EQ(file.weight_files, 1);
  EXPECT_EQ(file.tensors.front().file, "model.safetensors");
}

TEST(DescribeTest, WhatHeedDoesNotKnowIsDescribedAsFarAsItCanBe) {
  const TestFolder folder;
  TestGguf file = TinyGguf("gpt2");
  file.Set("general.architecture", GgufText("rwkv7"));
  folder.Write("m.gguf", file.Bytes());
  EXPECT_EQ(Describe(folder.File("m.gguf")).architecture, "rwkv7");
  EXPECT_EQ(Describe(folder.File("m.gguf")).tensors.size(), 28);
  const TestFolder hugging_face;
  WriteTinyModel(hugging_face, "gpt2");
  hugging_face.Write("config.json", R"({"model_type": "rwkv7"})");
  EXPECT_EQ(Describe(hugging_face.path()).architecture, "rwkv7");
  hugging_face.Write("config.json", R"({"architectures": ["XForY"]})");
  EXPECT_EQ(Describe(hugging_face.path()).architecture, "XForY");
  hugging_face.Write("config.json", R"({"architectures": [3]})");
  EXPECT_EQ(Describe(hugging_face.path()).architecture, "");
  hugging_face.Write("config.json", "{");
  EXPECT_EQ(Describe(hugging_face.path()).architecture, "");
  EXPECT_EQ(Describe(hugging_face.path()).tensors.size(), 28);
}

TEST(DescribeTest, EveryMissingTensorOfAGgufFile) {
  const TestFolder folder;
  TestGguf file = TinyGguf("llama");
  for (const char* name : {"blk.0.attn_q.weight", "blk.1.ffn_up.weight", "output_norm.weight"}) {
    file.RemoveTensor(name);
  }
  folder.Write("m.gguf", file.Bytes());
  const CheckpointDescription description = Describe(folder.File("m.gguf"));
  std::vector<std::string> messages;
  for (const absl::Status& status : description.missing) {
    messages.push_back(std::string(status.message()));
  }
  EXPECT_THAT(
      messages,
      ElementsAre("m.gguf: has no tensor \"output_norm.weight\", which must have shape [8]",
                  "m.gguf: has no tensor \"blk.0.attn_q.weight\", which must have shape [8, 8]",
                  "m.gguf: has no tensor \"blk.1.ffn_up.weight\", which must have shape [16, 8]"));
  EXPECT_EQ(OpenGguf(folder.File("m.gguf")).status(), description.missing.front());
  EXPECT_THAT(Describe(Golden("gguf/bert/model.gguf")).missing, testing::IsEmpty());
}

TEST(DescribeTest, WhereThereIsNothingIsAnError) {
  const TestFolder folder;
  EXPECT_THAT(DescribeCheckpoint(folder.File("none")).status(),
              IsError(absl::StatusCode::kNotFound, "there is no such folder"));
  EXPECT_THAT(DescribeCheckpoint(folder.File("none.safetensors")).status(),
              IsError(absl::StatusCode::kNotFound, "none.safetensors: there is no such file"));
  EXPECT_THAT(DescribeCheckpoint(folder.path()).status(),
              IsError(absl::StatusCode::kNotFound, "the folder is empty"));
  folder.Write("m.gguf", "GGUF");
  EXPECT_THAT(DescribeCheckpoint(folder.File("m.gguf")).status(),
              IsError(absl::StatusCode::kInvalidArgument, "m.gguf: ends after 4 bytes"));
}

// A model of one name for each role that a tensor can have.
TEST(DescribeTest, RolesOfTensors) {
  ModelConfig config;
  config.architecture = "llama";
  config.tied_embeddings = true;
  CheckpointDescription files;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight",
                           "model.layers.0.self_attn.rotary_emb.inv_freq", "x"}) {
    files.tensors.push_back({name});
  }
  files.tensors.push_back({"model.embed_tokens.weight"});
  files.tensors.back().in_index = false;
  const std::vector<std::string> parameters = {"embed_tokens.weight"};
  EXPECT_THAT(TensorRoles(files, config, parameters, "lm_head.weight"),
              ElementsAre(TensorRole::kParameter, TensorRole::kTiedCopy, TensorRole::kBuffer,
                          TensorRole::kUnused, TensorRole::kUnused));
  config.tied_embeddings = false;
  EXPECT_EQ(TensorRoles(files, config, parameters, "lm_head.weight")[1], TensorRole::kUnused);
}

}  // namespace
}  // namespace heed
