// Architectures shaped like Llama: RMS norms, rotary positions, gated feed-forward layers.
#include <cmath>

#include "model/base/status_macros.h"
#include "model/checkpoint/gguf_facts.h"
#include "model/checkpoint/gguf_families.h"
#include "model/checkpoint/gguf_rope.h"

namespace heed {
namespace {

constexpr DoubleRange kCapRange{1e-3, 1e9};
constexpr DoubleRange kScaleRange{1e-6, 1e6};

absl::StatusOr<ModelConfig> ReadShape(GgufSource& source, Activation activation) {
  ModelConfig model{.norm = NormKind::kRmsNorm,
                    .position = PositionKind::kRope,
                    .activation = activation,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadGgufSizes(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufKeyValueHeads(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufHeadDim(source, model));
  HEED_RETURN_IF_ERROR(RequireWholeGgufHeads(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufEpsilon(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRope(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("expert_count", 0));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("expert_used_count", 0));
  return model;
}

// Of queries, keys and values, by themselves or together; and of what comes behind attention too.
void ReadAttentionBiases(const GgufSource& source, ModelConfig& model) {
  model.qkv_bias =
      source.files.Find("blk.0.attn_q.bias") || source.files.Find("blk.0.attn_qkv.bias");
  model.attention_bias = model.qkv_bias && source.files.Find("blk.0.attn_output.bias");
}

absl::Status ReadWindowOfAllLayers(GgufSource& source, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const int64_t window, ReadGgufWindow(source, 0));
  if (window == 0) return absl::OkStatus();
  model.window = window;
  model.windowed.assign(static_cast<size_t>(model.n_layers), true);
  return absl::OkStatus();
}

// What the Gemmas share. The converter adds 1 to the norms' weights, so that they are plain ones.
absl::StatusOr<ModelConfig> ReadGemmaShape(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(source, Activation::kGeluTanh));
  model.embedding_scale = std::sqrt(static_cast<double>(model.width));
  return model;
}

// Scores are scaled by the length of a head, but in the largest model of a family, which is known
// by its number of layers, by each head's share of the width. No key says so.
absl::Status ReadGemmaScale(GgufSource& source, int layers_of_largest, ModelConfig& model) {
  if (model.n_layers != layers_of_largest) return absl::OkStatus();
  const int head_dim = model.head_dim;
  HEED_RETURN_IF_ERROR(ShareGgufWidth(source, model));
  model.head_dim = head_dim;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadGgufLlama(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(source, Activation::kSilu));
  HEED_RETURN_IF_ERROR(ReadGgufRopeFactors(source, model));
  HEED_ASSIGN_OR_RETURN(model.attention_scale,
                        source.keys.Double("attention.scale", kScaleRange, model.attention_scale));
  HEED_RETURN_IF_ERROR(ReadWindowOfAllLayers(source, model));
  source.keys.Ignore("tensor_data_layout");
  ReadAttentionBiases(source, model);
  model.mlp_bias = source.files.Find("blk.0.ffn_up.bias").has_value();
  return model;
}

// Every fourth layer has no positions; no key says so.
absl::StatusOr<ModelConfig> ReadGgufSmolLm3(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(source, Activation::kSilu));
  HEED_RETURN_IF_ERROR(RefuseGgufWindow(source, model));
  for (int layer = 1; layer <= model.n_layers; ++layer) model.unrotated.push_back(layer % 4 == 0);
  ReadAttentionBiases(source, model);
  model.mlp_bias = source.files.Find("blk.0.ffn_up.bias").has_value();
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufPhi3(GgufSource& source) {
  ModelConfig model{.norm = NormKind::kRmsNorm,
                    .position = PositionKind::kRope,
                    .activation = Activation::kSilu,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadGgufSizes(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufKeyValueHeads(source, model));
  HEED_RETURN_IF_ERROR(DivideGgufWidth(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufEpsilon(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufRotaryDim(source, model));
  HEED_RETURN_IF_ERROR(ReadGgufLongRope(source, model));
  HEED_RETURN_IF_ERROR(ReadWindowOfAllLayers(source, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufQwen2(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(source, Activation::kSilu));
  HEED_RETURN_IF_ERROR(RefuseGgufWindow(source, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufQwen3(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadGgufQwen2(source));
  model.query_key_norm = true;
  ReadAttentionBiases(source, model);
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufGemma(GgufSource& source) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadGemmaShape(source));
  HEED_RETURN_IF_ERROR(RefuseGgufWindow(source, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufGemma2(GgufSource& source) {
  GgufKeys& keys = source.keys;
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadGemmaShape(source));
  HEED_RETURN_IF_ERROR(ReadGemmaScale(source, 46, model));
  HEED_ASSIGN_OR_RETURN(model.attention_soft_cap,
                        keys.Double("attn_logit_softcapping", kCapRange, 50));
  HEED_ASSIGN_OR_RETURN(model.logit_soft_cap,
                        keys.Double("final_logit_softcapping", kCapRange, 30));
  HEED_ASSIGN_OR_RETURN(const int64_t window, ReadGgufWindow(source, 4096));
  HEED_RETURN_IF_ERROR(ReadGgufWindowedLayers(source, window, 2, false, model));
  HEED_RETURN_IF_ERROR(keys.RequireDouble("rope.freq_base_swa", model.rope_theta));
  return model;
}

absl::StatusOr<ModelConfig> ReadGgufGemma3(GgufSource& source) {
  GgufKeys& keys = source.keys;
  // The usual theta is not the one that a missing key means.
  HEED_RETURN_IF_ERROR(keys.Get("rope.freq_base").status());
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadGemmaShape(source));
  HEED_RETURN_IF_ERROR(ReadGemmaScale(source, 62, model));
  model.query_key_norm = true;
  if (keys.Find("final_logit_softcapping")) {
    HEED_ASSIGN_OR_RETURN(model.logit_soft_cap, keys.Double("final_logit_softcapping", kCapRange));
  }
  HEED_ASSIGN_OR_RETURN(const int64_t window, ReadGgufWindow(source, 0));
  HEED_RETURN_IF_ERROR(ReadGgufWindowedLayers(source, window, 6, false, model));
  HEED_RETURN_IF_ERROR(ReadGgufWindowedRope(source, model));
  return model;
}

}  // namespace heed
