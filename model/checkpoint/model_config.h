// The facts of one transformer, in heed's own terms, whatever the checkpoint's format called them.
#ifndef HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_
#define HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/base/layer_kinds.h"

namespace heed {

// Pre: x + f(norm(x)), and a final norm. Post: norm(x + f(x)), and a norm on the embeddings.
enum class NormPlacement { kPre, kPost };
enum class PositionKind { kNone, kLearned, kRope };

// Where the weights come from with which a position mixes what it sees; all are non-negative and
// sum to 1. Attention: softmax of queries times keys. Last word: 1 on the position itself. Average:
// the same on every position. Weighted: softmax of one learned score for each word.
enum class MixingPattern { kAttention, kLastWord, kAverage, kWeighted };

// Llama-3 frequency scaling (transformers, modeling_rope_utils.py, "llama3"), or linear scaling.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_context = 0;  // original_max_position_embeddings
  // What each pair's frequency is divided by besides, f32 [head_dim / 2]: how GGUF files hold the
  // Llama-3 scaling. Empty: 1.
  std::vector<float> divisors;
};

// Validated: every size is at least 1 (ffn_width is 0 where there is no feed-forward layer) and
// small enough that products fit in int64_t; n_heads is a multiple of n_kv_heads; head_dim is even
// under RoPE; eps and theta are finite and positive.
struct ModelConfig {
  std::string architecture;  // config.json's model_type: "gpt2", "llama", "bert", "heed_mixing"

  int n_layers = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int64_t width = 0;       // of the residual stream; hidden_size, n_embd
  int64_t ffn_width = 0;   // intermediate_size, n_inner
  int64_t vocab_size = 0;  // embedding rows
  int64_t context_window = 0;
  int64_t token_types = 0;  // rows of the token-type embedding; 0: none

  bool causal = true;
  MixingPattern mixing = MixingPattern::kAttention;  // another only in "heed_mixing"
  NormKind norm = NormKind::kRmsNorm;
  NormPlacement norm_placement = NormPlacement::kPre;
  double norm_eps = 1e-5;
  PositionKind position = PositionKind::kRope;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  Activation activation = Activation::kSilu;
  bool gated_mlp = false;        // down(act(gate(x)) * up(x)) instead of down(act(up(x)))
  bool attention_bias = false;   // llama only: q, k, v and o carry biases
  bool mlp_bias = false;         // llama only
  bool tied_embeddings = false;  // the unembedding is the embedding
  bool has_head = true;          // false: a base model, which has hidden states but no logits
  bool output_major = false;     // gpt2 only: linear weights are stored [out, in], as GGUF does
  double attention_scale = 0;    // multiplies q.k

  std::vector<int32_t> eos_ids;  // generation_config.json, else config.json
  std::optional<int32_t> bos_id;

  int64_t query_width() const { return int64_t{n_heads} * head_dim; }
  int64_t kv_width() const { return int64_t{n_kv_heads} * head_dim; }
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_
