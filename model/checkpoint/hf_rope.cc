#include "model/checkpoint/hf_rope.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_facts.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr DoubleRange kFractionRange{0, 1};
constexpr DoubleRange kPairFactorRange{1e-3, 1e6};

// In transformers 5 rope_scaling is an alias of rope_parameters, and wins when both are there.
std::optional<JsonValue> FindFlatParameters(const ConfigReader& config) {
  std::optional<JsonValue> parameters = config.FindNonNull("rope_scaling");
  return parameters ? parameters : config.FindNonNull("rope_parameters");
}

// transformers gives a model with several kinds of layers an object for each kind.
absl::Status CheckOneForAllLayers(const JsonValue& parameters) {
  HEED_ASSIGN_OR_RETURN(const auto members, parameters.Object());
  for (const auto& [key, value] : members) {
    if (!value.IsObject()) continue;
    return CheckpointUnsupported(absl::StrCat(
        value.Where(), " is an object; heed supports the same parameters for all layers only"));
  }
  return absl::OkStatus();
}

// The parameters of one kind of layers.
absl::StatusOr<std::optional<JsonValue>> FindParametersOf(const ConfigReader& config,
                                                          const RopeKeys& keys) {
  std::optional<JsonValue> scaling;
  if (keys.is_scaled) scaling = config.FindNonNull("rope_scaling");
  const std::optional<JsonValue> by_type = config.FindNonNull("rope_parameters");
  if (!by_type) return scaling;
  if (scaling) return UnsupportedValue(*scaling, "null beside rope_parameters");
  HEED_ASSIGN_OR_RETURN(const auto members, by_type->Object());
  for (const auto& [key, value] : members) {
    if (!value.IsObject() && !value.IsNull()) {
      return UnsupportedValue(value, "an object for each kind of layers");
    }
  }
  return ConfigReader(*by_type).FindNonNull(keys.layer_type);
}

// The object that holds the parameters; absent: none does.
absl::StatusOr<std::optional<JsonValue>> FindParameters(const ConfigReader& config,
                                                        const RopeKeys& keys) {
  std::optional<JsonValue> found = FindFlatParameters(config);
  if (!keys.layer_type.empty()) {
    HEED_ASSIGN_OR_RETURN(found, FindParametersOf(config, keys));
  }
  if (found) HEED_RETURN_IF_ERROR(CheckOneForAllLayers(*found));
  return found;
}

absl::StatusOr<double> RequiredFactor(const ConfigReader& parameters, absl::string_view key,
                                      DoubleRange range) {
  HEED_RETURN_IF_ERROR(parameters.object().Get(key).status());
  return parameters.Double({key}, 1, range);
}

// Null counts as absent.
absl::StatusOr<double> OptionalFactor(const ConfigReader& parameters, absl::string_view key,
                                      double fallback, DoubleRange range) {
  if (!parameters.FindNonNull(key)) return fallback;
  return parameters.Double({key}, fallback, range);
}

// A value beside the parameters has precedence over the one among them, and so has Phi-3's default.
absl::StatusOr<int64_t> OriginalContext(const ConfigReader& config, const ConfigReader& parameters,
                                        const RopeKeys& keys, const ModelConfig& model) {
  constexpr absl::string_view kKey = "original_max_position_embeddings";
  HEED_ASSIGN_OR_RETURN(const int64_t inner,
                        parameters.Int({kKey}, model.context_window, kContextRange));
  return config.Int({kKey}, keys.is_phi3 ? 4096 : inner, kContextRange);
}

absl::Status ReadLlama3(const ConfigReader& parameters, RopeScaling& scaling) {
  HEED_ASSIGN_OR_RETURN(scaling.low_freq_factor,
                        RequiredFactor(parameters, "low_freq_factor", kRopeFrequencyRange));
  HEED_ASSIGN_OR_RETURN(scaling.high_freq_factor,
                        RequiredFactor(parameters, "high_freq_factor", kRopeFrequencyRange));
  if (scaling.high_freq_factor > scaling.low_freq_factor) return absl::OkStatus();
  return parameters.object()
      .Find("high_freq_factor")
      ->Unexpected(
          absl::StrCat("greater than low_freq_factor, which is ", scaling.low_freq_factor));
}

// How YaRN raises the scores' temperature with the factor, by default.
double YarnMagnitude(double factor, double scale) {
  return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1;
}

absl::StatusOr<double> ReadYarnAttentionFactor(const ConfigReader& parameters, double factor) {
  HEED_ASSIGN_OR_RETURN(const double scale,
                        OptionalFactor(parameters, "mscale", 0, {0, kRopeFactorRange.max}));
  HEED_ASSIGN_OR_RETURN(const double scale_all,
                        OptionalFactor(parameters, "mscale_all_dim", 0, {0, kRopeFactorRange.max}));
  const double fallback = scale > 0 && scale_all > 0
                              ? YarnMagnitude(factor, scale) / YarnMagnitude(factor, scale_all)
                              : YarnMagnitude(factor, 1);
  return OptionalFactor(parameters, "attention_factor", fallback, kRopeAttentionFactorRange);
}

absl::Status ReadYarn(const ConfigReader& parameters, RopeParameters& rope) {
  RopeScaling& scaling = rope.scaling;
  HEED_ASSIGN_OR_RETURN(scaling.attention_factor,
                        ReadYarnAttentionFactor(parameters, scaling.factor));
  HEED_ASSIGN_OR_RETURN(scaling.beta_fast,
                        OptionalFactor(parameters, "beta_fast", 32, kRopeFrequencyRange));
  HEED_ASSIGN_OR_RETURN(scaling.beta_slow,
                        OptionalFactor(parameters, "beta_slow", 1, kRopeFrequencyRange));
  HEED_ASSIGN_OR_RETURN(scaling.truncate, parameters.Bool("truncate", true));
  const std::string where = parameters.object().Where();
  if (scaling.beta_fast < scaling.beta_slow) {
    return CheckpointInvalid(absl::StrCat(where, ": beta_fast is ", scaling.beta_fast,
                                          "; it must be at least beta_slow, ", scaling.beta_slow));
  }
  if (rope.theta > 1) return absl::OkStatus();
  return CheckpointInvalid(
      absl::StrCat(where, ": rope_theta is ", rope.theta, "; yarn needs more than 1"));
}

// One number for each pair of dimensions that rotates.
absl::StatusOr<std::vector<float>> ReadPairFactors(const ConfigReader& parameters,
                                                   absl::string_view key,
                                                   const ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const JsonValue list, parameters.object().Get(key));
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> values, list.Array());
  const int pairs = (model.rotary_dim > 0 ? model.rotary_dim : model.head_dim) / 2;
  if (static_cast<int>(values.size()) != pairs) {
    return CheckpointInvalid(absl::StrCat(list.Where(), " has ", values.size(),
                                          " entries; it must have ", pairs,
                                          ", one for each pair of dimensions that rotates"));
  }
  std::vector<float> factors;
  for (const JsonValue& value : values) {
    HEED_ASSIGN_OR_RETURN(const double factor, value.Double());
    if (!(factor >= kPairFactorRange.min && factor <= kPairFactorRange.max)) {
      return value.Unexpected(
          absl::StrCat("a number from ", kPairFactorRange.min, " to ", kPairFactorRange.max));
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

// The factor only sets the temperature of the scores; absent, it is how far the context window goes
// beyond the original one.
absl::Status ReadLongRope(const ConfigReader& parameters, const ModelConfig& model,
                          RopeScaling& scaling) {
  HEED_ASSIGN_OR_RETURN(scaling.short_factors, ReadPairFactors(parameters, "short_factor", model));
  HEED_ASSIGN_OR_RETURN(scaling.long_factors, ReadPairFactors(parameters, "long_factor", model));
  const auto original = static_cast<double>(scaling.original_context);
  HEED_ASSIGN_OR_RETURN(
      scaling.factor,
      OptionalFactor(parameters, "factor", static_cast<double>(model.context_window) / original,
                     {0, kRopeFactorRange.max}));
  const double usual = scaling.factor <= 1 || original <= 1
                           ? 1
                           : std::sqrt(1 + std::log(scaling.factor) / std::log(original));
  HEED_ASSIGN_OR_RETURN(scaling.attention_factor, OptionalFactor(parameters, "attention_factor",
                                                                 usual, kRopeAttentionFactorRange));
  return absl::OkStatus();
}

absl::Status CheckDynamic(const ConfigReader& parameters, const ModelConfig& model) {
  if ((model.rotary_dim > 0 ? model.rotary_dim : model.head_dim) > 2) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(parameters.object().Where(),
                                        ": dynamic scaling needs heads of which more than 2 "
                                        "dimensions rotate"));
}

struct NamedScaling {
  absl::string_view name;
  RopeScaling::Kind kind;
};

constexpr NamedScaling kScalings[] = {
    {"default", RopeScaling::Kind::kNone},    {"linear", RopeScaling::Kind::kLinear},
    {"dynamic", RopeScaling::Kind::kDynamic}, {"llama3", RopeScaling::Kind::kLlama3},
    {"yarn", RopeScaling::Kind::kYarn},       {"longrope", RopeScaling::Kind::kLongRope},
};

constexpr NamedScaling kPhi3Scalings[] = {
    {"default", RopeScaling::Kind::kNone},
    {"longrope", RopeScaling::Kind::kLongRope},
    {"su", RopeScaling::Kind::kLongRope},
    {"yarn", RopeScaling::Kind::kLongRope},
};

absl::StatusOr<RopeScaling::Kind> ReadKind(const ConfigReader& parameters, const RopeKeys& keys) {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> type,
                        parameters.Find({"rope_type", "type"}));
  HEED_ASSIGN_OR_RETURN(const std::string name,
                        parameters.String({"rope_type", "type"}, "default"));
  std::vector<absl::string_view> known;
  const auto scalings =
      keys.is_phi3 ? absl::MakeConstSpan(kPhi3Scalings) : absl::MakeConstSpan(kScalings);
  for (const NamedScaling& scaling : scalings) {
    // A sequence that outgrows LongRoPE's original context ends (ModelConfig::context_for), which
    // is for models with one kind of layers.
    if (!keys.layer_type.empty() && scaling.kind == RopeScaling::Kind::kLongRope) continue;
    if (scaling.name == name) return scaling.kind;
    known.push_back(scaling.name);
  }
  return UnsupportedValue(*type, QuotedList(known));
}

absl::Status ReadScaling(const ConfigReader& config, const ConfigReader& parameters,
                         const RopeKeys& keys, const ModelConfig& model, RopeParameters& rope) {
  RopeScaling& scaling = rope.scaling;
  HEED_ASSIGN_OR_RETURN(scaling.kind, ReadKind(parameters, keys));
  if (scaling.kind == RopeScaling::Kind::kNone) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(scaling.original_context, OriginalContext(config, parameters, keys, model));
  if (scaling.kind == RopeScaling::Kind::kLongRope) {
    return ReadLongRope(parameters, model, scaling);
  }
  HEED_ASSIGN_OR_RETURN(scaling.factor, RequiredFactor(parameters, "factor", kRopeFactorRange));
  switch (scaling.kind) {
    case RopeScaling::Kind::kDynamic:
      scaling.original_context = model.context_window;  // whatever the configuration says
      return CheckDynamic(parameters, model);
    case RopeScaling::Kind::kLlama3:
      return ReadLlama3(parameters, scaling);
    case RopeScaling::Kind::kYarn:
      return ReadYarn(parameters, rope);
    default:
      return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<RopeParameters> ReadRopeParameters(const ConfigReader& config, const RopeKeys& keys,
                                                  const ModelConfig& model) {
  RopeParameters rope;
  HEED_ASSIGN_OR_RETURN(rope.theta,
                        config.Double({keys.theta}, keys.default_theta, kRopeThetaRange));
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> object, FindParameters(config, keys));
  if (!object) return rope;
  const ConfigReader parameters(*object);
  HEED_ASSIGN_OR_RETURN(rope.theta, parameters.Double({"rope_theta"}, rope.theta, kRopeThetaRange));
  HEED_RETURN_IF_ERROR(ReadScaling(config, parameters, keys, model, rope));
  return rope;
}

absl::Status ReadRope(const ConfigReader& config, const RopeKeys& keys, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const RopeParameters rope, ReadRopeParameters(config, keys, model));
  model.rope_theta = rope.theta;
  model.rope_scaling = rope.scaling;
  if (rope.scaling.kind == RopeScaling::Kind::kDynamic && keys.layer_type.empty()) {
    const double stretched = static_cast<double>(model.context_window) * rope.scaling.factor;
    model.context_window =
        static_cast<int64_t>(std::min(stretched, static_cast<double>(kContextRange.max)));
  }
  return absl::OkStatus();
}

absl::Status ReadRotaryFraction(const ConfigReader& config, absl::string_view key, double fallback,
                                ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(double fraction, config.Double({key}, fallback, kFractionRange));
  if (const std::optional<JsonValue> object = FindFlatParameters(config)) {
    HEED_ASSIGN_OR_RETURN(fraction, ConfigReader(*object).Double({"partial_rotary_factor"},
                                                                 fraction, kFractionRange));
  }
  model.rotary_dim = static_cast<int>(model.head_dim * fraction);
  if (model.rotary_dim >= 2 && model.rotary_dim % 2 == 0) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(config.object().Where(), ": ", model.rotary_dim, " of the ",
                                        model.head_dim, " dimensions of a head rotate (", key, " ",
                                        fraction, "); it must be an even number, at least 2"));
}

absl::Status RequireWholeHeads(const ConfigReader& config) {
  std::vector<std::optional<JsonValue>> fractions = {config.FindNonNull("partial_rotary_factor")};
  if (const std::optional<JsonValue> object = FindFlatParameters(config)) {
    fractions.push_back(object->Find("partial_rotary_factor"));
  }
  for (const std::optional<JsonValue>& fraction : fractions) {
    if (!fraction) continue;
    HEED_ASSIGN_OR_RETURN(const double value, fraction->Double());
    if (value != 1) return UnsupportedValue(*fraction, "1");
  }
  return absl::OkStatus();
}

}  // namespace heed
