#include "model/checkpoint/gguf_tensors.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace heed {
namespace {

// Collects rules, whose names get a common beginning.
class RuleList {
 public:
  RuleList(std::string gguf_prefix, std::string canonical_prefix)
      : gguf_prefix_(std::move(gguf_prefix)), canonical_prefix_(std::move(canonical_prefix)) {}

  void Tensor(absl::string_view gguf, absl::string_view canonical, std::vector<int64_t> shape,
              int rotary_heads = 0) {
    rules_.push_back({absl::StrCat(gguf_prefix_, gguf), absl::StrCat(canonical_prefix_, canonical),
                      std::move(shape), rotary_heads});
  }

  void Weight(absl::string_view gguf, absl::string_view canonical, std::vector<int64_t> shape) {
    Tensor(absl::StrCat(gguf, ".weight"), absl::StrCat(canonical, ".weight"), std::move(shape));
  }

  // A linear layer: weight [out, in] and, perhaps, bias [out].
  void Linear(absl::string_view gguf, absl::string_view canonical, int64_t out, int64_t in,
              bool has_bias, int rotary_heads = 0) {
    Tensor(absl::StrCat(gguf, ".weight"), absl::StrCat(canonical, ".weight"), {out, in},
           rotary_heads);
    if (!has_bias) return;
    Tensor(absl::StrCat(gguf, ".bias"), absl::StrCat(canonical, ".bias"), {out}, rotary_heads);
  }

  // A layer norm, with a bias, of width `width`.
  void LayerNorm(absl::string_view gguf, absl::string_view canonical, int64_t width) {
    Weight(gguf, canonical, {width});
    Tensor(absl::StrCat(gguf, ".bias"), absl::StrCat(canonical, ".bias"), {width});
  }

  std::vector<GgufTensorRule> Take() { return std::move(rules_); }

 private:
  const std::string gguf_prefix_, canonical_prefix_;
  std::vector<GgufTensorRule> rules_;
};

std::vector<GgufTensorRule> Gpt2Layer(const ModelConfig& config, int layer) {
  RuleList list(absl::StrCat("blk.", layer, "."), absl::StrCat("h.", layer, "."));
  const int64_t width = config.width;
  list.LayerNorm("attn_norm", "ln_1", width);
  list.Linear("attn_qkv", "attn.c_attn", 3 * width, width, true);
  list.Linear("attn_output", "attn.c_proj", width, width, true);
  list.LayerNorm("ffn_norm", "ln_2", width);
  list.Linear("ffn_up", "mlp.c_fc", config.ffn_width, width, true);
  list.Linear("ffn_down", "mlp.c_proj", width, config.ffn_width, true);
  return list.Take();
}

std::vector<GgufTensorRule> LlamaLayer(const ModelConfig& config, int layer) {
  RuleList list(absl::StrCat("blk.", layer, "."), absl::StrCat("layers.", layer, "."));
  const int64_t width = config.width, q = config.query_width(), kv = config.kv_width();
  const bool has_bias = config.attention_bias;
  list.Weight("attn_norm", "input_layernorm", {width});
  list.Linear("attn_q", "self_attn.q_proj", q, width, has_bias, config.n_heads);
  list.Linear("attn_k", "self_attn.k_proj", kv, width, has_bias, config.n_kv_heads);
  list.Linear("attn_v", "self_attn.v_proj", kv, width, has_bias);
  list.Linear("attn_output", "self_attn.o_proj", width, q, has_bias);
  list.Weight("ffn_norm", "post_attention_layernorm", {width});
  list.Linear("ffn_gate", "mlp.gate_proj", config.ffn_width, width, config.mlp_bias);
  list.Linear("ffn_up", "mlp.up_proj", config.ffn_width, width, config.mlp_bias);
  list.Linear("ffn_down", "mlp.down_proj", width, config.ffn_width, config.mlp_bias);
  return list.Take();
}

std::vector<GgufTensorRule> BertLayer(const ModelConfig& config, int layer) {
  RuleList list(absl::StrCat("blk.", layer, "."), absl::StrCat("encoder.layer.", layer, "."));
  const int64_t width = config.width;
  list.Linear("attn_q", "attention.self.query", width, width, true);
  list.Linear("attn_k", "attention.self.key", width, width, true);
  list.Linear("attn_v", "attention.self.value", width, width, true);
  list.Linear("attn_output", "attention.output.dense", width, width, true);
  list.LayerNorm("attn_output_norm", "attention.output.LayerNorm", width);
  list.Linear("ffn_up", "intermediate.dense", config.ffn_width, width, true);
  list.Linear("ffn_down", "output.dense", width, config.ffn_width, true);
  list.LayerNorm("layer_output_norm", "output.LayerNorm", width);
  return list.Take();
}

void AddUnembedding(const ModelConfig& config, RuleList& list) {
  if (config.tied_embeddings) return;
  list.Weight("output", "lm_head", {config.vocab_size, config.width});
}

std::vector<GgufTensorRule> Gpt2Globals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "wte", {config.vocab_size, config.width});
  list.Weight("position_embd", "wpe", {config.context_window, config.width});
  list.LayerNorm("output_norm", "ln_f", config.width);
  AddUnembedding(config, list);
  return list.Take();
}

std::vector<GgufTensorRule> LlamaGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "embed_tokens", {config.vocab_size, config.width});
  list.Weight("output_norm", "norm", {config.width});
  AddUnembedding(config, list);
  return list.Take();
}

std::vector<GgufTensorRule> BertGlobals(const ModelConfig& config) {
  RuleList list("", "embeddings.");
  list.Weight("token_embd", "word_embeddings", {config.vocab_size, config.width});
  list.Weight("position_embd", "position_embeddings", {config.context_window, config.width});
  if (config.token_types > 0) {
    list.Weight("token_types", "token_type_embeddings", {config.token_types, config.width});
  }
  list.LayerNorm("token_embd_norm", "LayerNorm", config.width);
  return list.Take();
}

}  // namespace

std::vector<GgufTensorRule> GlobalTensors(const ModelConfig& config) {
  if (config.architecture == "gpt2") return Gpt2Globals(config);
  if (config.architecture == "llama") return LlamaGlobals(config);
  return BertGlobals(config);
}

std::vector<GgufTensorRule> LayerTensors(const ModelConfig& config, int layer) {
  if (config.architecture == "gpt2") return Gpt2Layer(config, layer);
  if (config.architecture == "llama") return LlamaLayer(config, layer);
  return BertLayer(config, layer);
}

bool IsRedundantTensor(const ModelConfig& config, absl::string_view gguf_name) {
  // A copy of the embedding; and the factors that ReadGgufConfig has read.
  if (gguf_name == "output.weight") return config.tied_embeddings;
  return gguf_name == "rope_freqs.weight" && config.position == PositionKind::kRope;
}

}  // namespace heed
