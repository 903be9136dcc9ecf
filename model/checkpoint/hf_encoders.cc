// Encoder families: BERT and its relatives, and ModernBERT.
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_facts.h"
#include "model/checkpoint/hf_families.h"
#include "model/checkpoint/hf_rope.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

// The shape of BERT, with the sizes of its base model.
ModelConfig PostNormEncoder() {
  return {.n_layers = 12,
          .n_heads = 12,
          .width = 768,
          .ffn_width = 3072,
          .vocab_size = 30522,
          .context_window = 512,
          .causal = false,
          .norm = NormKind::kLayerNorm,
          .norm_placement = NormPlacement::kPost,
          .norm_eps = 1e-12,
          .position = PositionKind::kLearned};
}

absl::Status ReadSizes(const ConfigReader& config, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  model.attention_scale = UsualScale(model);
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  return absl::OkStatus();
}

// What BERT, RoBERTa and ALBERT configurations have in common; the fallbacks are in `model`.
absl::Status ReadBertFacts(const ConfigReader& config, absl::string_view activation,
                           ModelConfig& model) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "is_decoder", false));
  HEED_ASSIGN_OR_RETURN(const std::string position,
                        config.String({"position_embedding_type"}, "absolute"));
  if (position != "absolute") {
    return UnsupportedValue(*config.object().Find("position_embedding_type"), "\"absolute\"");
  }
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width,
                        config.Int({"intermediate_size"}, model.ffn_width, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.token_types, config.Int({"type_vocab_size"}, 2, kTokenTypesRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"layer_norm_eps", "layer_norm_epsilon"}, 1e-12, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, activation));
  model.head_activation = model.activation;
  return absl::OkStatus();
}

// Positions are counted from behind the padding token's id.
absl::Status OffsetPositions(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> padding,
                        config.OptionalInt({"pad_token_id"}, {0, model.vocab_size - 1}));
  model.position_offset = padding.value_or(1) + 1;
  const int64_t rows = model.context_window;
  model.context_window -= model.position_offset;
  if (model.context_window >= 1) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(config.object().Where(), ": max_position_embeddings is ",
                                        rows, "; it must be more than ", model.position_offset,
                                        ", the positions that padding takes"));
}

}  // namespace

absl::StatusOr<ModelConfig> ReadBert(const ConfigReader& config) {
  ModelConfig model = PostNormEncoder();
  HEED_RETURN_IF_ERROR(ReadBertFacts(config, "gelu", model));
  return model;
}

absl::StatusOr<ModelConfig> ReadRoberta(const ConfigReader& config) {
  ModelConfig model = PostNormEncoder();
  model.vocab_size = 50265;
  HEED_RETURN_IF_ERROR(ReadBertFacts(config, "gelu", model));
  HEED_RETURN_IF_ERROR(OffsetPositions(config, model));
  model.head_activation = Activation::kGeluErf;  // whatever hidden_act is
  return model;
}

absl::StatusOr<ModelConfig> ReadDistilBert(const ConfigReader& config) {
  ModelConfig model = PostNormEncoder();
  model.n_layers = 6;
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"hidden_dim"}, model.ffn_width, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"activation"}, "gelu"));
  model.head_activation = model.activation;
  return model;
}

absl::StatusOr<ModelConfig> ReadAlbert(const ConfigReader& config) {
  ModelConfig model = PostNormEncoder();
  model.n_heads = 64;
  model.width = 4096;
  model.ffn_width = 16384;
  model.vocab_size = 30000;
  HEED_RETURN_IF_ERROR(ReadBertFacts(config, "gelu_new", model));
  HEED_ASSIGN_OR_RETURN(model.embedding_width, config.Int({"embedding_size"}, 128, kWidthRange));
  HEED_ASSIGN_OR_RETURN(model.n_layer_groups,
                        config.Int({"num_hidden_groups"}, 1, {1, model.n_layers}));
  if (model.n_layers % model.n_layer_groups != 0) {
    return UnsupportedValue(
        *config.object().Find("num_hidden_groups"),
        absl::StrCat("groups that divide the ", model.n_layers, " layers evenly"));
  }
  HEED_ASSIGN_OR_RETURN(const int64_t inner,
                        config.Int({"inner_group_num"}, 1, {1, kLayersRange.max}));
  if (inner == 1) return model;
  return UnsupportedValue(*config.object().Find("inner_group_num"), "1");
}

absl::StatusOr<ModelConfig> ReadElectra(const ConfigReader& config) {
  ModelConfig model = PostNormEncoder();
  model.n_heads = 4;
  model.width = 256;
  model.ffn_width = 1024;
  HEED_RETURN_IF_ERROR(ReadBertFacts(config, "gelu", model));
  HEED_ASSIGN_OR_RETURN(const int64_t table_width,
                        config.Int({"embedding_size"}, 128, kWidthRange));
  if (table_width != model.width) model.embedding_width = table_width;
  model.head_activation = Activation::kGeluErf;  // whatever hidden_act is
  return model;
}

absl::StatusOr<ModelConfig> ReadModernBert(const ConfigReader& config) {
  ModelConfig model{.n_layers = 22,
                    .n_heads = 12,
                    .width = 768,
                    .vocab_size = 50368,
                    .context_window = 8192,
                    .causal = false,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadSizes(config, model));
  HEED_RETURN_IF_ERROR(RequireWholeHeads(config));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 1152, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"norm_eps"}, 1e-5, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.norm_bias, config.Bool("norm_bias", false));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  HEED_ASSIGN_OR_RETURN(model.mlp_bias, config.Bool("mlp_bias", false));
  HEED_ASSIGN_OR_RETURN(model.head_bias, config.Bool("classifier_bias", false));
  HEED_ASSIGN_OR_RETURN(model.unembedding_bias, config.Bool("decoder_bias", true));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_activation"}, "gelu"));
  HEED_ASSIGN_OR_RETURN(model.head_activation,
                        ReadActivation(config, {"classifier_activation"}, "gelu"));
  // local_attention counts the positions on both sides; what is visible is half of it away at most.
  HEED_ASSIGN_OR_RETURN(const int64_t local, config.Int({"local_attention"}, 128, kContextRange));
  HEED_ASSIGN_OR_RETURN(const int64_t period,
                        config.Int({"global_attn_every_n_layers"}, 3, {1, kLayersRange.max}));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, local / 2 + 1, [&](int layer) { return layer % period != 0; }, model));
  HEED_RETURN_IF_ERROR(ReadRope(
      config,
      {.theta = "global_rope_theta", .default_theta = 160000, .layer_type = "full_attention"},
      model));
  if (model.windowed.empty()) return model;
  HEED_ASSIGN_OR_RETURN(
      model.windowed_rope,
      ReadRopeParameters(config, {.theta = "local_rope_theta", .layer_type = "sliding_attention"},
                         model));
  return model;
}

}  // namespace heed
