#include "model/transformer/architectures.h"

namespace heed {
namespace {

constexpr TensorNames kGpt2 = {
    .architecture = "gpt2",
    .token_embedding = "wte",
    .position_embedding = "wpe",
    .attention_norm = "h.$.ln_1",
    .fused_qkv = "h.$.attn.c_attn",
    .attention_output = "h.$.attn.c_proj",
    .mlp_norm = "h.$.ln_2",
    .up = "h.$.mlp.c_fc",
    .down = "h.$.mlp.c_proj",
    .final_norm = "ln_f",
    .unembedding = "lm_head",
    .input_major = true,
    .linear_biases = true,
};

constexpr TensorNames kLlama = {
    .architecture = "llama",
    .token_embedding = "embed_tokens",
    .attention_norm = "layers.$.input_layernorm",
    .query = "layers.$.self_attn.q_proj",
    .key = "layers.$.self_attn.k_proj",
    .value = "layers.$.self_attn.v_proj",
    .attention_output = "layers.$.self_attn.o_proj",
    .mlp_norm = "layers.$.post_attention_layernorm",
    .gate = "layers.$.mlp.gate_proj",
    .up = "layers.$.mlp.up_proj",
    .down = "layers.$.mlp.down_proj",
    .final_norm = "norm",
    .unembedding = "lm_head",
};

constexpr TensorNames kBert = {
    .architecture = "bert",
    .token_embedding = "embeddings.word_embeddings",
    .position_embedding = "embeddings.position_embeddings",
    .type_embedding = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .attention_norm = "encoder.layer.$.attention.output.LayerNorm",
    .query = "encoder.layer.$.attention.self.query",
    .key = "encoder.layer.$.attention.self.key",
    .value = "encoder.layer.$.attention.self.value",
    .attention_output = "encoder.layer.$.attention.output.dense",
    .mlp_norm = "encoder.layer.$.output.LayerNorm",
    .up = "encoder.layer.$.intermediate.dense",
    .down = "encoder.layer.$.output.dense",
    .head_dense = "cls.predictions.transform.dense",
    .head_norm = "cls.predictions.transform.LayerNorm",
    .head_bias = "cls.predictions",
    .unembedding = "cls.predictions.decoder",
    .linear_biases = true,
};

constexpr const TensorNames* kArchitectures[] = {&kGpt2, &kLlama, &kBert};

}  // namespace

const TensorNames* FindTensorNames(absl::string_view architecture) {
  for (const TensorNames* names : kArchitectures) {
    if (names->architecture == architecture) return names;
  }
  return nullptr;
}

}  // namespace heed
