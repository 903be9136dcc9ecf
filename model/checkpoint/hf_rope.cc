#include "model/checkpoint/hf_rope.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

constexpr double kDefaultTheta = 10000;
constexpr DoubleRange kThetaRange{1, 1e12};
constexpr DoubleRange kFactorRange{1, 1e6};
constexpr IntRange kContextRange{1, int64_t{1} << 26};

// In transformers 5 rope_scaling is an alias of rope_parameters, and wins when both are there.
std::optional<JsonValue> FindParameters(const ConfigReader& config) {
  std::optional<JsonValue> parameters = config.FindNonNull("rope_scaling");
  return parameters ? parameters : config.FindNonNull("rope_parameters");
}

absl::Status CheckWholeHead(const ConfigReader& config) {
  const std::optional<JsonValue> fraction = config.FindNonNull("partial_rotary_factor");
  if (!fraction) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const double value, fraction->Double());
  return value == 1 ? absl::OkStatus() : UnsupportedValue(*fraction, "1");
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

absl::StatusOr<double> RequiredFactor(const ConfigReader& parameters, absl::string_view key,
                                      DoubleRange range) {
  HEED_RETURN_IF_ERROR(parameters.object().Get(key).status());
  return parameters.Double({key}, 1, range);
}

absl::Status ReadLlama3(const ConfigReader& config, const ConfigReader& parameters,
                        int64_t context_window, RopeScaling& scaling) {
  constexpr DoubleRange kFrequencyRange{1e-3, 1e6};
  HEED_ASSIGN_OR_RETURN(scaling.low_freq_factor,
                        RequiredFactor(parameters, "low_freq_factor", kFrequencyRange));
  HEED_ASSIGN_OR_RETURN(scaling.high_freq_factor,
                        RequiredFactor(parameters, "high_freq_factor", kFrequencyRange));
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    return parameters.object()
        .Find("high_freq_factor")
        ->Unexpected(
            absl::StrCat("greater than low_freq_factor, which is ", scaling.low_freq_factor));
  }
  // A value beside the parameters has precedence over the one among them.
  constexpr absl::string_view kKey = "original_max_position_embeddings";
  HEED_ASSIGN_OR_RETURN(const int64_t inner, parameters.Int({kKey}, context_window, kContextRange));
  HEED_ASSIGN_OR_RETURN(scaling.original_context, config.Int({kKey}, inner, kContextRange));
  return absl::OkStatus();
}

absl::Status ReadScaling(const ConfigReader& config, const ConfigReader& parameters,
                         ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> type,
                        parameters.Find({"rope_type", "type"}));
  HEED_ASSIGN_OR_RETURN(const std::string name,
                        parameters.String({"rope_type", "type"}, "default"));
  if (name == "default") return absl::OkStatus();
  if (name != "linear" && name != "llama3") {
    return UnsupportedValue(*type, "\"default\", \"linear\" and \"llama3\"");
  }
  RopeScaling& scaling = model.rope_scaling;
  HEED_ASSIGN_OR_RETURN(scaling.factor, RequiredFactor(parameters, "factor", kFactorRange));
  scaling.kind = name == "linear" ? RopeScaling::Kind::kLinear : RopeScaling::Kind::kLlama3;
  if (scaling.kind == RopeScaling::Kind::kLinear) return absl::OkStatus();
  return ReadLlama3(config, parameters, model.context_window, scaling);
}

}  // namespace

absl::Status ReadRope(const ConfigReader& config, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(CheckWholeHead(config));
  HEED_ASSIGN_OR_RETURN(model.rope_theta,
                        config.Double({"rope_theta"}, kDefaultTheta, kThetaRange));
  const std::optional<JsonValue> object = FindParameters(config);
  if (!object) return absl::OkStatus();
  HEED_RETURN_IF_ERROR(CheckOneForAllLayers(*object));
  const ConfigReader parameters(*object);
  HEED_RETURN_IF_ERROR(CheckWholeHead(parameters));
  HEED_ASSIGN_OR_RETURN(model.rope_theta,
                        parameters.Double({"rope_theta"}, model.rope_theta, kThetaRange));
  return ReadScaling(config, parameters, model);
}

}  // namespace heed
