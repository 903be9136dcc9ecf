// Decoders that are not shaped like Llama, and encoders.
#include "model/checkpoint/gguf_families.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/gguf_rope.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr char kTokenTypes[] = "token_types.weight";

// Sizes and norms; heads share the width, and there is one key head for each.
absl::Status ReadEvenShape(GgufSource& source, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ReadGgufSizes(source, model));
  HEED_RETURN_IF_ERROR(DivideGgufWidth(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("attention.head_count_kv", model.n_heads));
  return ReadGgufEpsilon(source, model);
}

// The same with fewer key heads, perhaps.
absl::Status ReadGroupedShape(GgufSource& source, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ReadGgufSizes(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufKeyValueHeads(source, model));
  HEED_RETURN_IF_ERROR(DivideGgufWidth(source, model));
  return ReadGgufEpsilon(source, model);
}

// Only some of the models that share ModernBERT's layers have its activation.
absl::StatusOr<Activation> ReadHiddenActivation(GgufKeys& keys) {
  const std::optional<GgufValue> value = keys.Find("hidden_activation");
  if (!value) return Activation::kGeluErf;
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value->String());
  if (name == "gelu") return Activation::kGeluErf;
  if (name == "silu") return Activation::kSilu;
  return value->Unsupported("\"gelu\" and \"silu\"");
}

}  // namespace

absl::StatusOr<ModelConfig> ReadGgufGpt2(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kLearned,
                    .activation = Activation::kGeluTanh,
                    .output_major = true};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufGptNeoX(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope,
                    .activation = Activation::kGeluErf};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRotaryDim(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  HEED_ASSIGN_OR_RETURN(model.parallel_residual, source.keys.Bool("use_parallel_residual", true));
  model.attention_bias = source.files.Find("blk.0.attn_qkv.bias").has_value();
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufPhi2(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .parallel_residual = true,
                    .position = PositionKind::kRope,
                    .activation = Activation::kGeluTanh};
  HEED_RETURN_IF_ERROR(ReadGroupedShape(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRotaryDim(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufStarCoder2(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope,
                    .activation = Activation::kGeluTanh};
  HEED_RETURN_IF_ERROR(ReadGroupedShape(source, model));
  HEED_RETURN_IF_ERROR(RequireWholeGgufHeads(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  HEED_RETURN_IF_ERROR(RefuseGgufWindow(source, model));
  model.attention_bias = source.files.Find("blk.0.attn_output.bias").has_value();
  model.mlp_bias = source.files.Find("blk.0.ffn_up.bias").has_value();
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufStableLm(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kRope,
                    .activation = Activation::kSilu,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadGroupedShape(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRotaryDim(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  // Also written for models whose halves follow one another; those have a second norm.
  source.keys.Ignore("use_parallel_residual");
  model.qkv_bias = source.files.Find("blk.0.attn_q.bias").has_value();
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufBloom(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kAlibi,
                    .activation = Activation::kGeluTanh};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireDouble("attention.max_alibi_bias", 8));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufMpt(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .norm_bias = false,
                    .position = PositionKind::kAlibi,
                    .activation = Activation::kGeluErf};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireDouble("attention.max_alibi_bias", 8));
  HEED_RETURN_IF_ERROR(source.keys.Get("attention.max_alibi_bias").status());
  HEED_RETURN_IF_ERROR(source.keys.RequireDouble("attention.clamp_kqv", 0));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufBert(GgufSource& source) {
  ModelConfig model{.causal = false,
                    .norm = NormKind::kLayerNorm,
                    .norm_placement = NormPlacement::kPost,
                    .position = PositionKind::kLearned,
                    .activation = Activation::kGeluErf,
                    .has_head = false};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  if (source.files.Find(kTokenTypes)) {
    HEED_ASSIGN_OR_RETURN(model.token_types,
                          GgufRowsOf(source.files, kTokenTypes, kTokenTypesRange));
  }
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufModernBert(GgufSource& source) {
  GgufKeys& keys = source.keys;
  ModelConfig model{.causal = false,
                    .norm = NormKind::kLayerNorm,
                    .norm_bias = false,
                    .position = PositionKind::kRope,
                    .gated_mlp = true,
                    .has_head = false};
  HEED_RETURN_IF_ERROR(ReadEvenShape(source, model));
  HEED_RETURN_IF_ERROR(RequireWholeGgufHeads(source, model));
  // The usual theta is not the one that a missing key means.
  HEED_RETURN_IF_ERROR(keys.Get("rope.freq_base").status());
  // The same constant, under the name of the other kind of norm.
  HEED_RETURN_IF_ERROR(keys.RequireDouble("attention.layer_norm_rms_epsilon", model.norm_eps));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadHiddenActivation(keys));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  // The window counts the positions on both sides; what is visible is half of it away at most.
  HEED_ASSIGN_OR_RETURN(const int64_t local, ReadGgufWindow(source, 0));
  HEED_RETURN_IF_ERROR(
      ReadGgufWindowedLayers(source, local == 0 ? 0 : local / 2 + 1, 3, true, model));
  HEED_RETURN_IF_ERROR(ReadGgufWindowedRope(source, model));
  // Of a head for classification.
  keys.Ignore("classifier.pooling_type");
  keys.Ignore("classifier.activation");
  return model;
}

}  // namespace heed
