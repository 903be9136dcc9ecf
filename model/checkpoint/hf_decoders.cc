// Decoder families that are not shaped like Llama.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_facts.h"
#include "model/checkpoint/hf_families.h"
#include "model/checkpoint/hf_rope.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

// Sizes, and heads that share the width.
absl::Status ReadSizes(const ConfigReader& config, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  model.attention_scale = UsualScale(model);
  return absl::OkStatus();
}

// Null: four times the width.
absl::Status ReadInnerSize(const ConfigReader& config, ConfigReader::Keys keys,
                           ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> inner, config.OptionalInt(keys, kFfnRange));
  model.ffn_width = inner.value_or(4 * model.width);
  return absl::OkStatus();
}

// One entry of attention_types, [[KIND, ...], COUNT]: appends the kinds, COUNT times over.
absl::Status AppendAttentionTypes(const JsonValue& entry, int n_layers,
                                  std::vector<bool>& windowed) {
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> pair, entry.Array());
  if (pair.size() != 2) return entry.Unexpected("a list of kinds, and a count");
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> kinds, pair[0].Array());
  HEED_ASSIGN_OR_RETURN(const int64_t count, IntInRange(pair[1], {0, kLayersRange.max}));
  for (int64_t i = 0; i < count; ++i) {
    for (const JsonValue& kind : kinds) {
      HEED_ASSIGN_OR_RETURN(const absl::string_view name, kind.String());
      if (name != "global" && name != "local") {
        return UnsupportedValue(kind, "\"global\" and \"local\"");
      }
      if (static_cast<int>(windowed.size()) > n_layers) return absl::OkStatus();
      windowed.push_back(name == "local");
    }
  }
  return absl::OkStatus();
}

// Without attention_types, every other layer is local.
absl::Status ReadAttentionTypes(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(model.window, config.Int({"window_size"}, 256, kContextRange));
  const std::optional<JsonValue> list = config.FindNonNull("attention_types");
  if (!list) {
    for (int layer = 0; layer < model.n_layers; ++layer) model.windowed.push_back(layer % 2 == 1);
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> entries, list->Array());
  for (const JsonValue& entry : entries) {
    HEED_RETURN_IF_ERROR(AppendAttentionTypes(entry, model.n_layers, model.windowed));
  }
  if (static_cast<int>(model.windowed.size()) == model.n_layers) return absl::OkStatus();
  return list->Unexpected(
      absl::StrCat("a list that names the attention of each of the ", model.n_layers, " layers"));
}

// MPT's attn_config.
absl::Status ReadMptAttention(const ConfigReader& config, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "alibi", true));
  HEED_RETURN_IF_ERROR(RequireFlag(config, "prefix_lm", false));
  HEED_RETURN_IF_ERROR(RequireFlag(config, "qk_ln", false));
  if (const auto clip = config.FindNonNull("clip_qkv")) return UnsupportedValue(*clip, "null");
  HEED_ASSIGN_OR_RETURN(const std::string type,
                        config.String({"attn_type"}, "multihead_attention"));
  if (type != "multihead_attention") {
    return UnsupportedValue(*config.object().Find("attn_type"), "\"multihead_attention\"");
  }
  HEED_ASSIGN_OR_RETURN(const int64_t steepest, config.Int({"alibi_bias_max"}, 8, {1, 1 << 10}));
  if (steepest != 8) return UnsupportedValue(*config.object().Find("alibi_bias_max"), "8");
  if (!config.FindNonNull("softmax_scale")) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(model.attention_scale, config.Double({"softmax_scale"}, 1, {1e-6, 1e6}));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadGpt2(const ConfigReader& config) {
  ModelConfig model{.n_layers = 12,
                    .n_heads = 12,
                    .width = 768,
                    .vocab_size = 50257,
                    .context_window = 1024,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kLearned};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadInnerSize(config, {"n_inner", "intermediate_size"}, model));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"layer_norm_epsilon", "layer_norm_eps"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation,
                        ReadActivation(config, {"activation_function", "hidden_act"}, "gelu_new"));
  HEED_ASSIGN_OR_RETURN(const bool is_scaled, config.Bool("scale_attn_weights", true));
  if (!is_scaled) model.attention_scale = 1;
  HEED_ASSIGN_OR_RETURN(model.scaled_by_layer,
                        config.Bool("scale_attn_by_inverse_layer_idx", false));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  return model;
}

absl::StatusOr<ModelConfig> ReadGptNeo(const ConfigReader& config) {
  ModelConfig model{.n_layers = 24,
                    .n_heads = 16,
                    .width = 2048,
                    .vocab_size = 50257,
                    .context_window = 2048,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kLearned};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadInnerSize(config, {"intermediate_size"}, model));
  HEED_RETURN_IF_ERROR(ReadAttentionTypes(config, model));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_epsilon"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation,
                        ReadActivation(config, {"activation_function"}, "gelu_new"));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  model.attention_scale = 1;
  return model;
}

absl::StatusOr<ModelConfig> ReadGptNeoX(const ConfigReader& config) {
  ModelConfig model{.n_layers = 44,
                    .n_heads = 64,
                    .width = 6144,
                    .vocab_size = 50432,
                    .context_window = 2048,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 24576, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_eps"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "gelu"));
  HEED_ASSIGN_OR_RETURN(model.parallel_residual, config.Bool("use_parallel_residual", true));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", true));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));
  HEED_RETURN_IF_ERROR(ReadRotaryFraction(config, "rotary_pct", 0.25, model));
  HEED_RETURN_IF_ERROR(ReadRope(config, {.theta = "rotary_emb_base"}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadPhi(const ConfigReader& config) {
  ModelConfig model{.n_layers = 24,
                    .n_heads = 32,
                    .width = 2048,
                    .vocab_size = 51200,
                    .context_window = 2048,
                    .norm = NormKind::kLayerNorm,
                    .parallel_residual = true,
                    .position = PositionKind::kRope};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadKeyValueHeads(config, std::nullopt, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 8192, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_eps"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "gelu_new"));
  HEED_ASSIGN_OR_RETURN(model.query_key_norm, config.Bool("qk_layernorm", false));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));
  HEED_RETURN_IF_ERROR(ReadRotaryFraction(config, "partial_rotary_factor", 0.5, model));
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadOpt(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "layer_norm_elementwise_affine", true));
  ModelConfig model{.n_layers = 12,
                    .n_heads = 12,
                    .width = 768,
                    .vocab_size = 50272,
                    .context_window = 2048,
                    .position_offset = 2,
                    .norm = NormKind::kLayerNorm,
                    .norm_eps = 1e-5,
                    .position = PositionKind::kLearned};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"ffn_dim"}, 3072, kFfnRange));
  HEED_ASSIGN_OR_RETURN(const bool is_pre, config.Bool("do_layer_norm_before", true));
  HEED_ASSIGN_OR_RETURN(const bool is_bare, config.Bool("_remove_final_layer_norm", false));
  model.norm_placement = is_pre ? NormPlacement::kPre : NormPlacement::kPost;
  model.final_norm = is_pre && !is_bare;
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"activation_function"}, "relu"));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("enable_bias", true));
  model.mlp_bias = model.attention_bias;
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> table_width,
                        config.OptionalInt({"word_embed_proj_dim"}, kWidthRange));
  if (table_width && *table_width != model.width) model.embedding_width = *table_width;
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  return model;
}

absl::StatusOr<ModelConfig> ReadBloom(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "apply_residual_connection_post_layernorm", false));
  ModelConfig model{.n_layers = 2,
                    .n_heads = 8,
                    .width = 64,
                    .vocab_size = 250880,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kAlibi,
                    .activation = Activation::kGeluTanh};
  // Slopes have no end; this is how far the published models were trained.
  HEED_ASSIGN_OR_RETURN(model.context_window, config.Int({"seq_length"}, 2048, kContextRange));
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadInnerSize(config, {"n_inner"}, model));
  if (model.ffn_width != 4 * model.width) {
    return UnsupportedValue(*config.object().Find("n_inner"),
                            absl::StrCat(4 * model.width, ", four times the hidden size"));
  }
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_epsilon"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  return model;
}

absl::StatusOr<ModelConfig> ReadMpt(const ConfigReader& config) {
  ModelConfig model{.n_layers = 24,
                    .n_heads = 16,
                    .width = 2048,
                    .vocab_size = 50368,
                    .norm = NormKind::kLayerNorm,
                    .norm_bias = false,
                    .position = PositionKind::kAlibi,
                    .activation = Activation::kGeluErf};
  HEED_RETURN_IF_ERROR(RequireFlag(config, "no_bias", true));
  if (const auto scale = config.FindNonNull("logit_scale")) return UnsupportedValue(*scale, "null");
  HEED_ASSIGN_OR_RETURN(model.context_window, config.Int({"max_seq_len"}, 2048, kContextRange));
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_ASSIGN_OR_RETURN(const int64_t ratio, config.Int({"expansion_ratio"}, 4, {1, 1 << 10}));
  if (ratio != 4) return UnsupportedValue(*config.object().Find("expansion_ratio"), "4");
  model.ffn_width = ratio * model.width;
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_epsilon"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  if (const auto attention = config.FindNonNull("attn_config")) {
    HEED_RETURN_IF_ERROR(attention->Object().status());
    HEED_RETURN_IF_ERROR(ReadMptAttention(ConfigReader(*attention), model));
  }
  return model;
}

absl::StatusOr<ModelConfig> ReadStarCoder2(const ConfigReader& config) {
  ModelConfig model{.n_layers = 30,
                    .n_heads = 24,
                    .width = 3072,
                    .vocab_size = 49152,
                    .context_window = 4096,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(RequireWholeHeads(config));
  HEED_RETURN_IF_ERROR(ReadKeyValueHeads(config, 2, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 12288, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"norm_epsilon"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation,
                        ReadActivation(config, {"hidden_act"}, "gelu_pytorch_tanh"));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("use_bias", true));
  model.mlp_bias = model.attention_bias;
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> window,
                        config.OptionalInt({"sliding_window"}, kContextRange));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, window, [&](int) { return window.has_value(); }, model));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadStableLm(const ConfigReader& config) {
  ModelConfig model{.n_layers = 32,
                    .n_heads = 32,
                    .width = 2560,
                    .vocab_size = 50304,
                    .context_window = 4096,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(RequireFlag(config, "qk_layernorm", false));
  HEED_RETURN_IF_ERROR(RequireFlag(config, "use_parallel_residual", false));
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadKeyValueHeads(config, 32, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 6912, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"layer_norm_eps"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "silu"));
  HEED_ASSIGN_OR_RETURN(model.qkv_bias, config.Bool("use_qkv_bias", false));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));
  HEED_RETURN_IF_ERROR(ReadRotaryFraction(config, "partial_rotary_factor", 0.25, model));
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

}  // namespace heed
