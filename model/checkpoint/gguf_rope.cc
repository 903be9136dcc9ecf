#include "model/checkpoint/gguf_rope.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr double kDefaultTheta = 10000;
constexpr char kFactor[] = "rope.scaling.factor";

// How much the scores' temperature rises with the factor.
double YarnMagnitude(double factor) {
  return 0.1 * std::log(factor) + 1;
}

// Numbers under these keys change the formula. transformers' own attention_factor is written under
// the second, which llama.cpp does not apply, so that only the usual one is unambiguous.
absl::Status RequireUsualYarn(GgufKeys& keys, double magnitude) {
  if (const std::optional<GgufValue> value = keys.Find("rope.scaling.yarn_attn_factor")) {
    HEED_ASSIGN_OR_RETURN(const double factor,
                          value->Double({-kRopeFactorRange.max, kRopeFactorRange.max}));
    if (std::abs(factor - magnitude) > 1e-6) return value->Unsupported(absl::StrCat(magnitude));
  }
  HEED_RETURN_IF_ERROR(keys.RequireDouble("rope.scaling.yarn_ext_factor", 1));
  return keys.RequireDouble("rope.scaling.yarn_log_multiplier", 0);
}

absl::Status ReadYarn(GgufSource& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  RopeScaling& scaling = model.rope_scaling;
  scaling.attention_factor = YarnMagnitude(scaling.factor);
  HEED_RETURN_IF_ERROR(RequireUsualYarn(keys, scaling.attention_factor));
  HEED_ASSIGN_OR_RETURN(scaling.original_context, keys.Int("rope.scaling.original_context_length",
                                                           kContextRange, model.context_window));
  HEED_ASSIGN_OR_RETURN(scaling.beta_fast,
                        keys.Double("rope.scaling.yarn_beta_fast", kRopeFrequencyRange, 32));
  HEED_ASSIGN_OR_RETURN(scaling.beta_slow,
                        keys.Double("rope.scaling.yarn_beta_slow", kRopeFrequencyRange, 1));
  HEED_ASSIGN_OR_RETURN(scaling.truncate, keys.Bool("rope.scaling.yarn_truncate", true));
  if (scaling.beta_fast < scaling.beta_slow) {
    return CheckpointInvalid(
        absl::StrCat(source.file(), ": rope.scaling.yarn_beta_fast is ", scaling.beta_fast,
                     "; it must be at least rope.scaling.yarn_beta_slow, ", scaling.beta_slow));
  }
  if (model.rope_theta > 1) return absl::OkStatus();
  return keys.Find("rope.freq_base")->Unexpected("more than 1, which yarn needs");
}

absl::StatusOr<RopeScaling::Kind> ReadKind(GgufKeys& keys) {
  const std::optional<GgufValue> value = keys.Find("rope.scaling.type");
  if (!value) return RopeScaling::Kind::kLinear;
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value->String());
  if (name == "none") return RopeScaling::Kind::kNone;
  if (name == "linear") return RopeScaling::Kind::kLinear;
  if (name == "yarn") return RopeScaling::Kind::kYarn;
  return value->Unsupported("\"none\", \"linear\" and \"yarn\"");
}

absl::Status RequireType(GgufKeys& keys, absl::string_view only) {
  const std::optional<GgufValue> value = keys.Find("rope.scaling.type");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value->String());
  return name == only ? absl::OkStatus() : value->Unsupported(Quoted(only));
}

// A vector of so many numbers; empty when there is no such tensor.
absl::StatusOr<std::vector<float>> ReadFactors(const GgufFiles& files, absl::string_view name,
                                               int64_t count) {
  const std::optional<GgufFiles::Place> place = files.Find(name);
  if (!place) return std::vector<float>();
  const GgufTensor& tensor = place->tensor;
  const std::vector<int64_t> shape = {count};
  const std::string where = absl::StrCat(place->file->name(), ": tensor ", name);
  if (tensor.shape != shape || tensor.format->dtype != DType::kF32) {
    return CheckpointInvalid(absl::StrCat(where, " has shape ", ShapeToString(tensor.shape), " of ",
                                          tensor.format->name, "; it must be ",
                                          ShapeToString(shape), " of F32"));
  }
  std::vector<float> factors(static_cast<size_t>(count));
  HEED_RETURN_IF_ERROR(place->file->Read(
      tensor.offset,
      absl::MakeSpan(reinterpret_cast<char*>(factors.data()), factors.size() * sizeof(float))));
  for (const float factor : factors) {
    if (factor >= 1e-6f && factor <= 1e6f) continue;
    return CheckpointInvalid(
        absl::StrCat(where, " holds ", factor, "; every value must be from 1e-6 to 1e6"));
  }
  return factors;
}

}  // namespace

absl::Status ReadGgufRope(GgufSource& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  HEED_ASSIGN_OR_RETURN(model.rope_theta,
                        keys.Double("rope.freq_base", kRopeThetaRange, kDefaultTheta));
  HEED_ASSIGN_OR_RETURN(const double old_factor,
                        keys.Double("rope.scale_linear", kRopeFactorRange, 1));
  HEED_ASSIGN_OR_RETURN(const double factor, keys.Double(kFactor, kRopeFactorRange, old_factor));
  HEED_RETURN_IF_ERROR(keys.RequireDouble("rope.scaling.attn_factor", 1));
  keys.Ignore("rope.scaling.finetuned");
  keys.Ignore("rope.scaling.original_context_length");
  HEED_ASSIGN_OR_RETURN(const RopeScaling::Kind kind, ReadKind(keys));
  if (kind == RopeScaling::Kind::kYarn) HEED_RETURN_IF_ERROR(keys.Get(kFactor).status());
  if (kind == RopeScaling::Kind::kNone || factor == 1) return absl::OkStatus();
  model.rope_scaling.kind = kind;
  model.rope_scaling.factor = factor;
  return kind == RopeScaling::Kind::kYarn ? ReadYarn(source, model) : absl::OkStatus();
}

absl::Status ReadGgufRopeFactors(GgufSource& source, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(model.rope_scaling.divisors,
                        ReadFactors(source.files, kGgufRopeFactors, model.head_dim / 2));
  return absl::OkStatus();
}

absl::Status ReadGgufLongRope(GgufSource& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  const bool is_long = source.files.Find(kGgufLongFactors) || source.files.Find(kGgufShortFactors);
  if (!is_long) return ReadGgufRope(source, model);
  HEED_ASSIGN_OR_RETURN(model.rope_theta,
                        keys.Double("rope.freq_base", kRopeThetaRange, kDefaultTheta));
  RopeScaling& scaling = model.rope_scaling;
  scaling.kind = RopeScaling::Kind::kLongRope;
  HEED_RETURN_IF_ERROR(RequireType(keys, "longrope"));
  HEED_ASSIGN_OR_RETURN(scaling.original_context,
                        keys.Int("rope.scaling.original_context_length", kContextRange));
  HEED_ASSIGN_OR_RETURN(scaling.attention_factor,
                        keys.Double("rope.scaling.attn_factor", kRopeAttentionFactorRange, 1));
  scaling.factor =
      static_cast<double>(model.context_window) / static_cast<double>(scaling.original_context);
  const int64_t pairs = (model.rotary_dim > 0 ? model.rotary_dim : model.head_dim) / 2;
  for (const auto& [name, factors] : {std::pair{kGgufShortFactors, &scaling.short_factors},
                                      std::pair{kGgufLongFactors, &scaling.long_factors}}) {
    HEED_ASSIGN_OR_RETURN(*factors, ReadFactors(source.files, name, pairs));
    if (!factors->empty()) continue;
    return CheckpointInvalid(
        absl::StrCat(source.file(), ": has no tensor ", Quoted(name), ", but its counterpart"));
  }
  return absl::OkStatus();
}

absl::Status ReadGgufWindowedRope(GgufSource& source, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const double theta,
                        source.keys.Double("rope.freq_base_swa", kRopeThetaRange, kDefaultTheta));
  if (!model.windowed.empty()) model.windowed_rope = RopeParameters{.theta = theta};
  return absl::OkStatus();
}

absl::Status RequireWholeGgufHeads(GgufSource& source, const ModelConfig& model) {
  return source.keys.RequireInt("rope.dimension_count", model.head_dim);
}

absl::Status ReadGgufRotaryDim(GgufSource& source, ModelConfig& model) {
  const std::optional<GgufValue> value = source.keys.Find("rope.dimension_count");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(model.rotary_dim, value->Int({2, model.head_dim}));
  if (model.rotary_dim % 2 == 0) return absl::OkStatus();
  return value->Unexpected("an even number");
}

}  // namespace heed
