#include "model/transformer/architectures.h"

namespace heed {
namespace {

constexpr BiasedParts kAllBiased = {.qkv = true, .attention_output = true, .mlp = true};

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
    .biased = kAllBiased,
};

constexpr TensorNames kGptNeo = {
    .architecture = "gpt_neo",
    .token_embedding = "wte",
    .position_embedding = "wpe",
    .attention_norm = "h.$.ln_1",
    .query = "h.$.attn.attention.q_proj",
    .key = "h.$.attn.attention.k_proj",
    .value = "h.$.attn.attention.v_proj",
    .attention_output = "h.$.attn.attention.out_proj",
    .mlp_norm = "h.$.ln_2",
    .up = "h.$.mlp.c_fc",
    .down = "h.$.mlp.c_proj",
    .final_norm = "ln_f",
    .unembedding = "lm_head",
    .biased = {.attention_output = true, .mlp = true},
};

constexpr TensorNames kGptNeoX = {
    .architecture = "gpt_neox",
    .token_embedding = "embed_in",
    .attention_norm = "layers.$.input_layernorm",
    .fused_qkv = "layers.$.attention.query_key_value",
    .attention_output = "layers.$.attention.dense",
    .mlp_norm = "layers.$.post_attention_layernorm",
    .up = "layers.$.mlp.dense_h_to_4h",
    .down = "layers.$.mlp.dense_4h_to_h",
    .final_norm = "final_layer_norm",
    .unembedding = "embed_out",
    .qkv_packing = QkvPacking::kByHead,
    .biased = {.mlp = true},
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

// Llama's names under another architecture's.
constexpr TensorNames LikeLlama(absl::string_view architecture) {
  TensorNames names = kLlama;
  names.architecture = architecture;
  return names;
}

constexpr TensorNames Qwen2() {
  TensorNames names = LikeLlama("qwen2");
  names.biased.qkv = true;
  return names;
}

constexpr TensorNames WithQueryKeyNorm(TensorNames names) {
  names.query_norm = "layers.$.self_attn.q_norm";
  names.key_norm = "layers.$.self_attn.k_norm";
  return names;
}

// Gemma 2 and 3: norms before and after both halves of a layer.
constexpr TensorNames WithOutputNorms(TensorNames names) {
  names.attention_output_norm = "layers.$.post_attention_layernorm";
  names.mlp_norm = "layers.$.pre_feedforward_layernorm";
  names.mlp_output_norm = "layers.$.post_feedforward_layernorm";
  return names;
}

constexpr TensorNames kMistral = LikeLlama("mistral");
constexpr TensorNames kQwen2 = Qwen2();
constexpr TensorNames kQwen3 = WithQueryKeyNorm(LikeLlama("qwen3"));
constexpr TensorNames kGemma = LikeLlama("gemma");
constexpr TensorNames kGemma2 = WithOutputNorms(LikeLlama("gemma2"));
constexpr TensorNames kGemma3 = WithQueryKeyNorm(WithOutputNorms(LikeLlama("gemma3_text")));

constexpr TensorNames kSmolLm3 = LikeLlama("smollm3");

constexpr TensorNames Phi3() {
  TensorNames names = LikeLlama("phi3");
  names.fused_qkv = "layers.$.self_attn.qkv_proj";
  names.gate = "";
  names.up = "layers.$.mlp.gate_up_proj";
  return names;
}
constexpr TensorNames kPhi3 = Phi3();

constexpr TensorNames StarCoder2() {
  TensorNames names = LikeLlama("starcoder2");
  names.up = "layers.$.mlp.c_fc";
  names.down = "layers.$.mlp.c_proj";
  return names;
}
constexpr TensorNames kStarCoder2 = StarCoder2();
constexpr TensorNames kStableLm = LikeLlama("stablelm");

// One norm for both halves of a layer.
constexpr TensorNames kPhi = {
    .architecture = "phi",
    .token_embedding = "embed_tokens",
    .attention_norm = "layers.$.input_layernorm",
    .query = "layers.$.self_attn.q_proj",
    .key = "layers.$.self_attn.k_proj",
    .value = "layers.$.self_attn.v_proj",
    .query_norm = "layers.$.self_attn.q_layernorm",
    .key_norm = "layers.$.self_attn.k_layernorm",
    .attention_output = "layers.$.self_attn.dense",
    .up = "layers.$.mlp.fc1",
    .down = "layers.$.mlp.fc2",
    .final_norm = "final_layernorm",
    .unembedding = "lm_head",
    .unembedding_bias = "lm_head",
    .biased = kAllBiased,
};

constexpr TensorNames kOpt = {
    .architecture = "opt",
    .token_embedding = "decoder.embed_tokens",
    .position_embedding = "decoder.embed_positions",
    .embedding_projection = "decoder.project_in",
    .attention_norm = "decoder.layers.$.self_attn_layer_norm",
    .query = "decoder.layers.$.self_attn.q_proj",
    .key = "decoder.layers.$.self_attn.k_proj",
    .value = "decoder.layers.$.self_attn.v_proj",
    .attention_output = "decoder.layers.$.self_attn.out_proj",
    .mlp_norm = "decoder.layers.$.final_layer_norm",
    .up = "decoder.layers.$.fc1",
    .down = "decoder.layers.$.fc2",
    .final_norm = "decoder.final_layer_norm",
    .output_projection = "decoder.project_out",
    .unembedding = "lm_head",
    .wide_positions = true,
};

constexpr TensorNames kBloom = {
    .architecture = "bloom",
    .token_embedding = "word_embeddings",
    .embedding_norm = "word_embeddings_layernorm",
    .attention_norm = "h.$.input_layernorm",
    .fused_qkv = "h.$.self_attention.query_key_value",
    .attention_output = "h.$.self_attention.dense",
    .mlp_norm = "h.$.post_attention_layernorm",
    .up = "h.$.mlp.dense_h_to_4h",
    .down = "h.$.mlp.dense_4h_to_h",
    .final_norm = "ln_f",
    .unembedding = "lm_head",
    .qkv_packing = QkvPacking::kByHead,
    .biased = kAllBiased,
};

constexpr TensorNames kMpt = {
    .architecture = "mpt",
    .token_embedding = "wte",
    .attention_norm = "blocks.$.norm_1",
    .fused_qkv = "blocks.$.attn.Wqkv",
    .attention_output = "blocks.$.attn.out_proj",
    .mlp_norm = "blocks.$.norm_2",
    .up = "blocks.$.ffn.up_proj",
    .down = "blocks.$.ffn.down_proj",
    .final_norm = "norm_f",
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
    .unembedding = "cls.predictions.decoder",
    .unembedding_bias = "cls.predictions",
    .biased = kAllBiased,
};

constexpr TensorNames LikeRoberta(absl::string_view architecture) {
  TensorNames names = kBert;
  names.architecture = architecture;
  names.head_dense = "lm_head.dense";
  names.head_norm = "lm_head.layer_norm";
  names.unembedding = "lm_head.decoder";
  names.unembedding_bias = "lm_head";
  return names;
}

constexpr TensorNames kRoberta = LikeRoberta("roberta");
constexpr TensorNames kXlmRoberta = LikeRoberta("xlm-roberta");
constexpr TensorNames kCamembert = LikeRoberta("camembert");

// BERT with an embedding of its own width.
constexpr TensorNames Electra() {
  TensorNames names = kBert;
  names.architecture = "electra";
  names.embedding_projection = "embeddings_project";
  names.projection_bias = true;
  names.head_dense = "generator_predictions.dense";
  names.head_norm = "generator_predictions.LayerNorm";
  names.unembedding = "generator_lm_head";
  names.unembedding_bias = "generator_lm_head";
  return names;
}
constexpr TensorNames kElectra = Electra();

constexpr TensorNames kDistilBert = {
    .architecture = "distilbert",
    .token_embedding = "embeddings.word_embeddings",
    .position_embedding = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .attention_norm = "transformer.layer.$.sa_layer_norm",
    .query = "transformer.layer.$.attention.q_lin",
    .key = "transformer.layer.$.attention.k_lin",
    .value = "transformer.layer.$.attention.v_lin",
    .attention_output = "transformer.layer.$.attention.out_lin",
    .mlp_norm = "transformer.layer.$.output_layer_norm",
    .up = "transformer.layer.$.ffn.lin1",
    .down = "transformer.layer.$.ffn.lin2",
    .head_dense = "vocab_transform",
    .head_norm = "vocab_layer_norm",
    .unembedding = "vocab_projector",
    .unembedding_bias = "vocab_projector",
    .biased = kAllBiased,
};

constexpr TensorNames kAlbert = {
    .architecture = "albert",
    .token_embedding = "embeddings.word_embeddings",
    .position_embedding = "embeddings.position_embeddings",
    .type_embedding = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .embedding_projection = "encoder.embedding_hidden_mapping_in",
    .attention_norm = "encoder.albert_layer_groups.$.albert_layers.0.attention.LayerNorm",
    .query = "encoder.albert_layer_groups.$.albert_layers.0.attention.query",
    .key = "encoder.albert_layer_groups.$.albert_layers.0.attention.key",
    .value = "encoder.albert_layer_groups.$.albert_layers.0.attention.value",
    .attention_output = "encoder.albert_layer_groups.$.albert_layers.0.attention.dense",
    .mlp_norm = "encoder.albert_layer_groups.$.albert_layers.0.full_layer_layer_norm",
    .up = "encoder.albert_layer_groups.$.albert_layers.0.ffn",
    .down = "encoder.albert_layer_groups.$.albert_layers.0.ffn_output",
    .head_dense = "predictions.dense",
    .head_norm = "predictions.LayerNorm",
    .unembedding = "predictions.decoder",
    .unembedding_bias = "predictions",
    .biased = kAllBiased,
    .projection_bias = true,
};

constexpr TensorNames kModernBert = {
    .architecture = "modernbert",
    .token_embedding = "embeddings.tok_embeddings",
    .embedding_norm = "embeddings.norm",
    .attention_norm = "layers.$.attn_norm",
    .fused_qkv = "layers.$.attn.Wqkv",
    .attention_output = "layers.$.attn.Wo",
    .mlp_norm = "layers.$.mlp_norm",
    .up = "layers.$.mlp.Wi",
    .down = "layers.$.mlp.Wo",
    .final_norm = "final_norm",
    .head_dense = "head.dense",
    .head_norm = "head.norm",
    .unembedding = "decoder",
    .unembedding_bias = "decoder",
    .bare_first_layer = true,
};

constexpr const TensorNames* kArchitectures[] = {
    &kGpt2,      &kGptNeo,     &kGptNeoX, &kLlama,   &kMistral,    &kQwen2,   &kQwen3,
    &kGemma,     &kGemma2,     &kGemma3,  &kSmolLm3, &kPhi,        &kPhi3,    &kStarCoder2,
    &kStableLm,  &kOpt,        &kBloom,   &kMpt,     &kBert,       &kRoberta, &kXlmRoberta,
    &kCamembert, &kDistilBert, &kAlbert,  &kElectra, &kModernBert,
};

}  // namespace

const TensorNames* FindTensorNames(absl::string_view architecture) {
  for (const TensorNames* names : kArchitectures) {
    if (names->architecture == architecture) return names;
  }
  return nullptr;
}

}  // namespace heed
