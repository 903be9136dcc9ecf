// Families shaped like Llama: RMS norms, rotary positions, gated feed-forward layers.
#include <algorithm>
#include <cmath>
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

// What a family's configuration class has where config.json is silent.
struct Defaults {
  ModelConfig model;              // sizes, eps and tied_embeddings too
  std::optional<int> n_kv_heads;  // absent: as many as heads
  std::optional<int> head_dim;    // absent: a share of the width
};

constexpr int64_t kUsualWindow = 4096;

ModelConfig Shape(int n_layers, int n_heads, int64_t width, int64_t ffn_width, int64_t vocab_size,
                  int64_t context_window) {
  return {.n_layers = n_layers,
          .n_heads = n_heads,
          .width = width,
          .ffn_width = ffn_width,
          .vocab_size = vocab_size,
          .context_window = context_window,
          .norm = NormKind::kRmsNorm,
          .norm_eps = 1e-6,
          .position = PositionKind::kRope,
          .gated_mlp = true};
}

// Everything but positions, activation and what only some of the families have.
absl::StatusOr<ModelConfig> ReadShape(const ConfigReader& config, const Defaults& defaults) {
  ModelConfig model = defaults.model;
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadKeyValueHeads(config, defaults.n_kv_heads, model));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> head_dim,
                        config.OptionalInt({"head_dim"}, kHeadDimRange));
  model.head_dim = static_cast<int>(head_dim.value_or(defaults.head_dim.value_or(0)));
  if (model.head_dim == 0) HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  model.attention_scale = UsualScale(model);
  HEED_ASSIGN_OR_RETURN(model.ffn_width,
                        config.Int({"intermediate_size"}, model.ffn_width, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"rms_norm_eps", "norm_eps"}, model.norm_eps, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings,
                        config.Bool("tie_word_embeddings", model.tied_embeddings));
  HEED_RETURN_IF_ERROR(RequireWholeHeads(config));
  return model;
}

// A model whose layers all have the same rotary positions.
absl::StatusOr<ModelConfig> ReadUniform(const ConfigReader& config, const Defaults& defaults) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(config, defaults));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "silu"));
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

// Null: none. Absent: the fallback.
absl::StatusOr<std::optional<int64_t>> ReadWindow(const ConfigReader& config,
                                                  std::optional<int64_t> fallback) {
  if (!config.object().Find("sliding_window")) return fallback;
  return config.OptionalInt({"sliding_window"}, kContextRange);
}

// Layers from max_window_layers on are windowed, in a model that uses windows at all.
absl::Status ReadQwenWindows(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const bool is_used, config.Bool("use_sliding_window", false));
  HEED_ASSIGN_OR_RETURN(const int64_t first,
                        config.Int({"max_window_layers"}, 28, {0, kLayersRange.max}));
  HEED_ASSIGN_OR_RETURN(std::optional<int64_t> window, ReadWindow(config, kUsualWindow));
  if (!is_used) window.reset();
  return ReadWindowedLayers(
      config, window, [&](int layer) { return window && layer >= first; }, model);
}

// Layers without positions, as no_rope_layers says (0: none), else one in each interval.
absl::Status ReadUnrotatedLayers(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const int64_t interval,
                        config.Int({"no_rope_layer_interval"}, 4, {1, kLayersRange.max}));
  const std::optional<JsonValue> list = config.FindNonNull("no_rope_layers");
  if (!list) {
    for (int layer = 1; layer <= model.n_layers; ++layer) {
      model.unrotated.push_back(layer % interval == 0);
    }
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> flags, list->Array());
  if (static_cast<int>(flags.size()) < model.n_layers) {
    return CheckpointInvalid(absl::StrCat(list->Where(), " has ", flags.size(),
                                          " entries; it must have one for each of the ",
                                          model.n_layers, " layers"));
  }
  for (int layer = 0; layer < model.n_layers; ++layer) {
    HEED_ASSIGN_OR_RETURN(const int64_t is_rotated, IntInRange(flags[layer], {0, 1}));
    model.unrotated.push_back(is_rotated == 0);
  }
  return absl::OkStatus();
}

// What the Gemmas share: norm weights stored less 1, and embeddings scaled by the root of their
// width.
absl::Status ReadGemmaFacts(const ConfigReader& config, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "use_bidirectional_attention", false));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  model.norm_weight_offset = 1;
  model.embedding_scale = std::sqrt(static_cast<double>(model.width));
  return absl::OkStatus();
}

// A soft cap under `key`. Null: none. Absent: the fallback.
absl::StatusOr<double> ReadCap(const ConfigReader& config, absl::string_view key, double fallback) {
  if (!config.object().Find(key)) return fallback;
  if (!config.FindNonNull(key)) return 0;
  return config.Double({key}, 0, {1e-3, 1e9});
}

// What Gemma 2 and 3 share: scores scaled by a number of their own, and a cap on the logits.
absl::Status ReadLaterGemmaFacts(const ConfigReader& config, double logit_cap, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ReadGemmaFacts(config, model));
  HEED_ASSIGN_OR_RETURN(model.activation,
                        ReadActivation(config, {"hidden_activation"}, "gelu_pytorch_tanh"));
  HEED_ASSIGN_OR_RETURN(const double scalar,
                        config.Double({"query_pre_attn_scalar"}, 256, {1e-3, 1e9}));
  model.attention_scale = 1 / std::sqrt(scalar);
  HEED_ASSIGN_OR_RETURN(model.logit_soft_cap,
                        ReadCap(config, "final_logit_softcapping", logit_cap));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadLlama(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model,
                        ReadUniform(config, {Shape(32, 32, 4096, 11008, 32000, 2048)}));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  HEED_ASSIGN_OR_RETURN(model.mlp_bias, config.Bool("mlp_bias", false));
  return model;
}

absl::StatusOr<ModelConfig> ReadMistral(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model,
                        ReadUniform(config, {Shape(32, 32, 4096, 14336, 32000, 131072), 8}));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> window, ReadWindow(config, kUsualWindow));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, window, [&](int) { return window.has_value(); }, model));
  if (std::count(model.windowed.begin(), model.windowed.end(), window.has_value()) ==
      static_cast<int64_t>(model.windowed.size())) {
    return model;
  }
  return UnsupportedValue(*config.object().Find("layer_types"), "layers that are all alike");
}

absl::StatusOr<ModelConfig> ReadQwen2(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model,
                        ReadUniform(config, {Shape(32, 32, 4096, 22016, 151936, 32768), 32}));
  HEED_RETURN_IF_ERROR(ReadQwenWindows(config, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadQwen3(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(ModelConfig model,
                        ReadUniform(config, {Shape(32, 32, 4096, 22016, 151936, 32768), 32, 128}));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  model.query_key_norm = true;
  HEED_RETURN_IF_ERROR(ReadQwenWindows(config, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadSmolLm3(const ConfigReader& config) {
  ModelConfig shape = Shape(36, 16, 2048, 11008, 128256, 32768);
  shape.tied_embeddings = true;
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(config, {shape, 4}));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "silu"));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  HEED_ASSIGN_OR_RETURN(model.mlp_bias, config.Bool("mlp_bias", false));
  HEED_RETURN_IF_ERROR(ReadUnrotatedLayers(config, model));
  HEED_ASSIGN_OR_RETURN(const bool has_windows, config.Bool("use_sliding_window", false));
  HEED_ASSIGN_OR_RETURN(std::optional<int64_t> window, ReadWindow(config, std::nullopt));
  if (has_windows) {
    HEED_RETURN_IF_ERROR(ReadWindowedLayers(
        config, window, [&](int layer) { return window && !model.is_rotated(layer); }, model));
  }
  HEED_RETURN_IF_ERROR(ReadRope(config, {.default_theta = 2e6}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadPhi3(const ConfigReader& config) {
  ModelConfig model = Shape(32, 32, 3072, 8192, 32064, 4096);
  model.norm_eps = 1e-5;
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(ReadKeyValueHeads(config, std::nullopt, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  model.attention_scale = UsualScale(model);
  HEED_ASSIGN_OR_RETURN(model.ffn_width,
                        config.Int({"intermediate_size"}, model.ffn_width, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, config.Double({"rms_norm_eps"}, model.norm_eps, kEpsRange));
  HEED_ASSIGN_OR_RETURN(model.activation, ReadActivation(config, {"hidden_act"}, "silu"));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> window, ReadWindow(config, std::nullopt));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, window, [&](int) { return window.has_value(); }, model));
  HEED_RETURN_IF_ERROR(ReadRotaryFraction(config, "partial_rotary_factor", 1, model));
  HEED_RETURN_IF_ERROR(ReadRope(config, {.is_phi3 = true}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGemma(const ConfigReader& config) {
  ModelConfig shape = Shape(28, 16, 3072, 24576, 256000, 8192);
  shape.tied_embeddings = true;
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(config, {shape, 16, 256}));
  HEED_RETURN_IF_ERROR(ReadGemmaFacts(config, model));
  // The first configurations said "gelu" in hidden_act and meant the tanh form.
  HEED_ASSIGN_OR_RETURN(
      model.activation,
      ReadActivation(config,
                     {config.FindNonNull("hidden_activation") ? "hidden_activation" : "hidden_act"},
                     "gelu_pytorch_tanh"));
  if (model.activation == Activation::kGeluErf) model.activation = Activation::kGeluTanh;
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGemma2(const ConfigReader& config) {
  ModelConfig shape = Shape(26, 8, 2304, 9216, 256000, 8192);
  shape.tied_embeddings = true;
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(config, {shape, 4, 256}));
  HEED_RETURN_IF_ERROR(ReadLaterGemmaFacts(config, 30, model));
  HEED_ASSIGN_OR_RETURN(model.attention_soft_cap, ReadCap(config, "attn_logit_softcapping", 50));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> window, ReadWindow(config, kUsualWindow));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, window, [](int layer) { return layer % 2 == 0; }, model));
  HEED_RETURN_IF_ERROR(ReadRope(config, {}, model));
  return model;
}

absl::StatusOr<ModelConfig> ReadGemma3(const ConfigReader& config) {
  ModelConfig shape = Shape(26, 8, 2304, 9216, 262208, 131072);
  shape.tied_embeddings = true;
  HEED_ASSIGN_OR_RETURN(ModelConfig model, ReadShape(config, {shape, 4, 256}));
  HEED_RETURN_IF_ERROR(ReadLaterGemmaFacts(config, 0, model));
  // transformers reads this cap and then does not apply it.
  if (const auto cap = config.FindNonNull("attn_logit_softcapping")) {
    return UnsupportedValue(*cap, "null");
  }
  model.query_key_norm = true;
  HEED_ASSIGN_OR_RETURN(
      const int64_t period,
      config.Int({"sliding_window_pattern", "_sliding_window_pattern"}, 6, {1, kLayersRange.max}));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> window, ReadWindow(config, kUsualWindow));
  HEED_RETURN_IF_ERROR(ReadWindowedLayers(
      config, window, [&](int layer) { return (layer + 1) % period != 0; }, model));
  HEED_RETURN_IF_ERROR(
      ReadRope(config, {.default_theta = 1e6, .layer_type = "full_attention"}, model));
  if (model.windowed.empty()) return model;
  HEED_ASSIGN_OR_RETURN(model.windowed_rope, ReadRopeParameters(config,
                                                                {.theta = "rope_local_base_freq",
                                                                 .layer_type = "sliding_attention",
                                                                 .is_scaled = false},
                                                                model));
  return model;
}

}  // namespace heed
