#include "model/checkpoint/gguf_tensors.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "model/checkpoint/gguf_rope.h"

namespace heed {
namespace {

// Collects rules, whose names get a common beginning.
class RuleList {
 public:
  RuleList(std::string gguf_prefix, std::string canonical_prefix)
      : gguf_prefix_(std::move(gguf_prefix)), canonical_prefix_(std::move(canonical_prefix)) {}

  // Returns the rule for what else there is to say of it; it is valid until the next call.
  GgufTensorRule& Tensor(absl::string_view gguf, absl::string_view canonical,
                         std::vector<int64_t> shape) {
    return rules_.emplace_back(GgufTensorRule{absl::StrCat(gguf_prefix_, gguf),
                                              absl::StrCat(canonical_prefix_, canonical),
                                              std::move(shape)});
  }

  void Weight(absl::string_view gguf, absl::string_view canonical, std::vector<int64_t> shape) {
    Tensor(absl::StrCat(gguf, ".weight"), absl::StrCat(canonical, ".weight"), std::move(shape));
  }

  // A linear layer: weight [out, in] and, perhaps, bias [out].
  void Linear(absl::string_view gguf, absl::string_view canonical, int64_t out, int64_t in,
              bool has_bias, GgufRowOrder order = {}) {
    Tensor(absl::StrCat(gguf, ".weight"), absl::StrCat(canonical, ".weight"), {out, in}).order =
        order;
    if (!has_bias) return;
    Tensor(absl::StrCat(gguf, ".bias"), absl::StrCat(canonical, ".bias"), {out}).order = order;
  }

  // What was added from the rule `begin` on is in other files part of `gguf`, which has so many
  // rows in all; the parts follow one another in the order of the rules.
  void FuseFrom(size_t begin, absl::string_view gguf, int64_t rows) {
    int64_t next_weight = 0, next_bias = 0;
    for (size_t i = begin; i < rules_.size(); ++i) {
      GgufTensorRule& rule = rules_[i];
      const bool is_bias = rule.shape.size() == 1;
      rule.fused_name = absl::StrCat(gguf_prefix_, gguf, is_bias ? ".bias" : ".weight");
      rule.fused_rows = rows;
      int64_t& next = is_bias ? next_bias : next_weight;
      rule.first_fused_row = std::exchange(next, next + rule.shape.front());
    }
  }

  // A norm of the stream, with a bias or without, as the model's norms are.
  void Norm(const ModelConfig& config, absl::string_view gguf, absl::string_view canonical) {
    if (config.norm == NormKind::kLayerNorm && config.norm_bias) {
      return LayerNorm(gguf, canonical, config.width);
    }
    Weight(gguf, canonical, {config.width});
  }

  // A layer norm, with a bias, of width `width`.
  void LayerNorm(absl::string_view gguf, absl::string_view canonical, int64_t width) {
    Weight(gguf, canonical, {width});
    Tensor(absl::StrCat(gguf, ".bias"), absl::StrCat(canonical, ".bias"), {width});
  }

  size_t size() const { return rules_.size(); }
  std::vector<GgufTensorRule> Take() { return std::move(rules_); }

 private:
  const std::string gguf_prefix_, canonical_prefix_;
  std::vector<GgufTensorRule> rules_;
};

// Of the layer, whose canonical names begin with `prefix` and its number.
RuleList OfLayer(absl::string_view prefix, int layer) {
  return RuleList(absl::StrCat("blk.", layer, "."), absl::StrCat(prefix, layer, "."));
}

// Queries, keys and values under the names of Llama. Files have them in a tensor each or, from some
// converters, all in one.
void AddQueriesKeysValues(const ModelConfig& config, bool has_bias, RuleList& list) {
  // Only the converter of these two puts the two parts of rotary pairs side by side.
  const bool is_paired = config.architecture == "llama" || config.architecture == "smollm3";
  const auto order = [&](int64_t n_heads) {
    return is_paired ? GgufRowOrder::RotaryPairs(n_heads, config.head_dim) : GgufRowOrder{};
  };
  const int64_t width = config.width, q = config.query_width(), kv = config.kv_width();
  const size_t begin = list.size();
  list.Linear("attn_q", "self_attn.q_proj", q, width, has_bias, order(config.n_heads));
  list.Linear("attn_k", "self_attn.k_proj", kv, width, has_bias, order(config.n_kv_heads));
  list.Linear("attn_v", "self_attn.v_proj", kv, width, has_bias);
  list.FuseFrom(begin, "attn_qkv", q + 2 * kv);
}

std::vector<GgufTensorRule> Gpt2Layer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("h.", layer);
  const int64_t width = config.width;
  list.LayerNorm("attn_norm", "ln_1", width);
  list.Linear("attn_qkv", "attn.c_attn", 3 * width, width, true);
  list.Linear("attn_output", "attn.c_proj", width, width, true);
  list.LayerNorm("ffn_norm", "ln_2", width);
  list.Linear("ffn_up", "mlp.c_fc", config.ffn_width, width, true);
  list.Linear("ffn_down", "mlp.c_proj", width, config.ffn_width, true);
  return list.Take();
}

// Gemma 2 and 3 have four norms, and the canonical name of the second is another's in Llama.
void AddNorms(const ModelConfig& config, RuleList& list) {
  list.Norm(config, "attn_norm", "input_layernorm");
  if (config.architecture != "gemma2" && config.architecture != "gemma3_text") {
    return list.Norm(config, "ffn_norm", "post_attention_layernorm");
  }
  list.Norm(config, "post_attention_norm", "post_attention_layernorm");
  list.Norm(config, "ffn_norm", "pre_feedforward_layernorm");
  list.Norm(config, "post_ffw_norm", "post_feedforward_layernorm");
}

void AddFeedForward(const ModelConfig& config, RuleList& list) {
  const int64_t width = config.width, ffn = config.ffn_width;
  const bool has_bias = config.mlp_bias;
  if (!config.gated_mlp) {
    list.Linear("ffn_up", "mlp.c_fc", ffn, width, has_bias);
    return list.Linear("ffn_down", "mlp.c_proj", width, ffn, has_bias);
  }
  list.Linear("ffn_gate", "mlp.gate_proj", ffn, width, has_bias);
  list.Linear("ffn_up", "mlp.up_proj", ffn, width, has_bias);
  list.Linear("ffn_down", "mlp.down_proj", width, ffn, has_bias);
}

std::vector<GgufTensorRule> LlamaLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("layers.", layer);
  AddNorms(config, list);
  AddQueriesKeysValues(
      config, config.attention_bias || config.qkv_bias || config.architecture == "qwen2", list);
  if (config.query_key_norm) {
    list.Weight("attn_q_norm", "self_attn.q_norm", {config.head_dim});
    list.Weight("attn_k_norm", "self_attn.k_norm", {config.head_dim});
  }
  list.Linear("attn_output", "self_attn.o_proj", config.width, config.query_width(),
              config.attention_bias);
  AddFeedForward(config, list);
  return list.Take();
}

std::vector<GgufTensorRule> Phi3Layer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("layers.", layer);
  const int64_t width = config.width, q = config.query_width();
  AddNorms(config, list);
  list.Linear("attn_qkv", "self_attn.qkv_proj", q + 2 * config.kv_width(), width, false);
  list.Linear("attn_output", "self_attn.o_proj", width, q, false);
  list.Linear("ffn_up", "mlp.gate_up_proj", 2 * config.ffn_width, width, false);
  list.Linear("ffn_down", "mlp.down_proj", width, config.ffn_width, false);
  return list.Take();
}

std::vector<GgufTensorRule> GptNeoXLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("layers.", layer);
  const int64_t width = config.width;
  list.LayerNorm("attn_norm", "input_layernorm", width);
  list.Linear("attn_qkv", "attention.query_key_value", 3 * width, width, config.attention_bias,
              GgufRowOrder::QueriesKeysValues(config.n_heads));
  list.Linear("attn_output", "attention.dense", width, width, config.attention_bias);
  list.LayerNorm("ffn_norm", "post_attention_layernorm", width);
  list.Linear("ffn_up", "mlp.dense_h_to_4h", config.ffn_width, width, true);
  list.Linear("ffn_down", "mlp.dense_4h_to_h", width, config.ffn_width, true);
  return list.Take();
}

std::vector<GgufTensorRule> PhiLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("layers.", layer);
  const int64_t width = config.width;
  list.LayerNorm("attn_norm", "input_layernorm", width);
  AddQueriesKeysValues(config, true, list);
  list.Linear("attn_output", "self_attn.dense", width, width, true);
  list.Linear("ffn_up", "mlp.fc1", config.ffn_width, width, true);
  list.Linear("ffn_down", "mlp.fc2", width, config.ffn_width, true);
  return list.Take();
}

std::vector<GgufTensorRule> BloomLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("h.", layer);
  const int64_t width = config.width;
  list.LayerNorm("attn_norm", "input_layernorm", width);
  list.Linear("attn_qkv", "self_attention.query_key_value", 3 * width, width, true,
              GgufRowOrder::QueriesKeysValues(config.n_heads));
  list.Linear("attn_output", "self_attention.dense", width, width, true);
  list.LayerNorm("ffn_norm", "post_attention_layernorm", width);
  list.Linear("ffn_up", "mlp.dense_h_to_4h", config.ffn_width, width, true);
  list.Linear("ffn_down", "mlp.dense_4h_to_h", width, config.ffn_width, true);
  return list.Take();
}

std::vector<GgufTensorRule> MptLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("blocks.", layer);
  const int64_t width = config.width;
  list.Norm(config, "attn_norm", "norm_1");
  list.Linear("attn_qkv", "attn.Wqkv", 3 * width, width, false);
  list.Linear("attn_output", "attn.out_proj", width, width, false);
  list.Norm(config, "ffn_norm", "norm_2");
  list.Linear("ffn_up", "ffn.up_proj", config.ffn_width, width, false);
  list.Linear("ffn_down", "ffn.down_proj", width, config.ffn_width, false);
  return list.Take();
}

std::vector<GgufTensorRule> BertLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("encoder.layer.", layer);
  const int64_t width = config.width;
  list.Linear("attn_q", "attention.self.query", width, width, true);
  list.Linear("attn_k", "attention.self.key", width, width, true);
  list.Linear("attn_v", "attention.self.value", width, width, true);
  list.FuseFrom(0, "attn_qkv", 3 * width);
  list.Linear("attn_output", "attention.output.dense", width, width, true);
  list.LayerNorm("attn_output_norm", "attention.output.LayerNorm", width);
  list.Linear("ffn_up", "intermediate.dense", config.ffn_width, width, true);
  list.Linear("ffn_down", "output.dense", width, config.ffn_width, true);
  list.LayerNorm("layer_output_norm", "output.LayerNorm", width);
  return list.Take();
}

std::vector<GgufTensorRule> ModernBertLayer(const ModelConfig& config, int layer) {
  RuleList list = OfLayer("layers.", layer);
  const int64_t width = config.width;
  if (layer > 0) list.Weight("attn_norm", "attn_norm", {width});
  list.Linear("attn_qkv", "attn.Wqkv", 3 * width, width, false);
  list.Linear("attn_output", "attn.Wo", width, width, false);
  list.Weight("ffn_norm", "mlp_norm", {width});
  list.Linear("ffn_up", "mlp.Wi", 2 * config.ffn_width, width, false);
  list.Linear("ffn_down", "mlp.Wo", width, config.ffn_width, false);
  return list.Take();
}

void AddUnembedding(const ModelConfig& config, absl::string_view canonical, RuleList& list) {
  if (config.tied_embeddings) return;
  list.Weight("output", canonical, {config.vocab_size, config.width});
}

std::vector<GgufTensorRule> Gpt2Globals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "wte", {config.vocab_size, config.width});
  list.Weight("position_embd", "wpe", {config.context_window, config.width});
  list.LayerNorm("output_norm", "ln_f", config.width);
  AddUnembedding(config, "lm_head", list);
  return list.Take();
}

std::vector<GgufTensorRule> LlamaGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "embed_tokens", {config.vocab_size, config.width});
  list.Norm(config, "output_norm", "norm");
  AddUnembedding(config, "lm_head", list);
  return list.Take();
}

std::vector<GgufTensorRule> GptNeoXGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "embed_in", {config.vocab_size, config.width});
  list.LayerNorm("output_norm", "final_layer_norm", config.width);
  AddUnembedding(config, "embed_out", list);
  return list.Take();
}

std::vector<GgufTensorRule> PhiGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "embed_tokens", {config.vocab_size, config.width});
  list.LayerNorm("output_norm", "final_layernorm", config.width);
  AddUnembedding(config, "lm_head", list);
  list.Tensor("output.bias", "lm_head.bias", {config.vocab_size});
  return list.Take();
}

std::vector<GgufTensorRule> BloomGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "word_embeddings", {config.vocab_size, config.width});
  list.LayerNorm("token_embd_norm", "word_embeddings_layernorm", config.width);
  list.LayerNorm("output_norm", "ln_f", config.width);
  AddUnembedding(config, "lm_head", list);
  return list.Take();
}

std::vector<GgufTensorRule> MptGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "wte", {config.vocab_size, config.width});
  list.Norm(config, "output_norm", "norm_f");
  AddUnembedding(config, "lm_head", list);
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

std::vector<GgufTensorRule> ModernBertGlobals(const ModelConfig& config) {
  RuleList list("", "");
  list.Weight("token_embd", "embeddings.tok_embeddings", {config.vocab_size, config.width});
  list.Weight("token_embd_norm", "embeddings.norm", {config.width});
  list.Weight("output_norm", "final_norm", {config.width});
  return list.Take();
}

struct Names {
  absl::string_view architecture;
  std::vector<GgufTensorRule> (*globals)(const ModelConfig& config);
  std::vector<GgufTensorRule> (*layer)(const ModelConfig& config, int layer);
};

constexpr Names kNames[] = {
    {"gpt2", Gpt2Globals, Gpt2Layer},    {"gpt_neox", GptNeoXGlobals, GptNeoXLayer},
    {"phi", PhiGlobals, PhiLayer},       {"phi3", LlamaGlobals, Phi3Layer},
    {"bloom", BloomGlobals, BloomLayer}, {"mpt", MptGlobals, MptLayer},
    {"bert", BertGlobals, BertLayer},    {"modernbert", ModernBertGlobals, ModernBertLayer},
    {"", LlamaGlobals, LlamaLayer},  // all others
};

const Names& NamesOf(const ModelConfig& config) {
  const Names* names = kNames;
  while (!names->architecture.empty() && names->architecture != config.architecture) ++names;
  return *names;
}

}  // namespace

bool GgufTensorRule::IsFusedIn(const GgufFiles& files) const {
  return !fused_name.empty() && !files.Find(gguf_name) && files.Find(fused_name);
}

std::vector<int64_t> GgufTensorRule::FusedShape() const {
  std::vector<int64_t> fused = shape;
  fused.front() = fused_rows;
  return fused;
}

std::vector<GgufTensorRule> GlobalTensors(const ModelConfig& config) {
  return NamesOf(config).globals(config);
}

std::vector<GgufTensorRule> LayerTensors(const ModelConfig& config, int layer) {
  return NamesOf(config).layer(config, layer);
}

bool IsRedundantTensor(const ModelConfig& config, absl::string_view gguf_name) {
  // A copy of the embedding; and the factors that ReadGgufConfig has read.
  if (gguf_name == "output.weight") return config.tied_embeddings;
  if (gguf_name == kGgufRopeFactors) return !config.rope_scaling.divisors.empty();
  if (gguf_name == kGgufLongFactors || gguf_name == kGgufShortFactors) {
    return !config.rope_scaling.long_factors.empty();
  }
  // The head of a masked language model, of which the converter leaves out the rest.
  return config.architecture == "modernbert" &&
         (gguf_name == "cls.weight" || gguf_name == "cls.norm.weight");
}

}  // namespace heed
