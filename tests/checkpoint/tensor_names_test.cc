#include "model/checkpoint/tensor_names.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace heed {
namespace {

using ::testing::Eq;
using ::testing::Optional;

TEST(CanonicalTensorNameTest, StripsTheBaseModelPrefixOnce) {
  EXPECT_THAT(CanonicalTensorName("gpt2", "transformer.wte.weight"), Optional(Eq("wte.weight")));
  EXPECT_THAT(CanonicalTensorName("gpt2", "wte.weight"), Optional(Eq("wte.weight")));
  EXPECT_THAT(CanonicalTensorName("gpt2", "lm_head.weight"), Optional(Eq("lm_head.weight")));
  EXPECT_THAT(CanonicalTensorName("gpt2", "transformer.transformer.x"),
              Optional(Eq("transformer.x")));
  EXPECT_THAT(CanonicalTensorName("llama", "model.norm.weight"), Optional(Eq("norm.weight")));
  EXPECT_THAT(CanonicalTensorName("bert", "bert.pooler.dense.bias"),
              Optional(Eq("pooler.dense.bias")));
  EXPECT_THAT(CanonicalTensorName("bert", "model.x"), Optional(Eq("model.x")));
  EXPECT_THAT(CanonicalTensorName("heed_mixing", "bert.x"), Optional(Eq("bert.x")));
  EXPECT_THAT(CanonicalTensorName("heed_mixing", "embeddings.position_ids"),
              Optional(Eq("embeddings.position_ids")));
}

// As published, and as transformers 5 writes it.
TEST(CanonicalTensorNameTest, ALanguageModelInsideALargerOne) {
  for (const char* name : {"language_model.model.norm.weight", "model.language_model.norm.weight",
                           "model.norm.weight", "norm.weight"}) {
    EXPECT_THAT(CanonicalTensorName("gemma3_text", name), Optional(Eq("norm.weight"))) << name;
  }
  EXPECT_THAT(CanonicalTensorName("gemma3_text", "language_model.lm_head.weight"),
              Optional(Eq("lm_head.weight")));
  EXPECT_THAT(CanonicalTensorName("gemma3_text", "vision_tower.norm.weight"),
              Optional(Eq("vision_tower.norm.weight")));
  EXPECT_THAT(CanonicalTensorName("gemma2", "language_model.norm.weight"),
              Optional(Eq("language_model.norm.weight")));
}

TEST(CanonicalTensorNameTest, RenamesGammaAndBeta) {
  EXPECT_THAT(CanonicalTensorName("bert", "bert.embeddings.LayerNorm.gamma"),
              Optional(Eq("embeddings.LayerNorm.weight")));
  EXPECT_THAT(CanonicalTensorName("bert", "cls.predictions.transform.LayerNorm.beta"),
              Optional(Eq("cls.predictions.transform.LayerNorm.bias")));
  EXPECT_THAT(CanonicalTensorName("bert", "layer.gamma"), Optional(Eq("layer.gamma")));
}

TEST(CanonicalTensorNameTest, DropsBuffers) {
  EXPECT_THAT(CanonicalTensorName("gpt2", "h.0.attn.bias"), Eq(std::nullopt));
  EXPECT_THAT(CanonicalTensorName("gpt2", "transformer.h.11.attn.masked_bias"), Eq(std::nullopt));
  EXPECT_THAT(CanonicalTensorName("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
              Eq(std::nullopt));
  EXPECT_THAT(CanonicalTensorName("bert", "bert.embeddings.position_ids"), Eq(std::nullopt));
  EXPECT_THAT(CanonicalTensorName("bert", "embeddings.token_type_ids"), Eq(std::nullopt));
}

TEST(CanonicalTensorNameTest, KeepsParametersThatLookLikeBuffers) {
  EXPECT_THAT(CanonicalTensorName("gpt2", "h.0.attn.c_attn.bias"),
              Optional(Eq("h.0.attn.c_attn.bias")));
  EXPECT_THAT(CanonicalTensorName("llama", "model.layers.0.attn.bias"),
              Optional(Eq("layers.0.attn.bias")));
}

}  // namespace
}  // namespace heed
