// What is particular about each architecture of GGUF files: facts, names, order of rows, spellings.
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/checkpoint/gguf_builder.h"
#include "tests/checkpoint/status_matchers.h"

namespace heed {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

class GgufFamiliesTest : public testing::Test {
 protected:
  std::unique_ptr<Checkpoint> Open(const TestGguf& file) {
    folder_.Write("m.gguf", file.Bytes());
    auto checkpoint = OpenCheckpoint(folder_.File("m.gguf"));
    EXPECT_THAT(checkpoint, IsOk());
    return checkpoint.ok() ? *std::move(checkpoint) : nullptr;
  }

  ModelConfig ConfigOf(const TestGguf& file) {
    const auto checkpoint = Open(file);
    return checkpoint == nullptr ? ModelConfig{} : checkpoint->config();
  }

  TestFolder folder_;
};

std::vector<float> Read(const Checkpoint& checkpoint, absl::string_view name) {
  const TensorInfo* info = checkpoint.Find(name);
  EXPECT_NE(info, nullptr) << name;
  if (info == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(ElementsOf(info->shape)));
  EXPECT_THAT(checkpoint.ReadF32(name, info->shape, absl::MakeSpan(values)), IsOk()) << name;
  return values;
}

// The values of a tensor in the file's order.
std::vector<float> StoredIn(TestGguf file, absl::string_view name) {
  const std::string& bytes = file.Tensor(name).bytes;
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Of a model shaped like Llama, with heads of 2 in place of 4.
TestGguf WithHalfHeads(TestGguf file, const std::string& architecture) {
  file.Set(architecture + ".attention.key_length", GgufU32(2));
  const std::vector<std::pair<const char*, std::vector<int64_t>>> shapes = {
      {"attn_q.", {4, 8}},      {"attn_k.", {2, 8}},   {"attn_v.", {2, 8}},
      {"attn_output.", {8, 4}}, {"attn_q_norm.", {2}}, {"attn_k_norm.", {2}}};
  for (TestGgufTensor& tensor : file.tensors) {
    for (const auto& [part, shape] : shapes) {
      if (absl::StrContains(tensor.name, part)) tensor = F32Tensor(tensor.name, shape, 1);
    }
  }
  return file;
}

// A vector of these numbers.
void AddFactors(TestGguf& file, const char* name, const std::vector<float>& values) {
  TestGgufTensor tensor{name, {values.size()}};
  tensor.bytes.resize(values.size() * sizeof(float));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  file.tensors.push_back(tensor);
}

TEST_F(GgufFamiliesTest, EveryArchitectureOpens) {
  for (const std::string& architecture : TinyGgufArchitectures()) {
    const ModelConfig config = ConfigOf(TinyGguf(architecture));
    EXPECT_EQ(config.n_layers, 2) << architecture;
    EXPECT_EQ(config.has_head, !absl::EndsWith(architecture, "bert")) << architecture;
    EXPECT_EQ(config.causal, config.has_head) << architecture;
  }
}

TEST_F(GgufFamiliesTest, LlamasWindowIsOfAllLayers) {
  TestGguf file = TinyGguf("llama");
  EXPECT_THAT(ConfigOf(file).windowed, IsEmpty());
  file.Set("llama.attention.sliding_window", GgufU32(0));
  EXPECT_THAT(ConfigOf(file).windowed, IsEmpty());
  file.Set("llama.attention.sliding_window", GgufU32(7));
  EXPECT_EQ(ConfigOf(file).window, 7);
  EXPECT_THAT(ConfigOf(file).windowed, ElementsAre(true, true));
}

TEST_F(GgufFamiliesTest, LlamasBiasesAreOfThreeProjectionsOrFour) {
  TestGguf file = TinyGguf("llama");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    file.tensors.push_back(F32Tensor(layer + "attn_q.bias", {8}, 1));
    file.tensors.push_back(F32Tensor(layer + "attn_k.bias", {4}, 1));
    file.tensors.push_back(F32Tensor(layer + "attn_v.bias", {4}, 1));
  }
  EXPECT_TRUE(ConfigOf(file).qkv_bias);
  EXPECT_FALSE(ConfigOf(file).attention_bias);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    file.tensors.push_back(F32Tensor(layer + "attn_output.bias", {8}, 1));
  }
  EXPECT_TRUE(ConfigOf(file).attention_bias);
}

TEST_F(GgufFamiliesTest, SmolLm3sFourthLayersHaveNoPositions) {
  TestGguf file = TinyGguf("smollm3");
  const auto checkpoint = Open(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_THAT(checkpoint->config().unrotated, ElementsAre(false, false));
  const std::vector<float> stored = StoredIn(file, "blk.0.attn_k.weight");
  const std::vector<float> key = Read(*checkpoint, "layers.0.self_attn.k_proj.weight");
  for (int i = 0; i < 8; ++i) EXPECT_EQ(key[8 + i], stored[16 + i]);
}

// Of so many layers, of which those from the third on are copies of the second.
TestGguf WithLayers(TestGguf file, uint32_t n_layers, const std::string& architecture) {
  const std::vector<TestGgufTensor> tensors = file.tensors;
  for (uint32_t layer = 2; layer < n_layers; ++layer) {
    for (TestGgufTensor tensor : tensors) {
      if (!absl::StartsWith(tensor.name, "blk.1.")) continue;
      tensor.name.replace(4, 1, absl::StrCat(layer));
      file.tensors.push_back(tensor);
    }
  }
  file.Set(architecture + ".block_count", GgufU32(n_layers));
  return file;
}

TEST_F(GgufFamiliesTest, WhatDependsOnTheNumberOfLayers) {
  EXPECT_THAT(ConfigOf(WithLayers(TinyGguf("smollm3"), 5, "smollm3")).unrotated,
              ElementsAre(false, false, false, true, false));
  EXPECT_THAT(ConfigOf(WithLayers(TinyGguf("gemma3"), 7, "gemma3")).windowed,
              ElementsAre(true, true, true, true, true, false, true));
  // The largest Gemmas scale by each head's share of the width.
  for (const auto& [architecture, layers] : {std::pair{"gemma2", 46}, std::pair{"gemma3", 62}}) {
    const TestGguf file = WithHalfHeads(TinyGguf(architecture), architecture);
    EXPECT_THAT(ConfigOf(file).attention_scale, DoubleEq(0.70710678118654746));
    EXPECT_EQ(ConfigOf(WithLayers(file, layers, architecture)).attention_scale, 0.5);
  }
}

TEST_F(GgufFamiliesTest, Phi3sFactorsAreOfShortAndLongSequences) {
  TestGguf file = TinyGguf("phi3");
  ModelConfig config = ConfigOf(file);
  EXPECT_EQ(config.rotary_dim, 4);
  EXPECT_THAT(config.windowed, IsEmpty());
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kNone);
  file.Set("phi3.attention.sliding_window", GgufU32(9));
  file.Set("phi3.rope.scaling.original_context_length", GgufU32(4));
  file.Set("phi3.rope.scaling.attn_factor", GgufF32(1.25f));
  AddFactors(file, "rope_factors_short.weight", {1, 2});
  AddFactors(file, "rope_factors_long.weight", {3, 4});
  config = ConfigOf(file);
  EXPECT_THAT(config.windowed, ElementsAre(true, true));
  EXPECT_EQ(config.window, 9);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLongRope);
  EXPECT_EQ(config.rope_scaling.original_context, 4);
  EXPECT_EQ(config.rope_scaling.attention_factor, 1.25);
  EXPECT_THAT(config.rope_scaling.short_factors, ElementsAre(1, 2));
  EXPECT_THAT(config.rope_scaling.long_factors, ElementsAre(3, 4));
}

TEST_F(GgufFamiliesTest, StarCoder2AndStableLmHaveLayerNorms) {
  const auto starcoder = Open(TinyGguf("starcoder2")), stable = Open(TinyGguf("stablelm"));
  ASSERT_NE(starcoder, nullptr);
  ASSERT_NE(stable, nullptr);
  EXPECT_TRUE(starcoder->config().attention_bias && starcoder->config().mlp_bias);
  EXPECT_FALSE(starcoder->config().gated_mlp);
  EXPECT_EQ(starcoder->config().activation, Activation::kGeluTanh);
  EXPECT_NE(starcoder->Find("layers.1.mlp.c_proj.bias"), nullptr);
  EXPECT_NE(starcoder->Find("norm.bias"), nullptr);
  EXPECT_TRUE(stable->config().qkv_bias && stable->config().gated_mlp);
  EXPECT_FALSE(stable->config().parallel_residual || stable->config().attention_bias);
  EXPECT_EQ(stable->config().rotary_dim, 2);
  EXPECT_NE(stable->Find("layers.0.post_attention_layernorm.bias"), nullptr);
}

TEST_F(GgufFamiliesTest, MptHasNoBiases) {
  TestGguf file = TinyGguf("mpt");
  file.Set("mpt.attention.clamp_kqv", GgufF32(0));
  const auto checkpoint = Open(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config().position, PositionKind::kAlibi);
  EXPECT_EQ(checkpoint->config().activation, Activation::kGeluErf);
  EXPECT_FALSE(checkpoint->config().norm_bias);
  EXPECT_THAT(Read(*checkpoint, "blocks.1.attn.Wqkv.weight"),
              ElementsAreArray(StoredIn(file, "blk.1.attn_qkv.weight")));
}

TEST_F(GgufFamiliesTest, YarnTakesTheUsualAttentionFactor) {
  TestGguf file = TinyGguf("qwen2");
  file.Set("qwen2.rope.scaling.type", GgufText("yarn"));
  file.Set("qwen2.rope.scaling.factor", GgufF32(4));
  ModelConfig config = ConfigOf(file);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(config.rope_scaling.factor, 4);
  EXPECT_EQ(config.rope_scaling.original_context, 16);
  EXPECT_EQ(config.rope_scaling.beta_fast, 32);
  EXPECT_EQ(config.rope_scaling.beta_slow, 1);
  EXPECT_TRUE(config.rope_scaling.truncate);
  EXPECT_THAT(config.rope_scaling.attention_factor, DoubleEq(1.1386294361119891));
  file.Set("qwen2.rope.scaling.original_context_length", GgufU32(8));
  file.Set("qwen2.rope.scaling.yarn_beta_fast", GgufF32(16));
  file.Set("qwen2.rope.scaling.yarn_beta_slow", GgufF32(0.5f));
  file.Set("qwen2.rope.scaling.yarn_truncate", GgufBool(false));
  file.Set("qwen2.rope.scaling.yarn_ext_factor", GgufF32(1));
  file.Set("qwen2.rope.scaling.yarn_attn_factor", GgufF32(1.1386294f));
  config = ConfigOf(file);
  EXPECT_EQ(config.rope_scaling.original_context, 8);
  EXPECT_EQ(config.rope_scaling.beta_fast, 16);
  EXPECT_EQ(config.rope_scaling.beta_slow, 0.5);
  EXPECT_FALSE(config.rope_scaling.truncate);
}

TEST_F(GgufFamiliesTest, QwensHaveBiasesOrNormsAndTheirOwnHeads) {
  const auto qwen2 = Open(TinyGguf("qwen2"));
  ASSERT_NE(qwen2, nullptr);
  EXPECT_EQ(qwen2->config().architecture, "qwen2");
  EXPECT_EQ(qwen2->config().rope_theta, 20000);
  EXPECT_NE(qwen2->Find("layers.1.self_attn.k_proj.bias"), nullptr);
  const auto qwen3 = Open(WithHalfHeads(TinyGguf("qwen3"), "qwen3"));
  ASSERT_NE(qwen3, nullptr);
  EXPECT_EQ(qwen3->config().head_dim, 2);
  EXPECT_TRUE(qwen3->config().query_key_norm);
  EXPECT_THAT(qwen3->Find("layers.0.self_attn.q_norm.weight")->shape, ElementsAre(2));
  EXPECT_THAT(qwen3->Find("layers.0.self_attn.o_proj.weight")->shape, ElementsAre(8, 4));
}

// Files of `llama` and `smollm3` have the two parts of rotary pairs side by side, and no others.
TEST_F(GgufFamiliesTest, RowsOfOthersThanLlamaStay) {
  for (const char* architecture :
       {"qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi2", "starcoder2", "stablelm"}) {
    const TestGguf file = TinyGguf(architecture);
    const auto checkpoint = Open(file);
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_THAT(Read(*checkpoint, "layers.0.self_attn.q_proj.weight"),
                ElementsAreArray(StoredIn(file, "blk.0.attn_q.weight")));
  }
}

// The file's norms have the 1 added that a folder's lack.
TEST_F(GgufFamiliesTest, GemmasNormsArePlainAndEmbeddingsScaled) {
  for (const char* architecture : {"gemma", "gemma2", "gemma3"}) {
    const ModelConfig config = ConfigOf(TinyGguf(architecture));
    EXPECT_EQ(config.norm_weight_offset, 0);
    EXPECT_THAT(config.embedding_scale, DoubleEq(2.8284271247461903));
    EXPECT_EQ(config.activation, Activation::kGeluTanh);
    EXPECT_EQ(config.attention_scale, 0.5);
    EXPECT_TRUE(config.tied_embeddings && config.gated_mlp);
  }
}

TEST_F(GgufFamiliesTest, Gemma2AlternatesAndCaps) {
  TestGguf file = TinyGguf("gemma2");
  ModelConfig config = ConfigOf(file);
  EXPECT_EQ(config.attention_soft_cap, 25);
  EXPECT_EQ(config.logit_soft_cap, 15);
  EXPECT_EQ(config.window, 5);
  EXPECT_THAT(config.windowed, ElementsAre(true, false));
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_FALSE(config.windowed_rope.has_value());
  for (const char* key :
       {"attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window"}) {
    file.RemoveKey(absl::StrCat("gemma2.", key));
  }
  config = ConfigOf(file);
  EXPECT_EQ(config.attention_soft_cap, 50);
  EXPECT_EQ(config.logit_soft_cap, 30);
  EXPECT_EQ(config.window, 4096);
}

TEST_F(GgufFamiliesTest, Gemma2NamesItsFourNorms) {
  const TestGguf file = TinyGguf("gemma2");
  const auto checkpoint = Open(file);
  ASSERT_NE(checkpoint, nullptr);
  const std::vector<std::pair<const char*, const char*>> names = {
      {"attn_norm", "input_layernorm"},
      {"post_attention_norm", "post_attention_layernorm"},
      {"ffn_norm", "pre_feedforward_layernorm"},
      {"post_ffw_norm", "post_feedforward_layernorm"}};
  for (const auto& [gguf, canonical] : names) {
    EXPECT_THAT(Read(*checkpoint, absl::StrCat("layers.1.", canonical, ".weight")),
                ElementsAreArray(StoredIn(file, absl::StrCat("blk.1.", gguf, ".weight"))));
  }
}

TEST_F(GgufFamiliesTest, Gemma3sWindowsFollowThePatternAndHaveTheirOwnTheta) {
  TestGguf file = TinyGguf("gemma3");
  file.Set("gemma3.rope.scaling.type", GgufText("linear"));
  file.Set("gemma3.rope.scaling.factor", GgufF32(8));
  ModelConfig config = ConfigOf(file);
  EXPECT_EQ(config.architecture, "gemma3_text");
  EXPECT_THAT(config.windowed, ElementsAre(true, true));
  EXPECT_EQ(config.rope_theta, 1e6);
  EXPECT_EQ(config.rope_scaling.factor, 8);
  ASSERT_TRUE(config.windowed_rope.has_value());
  EXPECT_EQ(config.windowed_rope->theta, 10000);
  EXPECT_EQ(config.windowed_rope->scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_EQ(config.logit_soft_cap, 0);
  file.Set("gemma3.rope.freq_base_swa", GgufF32(500));
  file.Set("gemma3.attention.sliding_window_pattern", GgufU32(2));
  file.Set("gemma3.final_logit_softcapping", GgufF32(30));
  config = ConfigOf(file);
  EXPECT_THAT(config.windowed, ElementsAre(true, false));
  EXPECT_EQ(config.windowed_rope->theta, 500);
  EXPECT_EQ(config.logit_soft_cap, 30);
  file.Set("gemma3.attention.sliding_window_pattern", GgufBools({false, true}));
  EXPECT_THAT(ConfigOf(file).windowed, ElementsAre(false, true));
  file.RemoveKey("gemma3.attention.sliding_window");
  EXPECT_THAT(ConfigOf(file).windowed, IsEmpty());
  EXPECT_FALSE(ConfigOf(file).windowed_rope.has_value());
}

// [query | key | value] of all heads becomes that of each head in turn, as folders have it.
TEST_F(GgufFamiliesTest, GptNeoXAndBloomGetTheFoldersOrder) {
  for (const auto& [architecture, name] :
       {std::pair{"gptneox", "layers.0.attention"}, std::pair{"bloom", "h.0.self_attention"}}) {
    const TestGguf file = TinyGguf(architecture);
    const auto checkpoint = Open(file);
    ASSERT_NE(checkpoint, nullptr);
    const std::vector<float> stored = StoredIn(file, "blk.0.attn_qkv.weight");
    const std::vector<float> got = Read(*checkpoint, absl::StrCat(name, ".query_key_value.weight"));
    const std::vector<float> bias = Read(*checkpoint, absl::StrCat(name, ".query_key_value.bias"));
    const std::vector<float> stored_bias = StoredIn(file, "blk.0.attn_qkv.bias");
    for (int row = 0; row < 24; ++row) {
      const int head = row / 12, part = row % 12 / 4, from = 8 * part + 4 * head + row % 4;
      EXPECT_EQ(bias[row], stored_bias[from]);
      for (int i = 0; i < 8; ++i) EXPECT_EQ(got[8 * row + i], stored[8 * from + i]);
    }
  }
}

TEST_F(GgufFamiliesTest, GptNeoXRotatesAPartOfEachHead) {
  TestGguf file = TinyGguf("gptneox");
  ModelConfig config = ConfigOf(file);
  EXPECT_EQ(config.architecture, "gpt_neox");
  EXPECT_EQ(config.rotary_dim, 2);
  EXPECT_EQ(config.activation, Activation::kGeluErf);
  EXPECT_TRUE(config.parallel_residual && config.attention_bias);
  file.Set("gptneox.use_parallel_residual", GgufBool(false));
  for (const char* layer : {"blk.0.", "blk.1."}) {
    file.RemoveTensor(absl::StrCat(layer, "attn_qkv.bias"));
    file.RemoveTensor(absl::StrCat(layer, "attn_output.bias"));
  }
  config = ConfigOf(file);
  EXPECT_FALSE(config.parallel_residual || config.attention_bias);
}

TEST_F(GgufFamiliesTest, Phi2HasABiasedUnembedding) {
  const auto checkpoint = Open(TinyGguf("phi2"));
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config().architecture, "phi");
  EXPECT_EQ(checkpoint->config().rotary_dim, 2);
  EXPECT_TRUE(checkpoint->config().parallel_residual);
  EXPECT_THAT(checkpoint->Find("lm_head.bias")->shape, ElementsAre(11));
}

TEST_F(GgufFamiliesTest, BloomHasSlopesAndANormedEmbedding) {
  TestGguf file = TinyGguf("bloom");
  file.Set("bloom.attention.max_alibi_bias", GgufF32(8));
  const auto checkpoint = Open(file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->config().position, PositionKind::kAlibi);
  EXPECT_NE(checkpoint->Find("word_embeddings_layernorm.bias"), nullptr);
}

TEST_F(GgufFamiliesTest, ModernBertSeesToBothSides) {
  TestGguf file = TinyGguf("modern-bert");
  file.Set("modern-bert.attention.layer_norm_rms_epsilon", GgufF32(1e-5f));
  file.Set("modern-bert.classifier.pooling_type", GgufU32(1));
  file.Set("modern-bert.classifier.activation", GgufText("gelu"));
  file.tensors.push_back(F32Tensor("cls.weight", {8, 8}, 1));
  file.tensors.push_back(F32Tensor("cls.norm.weight", {8}, 1));
  const auto checkpoint = Open(file);
  ASSERT_NE(checkpoint, nullptr);
  const ModelConfig& config = checkpoint->config();
  EXPECT_EQ(config.architecture, "modernbert");
  EXPECT_FALSE(config.norm_bias || config.has_head);
  EXPECT_EQ(config.window, 5);  // 4 to each side, and itself
  EXPECT_THAT(config.windowed, ElementsAre(false, true));
  EXPECT_EQ(config.rope_theta, 160000);
  EXPECT_EQ(config.windowed_rope->theta, 500);
  EXPECT_EQ(config.activation, Activation::kGeluErf);
  EXPECT_EQ(checkpoint->Find("layers.0.attn_norm.weight"), nullptr);
  EXPECT_NE(checkpoint->Find("layers.1.attn_norm.weight"), nullptr);
  file.Set("modern-bert.hidden_activation", GgufText("silu"));
  EXPECT_EQ(ConfigOf(file).activation, Activation::kSilu);
}

// Puts the three projections of every layer into one tensor, as some converters do.
void Fuse(TestGguf& file, const char* kind) {
  for (const char* layer : {"blk.0.", "blk.1."}) {
    TestGgufTensor fused = file.Tensor(absl::StrCat(layer, "attn_q.", kind));
    fused.name = absl::StrCat(layer, "attn_qkv.", kind);
    for (const char* part : {"attn_k.", "attn_v."}) {
      const TestGgufTensor& next = file.Tensor(absl::StrCat(layer, part, kind));
      fused.dimensions.back() += next.dimensions.back();
      fused.bytes += next.bytes;
    }
    for (const char* part : {"attn_q.", "attn_k.", "attn_v."}) {
      file.RemoveTensor(absl::StrCat(layer, part, kind));
    }
    file.tensors.push_back(fused);
  }
}

TEST_F(GgufFamiliesTest, FusedProjectionsAreTheSame) {
  for (const char* architecture : {"llama", "qwen2", "phi2", "bert"}) {
    TestGguf file = TinyGguf(architecture);
    const auto separate = Open(file);
    Fuse(file, "weight");
    if (std::string(architecture) != "llama") Fuse(file, "bias");
    const auto fused = Open(file);
    ASSERT_NE(separate, nullptr);
    ASSERT_NE(fused, nullptr);
    for (const char* part :
         {"layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj", "layers.1.self_attn.v_proj",
          "encoder.layer.1.attention.self.query", "encoder.layer.1.attention.self.value"}) {
      for (const char* kind : {".weight", ".bias"}) {
        const std::string name = absl::StrCat(part, kind);
        if (separate->Find(name) == nullptr) continue;
        const std::vector<float> want = Read(*separate, name);
        EXPECT_EQ(Read(*fused, name), want) << architecture << " " << name;
        std::vector<float> stored(want.size());
        EXPECT_THAT(fused->ReadStoredRows(
                        name, RowRange::All(fused->Find(name)->shape),
                        absl::MakeSpan(reinterpret_cast<char*>(stored.data()), 4 * stored.size())),
                    IsOk());
        EXPECT_EQ(stored, want) << architecture << " " << name;
      }
    }
  }
}

}  // namespace
}  // namespace heed
