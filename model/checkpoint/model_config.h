// The facts of one transformer, in heed's own terms, whatever the checkpoint's format called them.
#ifndef HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_
#define HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/base/layer_kinds.h"

namespace heed {

// Pre: x + f(norm(x)), and a final norm. Post: norm(x + f(x)), and no final norm.
enum class NormPlacement { kPre, kPost };

// Learned: a table that is added to the embeddings. Rope: queries and keys are rotated. Alibi: a
// score falls with the distance, by a slope of each head's own (AttentionShape).
enum class PositionKind { kNone, kLearned, kRope, kAlibi };

// Where the weights come from with which a position mixes what it sees; all are non-negative and
// sum to 1. Attention: softmax of queries times keys. Last word: 1 on the position itself. Average:
// the same on every position. Weighted: softmax of one learned score for each word.
enum class MixingPattern { kAttention, kLastWord, kAverage, kWeighted };

// How rotary frequencies are stretched for contexts longer than those of the training
// (transformers, modeling_rope_utils.py; YaRN: Peng et al. 2023, arXiv 2309.00071).
struct RopeScaling {
  enum class Kind { kNone, kLinear, kDynamic, kLlama3, kYarn, kLongRope };
  Kind kind = Kind::kNone;
  double factor = 1;
  int64_t original_context = 0;  // original_max_position_embeddings; all but linear

  double low_freq_factor = 1;  // Llama 3
  double high_freq_factor = 4;

  double beta_fast = 32;  // YaRN: rotations within the original context that keep their frequency
  double beta_slow = 1;   // and that are stretched by the whole factor
  bool truncate = true;   // between whole dimensions
  double attention_factor = 1;  // multiplies cosines and sines; YaRN and LongRoPE

  // LongRoPE: what each pair's frequency is divided by, f32 [rotary_dim / 2], in sequences that end
  // within the original context and in those that go beyond.
  std::vector<float> short_factors, long_factors;

  // What each pair's frequency is divided by besides, f32 [head_dim / 2]: how GGUF files hold the
  // Llama-3 scaling. Empty: 1.
  std::vector<float> divisors;
};

struct RopeParameters {
  double theta = 10000;
  RopeScaling scaling;
};

// Validated: every size is at least 1 (ffn_width is 0 where there is no feed-forward layer) and
// small enough that products fit in int64_t; n_heads is a multiple of n_kv_heads; the rotary part
// of a head is even; eps and theta are finite and positive.
//
// A family of models is a setting of these facts and a row of tensor names
// (model/transformer/architectures.h); the forward pass knows no families.
struct ModelConfig {
  // The model_type of config.json, or that which a Hugging Face folder of a GGUF file's model has.
  std::string architecture;

  int n_layers = 0;
  int n_layer_groups = 0;  // neighbouring layers of a group share their weights; 0: none do
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int64_t width = 0;            // of the residual stream; hidden_size, n_embd
  int64_t ffn_width = 0;        // intermediate_size, n_inner
  int64_t vocab_size = 0;       // embedding rows
  int64_t embedding_width = 0;  // of an embedding that is projected to `width`; 0: it is not
  int64_t context_window = 0;
  int64_t position_offset = 0;  // row of the position embedding that the first position has
  int64_t token_types = 0;      // rows of the token-type embedding; 0: none

  bool causal = true;
  MixingPattern mixing = MixingPattern::kAttention;  // another only in "heed_mixing"
  NormKind norm = NormKind::kRmsNorm;
  NormPlacement norm_placement = NormPlacement::kPre;
  bool final_norm = true;         // after the last layer of a pre-norm model
  bool norm_bias = true;          // LayerNorm only
  double norm_weight_offset = 0;  // the norms' weights are what is stored, plus this
  double norm_eps = 1e-5;
  bool parallel_residual = false;  // x + attention(norm(x)) + mlp(norm(x))

  PositionKind position = PositionKind::kRope;
  int rotary_dim = 0;           // how many dimensions of a head rotate, the first ones; 0: all
  std::vector<bool> unrotated;  // by layer: no positions there; empty: all layers have them
  double rope_theta = 10000;
  RopeScaling rope_scaling;

  // What a windowed layer sees: none but the positions less than `window` away.
  int64_t window = 0;
  std::vector<bool> windowed;                   // by layer; empty: none is
  std::optional<RopeParameters> windowed_rope;  // of windowed layers, where it is another

  Activation activation = Activation::kSilu;
  bool gated_mlp = false;  // down(act(gate(x)) * up(x)) instead of down(act(up(x)))
  // Biases that only some checkpoints of a family have:
  bool qkv_bias = false;         // q, k and v,
  bool attention_bias = false;   // q, k, v and o,
  bool mlp_bias = false;         // the feed-forward layer,
  bool head_bias = true;         // the dense layer of a masked language model's head,
  bool unembedding_bias = true;  // and the unembedding

  bool tied_embeddings = false;  // the unembedding is the embedding
  bool has_head = true;          // false: a base model, which has hidden states but no logits
  Activation head_activation = Activation::kGeluErf;  // in a masked language model's head
  bool output_major = false;  // gpt2 only: linear weights are stored [out, in], as GGUF does

  bool query_key_norm = false;    // each head's query and key are normed before they rotate
  double attention_scale = 0;     // multiplies q.k
  bool scaled_by_layer = false;   // and is divided by the layer's number, from 1
  double attention_soft_cap = 0;  // a score s becomes cap * tanh(s / cap); 0: none
  double logit_soft_cap = 0;      // the same for logits
  double embedding_scale = 1;     // multiplies the token embedding

  // How a served model keeps keys and values (LanguageModelOptions); no fact of the checkpoint.
  KvType kv_type = KvType::kF32;

  std::vector<int32_t> eos_ids;  // generation_config.json, else config.json
  std::optional<int32_t> bos_id;

  // What a sequence can hold that begins with a prompt of so many tokens; the last of them may be
  // generated, but not be gone on from. LongRoPE rotates differently beyond the original context,
  // so a sequence that begins within it also ends there: its keys could not be kept.
  int64_t context_for(int64_t prompt_tokens) const {
    if (rope_scaling.kind != RopeScaling::Kind::kLongRope ||
        prompt_tokens > rope_scaling.original_context) {
      return context_window;
    }
    return std::min(context_window, rope_scaling.original_context + 1);
  }

  bool is_rotated(int layer) const { return unrotated.empty() || !unrotated[layer]; }
  double scale_of(int layer) const {
    return scaled_by_layer ? attention_scale / (layer + 1) : attention_scale;
  }
  bool is_windowed(int layer) const { return !windowed.empty() && windowed[layer]; }
  int64_t window_of(int layer) const { return is_windowed(layer) ? window : 0; }
  int64_t table_width() const { return embedding_width > 0 ? embedding_width : width; }
  // The group whose weights a layer has.
  int64_t group_of(int layer) const {
    return n_layer_groups > 0 ? int64_t{layer} * n_layer_groups / n_layers : layer;
  }
  int64_t query_width() const { return int64_t{n_heads} * head_dim; }
  int64_t kv_width() const { return int64_t{n_kv_heads} * head_dim; }
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_MODEL_CONFIG_H_
