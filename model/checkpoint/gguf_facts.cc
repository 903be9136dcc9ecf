#include "model/checkpoint/gguf_facts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_facts.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr char kWindow[] = "attention.sliding_window";
constexpr char kPattern[] = "attention.sliding_window_pattern";

absl::StatusOr<std::vector<bool>> FlagsByLayer(const GgufValue& value, int n_layers) {
  HEED_ASSIGN_OR_RETURN(std::vector<bool> flags, value.Bools());
  if (static_cast<int>(flags.size()) == n_layers) return flags;
  return value.Unexpected(
      absl::StrCat("a period, or one flag for each of the ", n_layers, " layers"));
}

absl::StatusOr<std::vector<bool>> WindowedLayers(GgufSource& source, int n_layers, int64_t fallback,
                                                 bool first_is_full) {
  const std::optional<GgufValue> value = source.keys.Find(kPattern);
  if (value && value->IsArray()) return FlagsByLayer(*value, n_layers);
  HEED_ASSIGN_OR_RETURN(const int64_t period,
                        source.keys.Int(kPattern, {1, kLayersRange.max}, fallback));
  const int64_t full = first_is_full ? 0 : period - 1;
  std::vector<bool> windowed;
  for (int layer = 0; layer < n_layers; ++layer) windowed.push_back(layer % period != full);
  return windowed;
}

}  // namespace

absl::StatusOr<int64_t> GgufRowsOf(const GgufFiles& files, absl::string_view name, IntRange range) {
  const std::optional<GgufFiles::Place> place = files.Find(name);
  const std::string file = files.metadata().file();
  if (!place) return CheckpointInvalid(absl::StrCat(file, ": has no tensor ", Quoted(name)));
  const std::vector<int64_t>& shape = place->tensor.shape;
  if (shape.size() == 2 && shape[0] >= range.min && shape[0] <= range.max) return shape[0];
  return CheckpointInvalid(absl::StrCat(file, ": tensor ", Quoted(name), " has shape ",
                                        ShapeToString(shape), "; it must be a matrix with from ",
                                        range.min, " to ", range.max, " rows"));
}

absl::Status ReadGgufSizes(GgufSource& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  HEED_ASSIGN_OR_RETURN(model.n_layers, keys.Int("block_count", kLayersRange));
  HEED_ASSIGN_OR_RETURN(model.width, keys.Int("embedding_length", kWidthRange));
  HEED_ASSIGN_OR_RETURN(model.context_window, keys.Int("context_length", kContextRange));
  HEED_ASSIGN_OR_RETURN(model.ffn_width,
                        keys.IntForAllLayers("feed_forward_length", kFfnRange, model.n_layers));
  HEED_ASSIGN_OR_RETURN(model.n_heads,
                        keys.IntForAllLayers("attention.head_count", kHeadsRange, model.n_layers));
  HEED_ASSIGN_OR_RETURN(model.vocab_size,
                        GgufRowsOf(source.files, "token_embd.weight", kVocabRange));
  model.n_kv_heads = model.n_heads;
  return absl::OkStatus();
}

absl::Status ReadGgufKeyValueHeads(GgufSource& source, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(model.n_kv_heads,
                        source.keys.IntForAllLayers("attention.head_count_kv", kHeadsRange,
                                                    model.n_layers, model.n_heads));
  return absl::OkStatus();
}

absl::Status ShareGgufWidth(GgufSource& source, ModelConfig& model) {
  if (model.width % model.n_heads != 0) {
    return CheckpointInvalid(absl::StrCat(source.file(), ": the embedding length is ", model.width,
                                          ", which the ", model.n_heads,
                                          " attention heads do not divide"));
  }
  model.head_dim = static_cast<int>(model.width / model.n_heads);
  model.attention_scale = UsualScale(model);
  return absl::OkStatus();
}

absl::Status DivideGgufWidth(GgufSource& source, ModelConfig& model) {
  HEED_RETURN_IF_ERROR(ShareGgufWidth(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("attention.key_length", model.head_dim));
  return source.keys.RequireInt("attention.value_length", model.head_dim);
}

absl::Status ReadGgufHeadDim(GgufSource& source, ModelConfig& model) {
  const std::optional<GgufValue> key_length = source.keys.Find("attention.key_length");
  if (!key_length) return DivideGgufWidth(source, model);
  HEED_ASSIGN_OR_RETURN(model.head_dim, key_length->Int(kHeadDimRange));
  model.attention_scale = UsualScale(model);
  return source.keys.RequireInt("attention.value_length", model.head_dim);
}

absl::Status ReadGgufEpsilon(GgufSource& source, ModelConfig& model) {
  const bool is_rms = model.norm == NormKind::kRmsNorm;
  HEED_ASSIGN_OR_RETURN(
      model.norm_eps,
      source.keys.Double(
          is_rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", kEpsRange));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadGgufWindow(GgufSource& source, int64_t fallback) {
  return source.keys.Int(kWindow, {0, UINT32_MAX}, fallback);
}

absl::Status RefuseGgufWindow(GgufSource& source, const ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const int64_t window, ReadGgufWindow(source, 0));
  if (window == 0 || window >= model.context_window) return absl::OkStatus();
  return source.keys.Find(kWindow)->Unsupported(
      absl::StrCat("windows of at least the context length, ", model.context_window));
}

absl::Status ReadGgufWindowedLayers(GgufSource& source, int64_t window, int64_t fallback,
                                    bool first_is_full, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(std::vector<bool> windowed,
                        WindowedLayers(source, model.n_layers, fallback, first_is_full));
  if (window == 0 || std::find(windowed.begin(), windowed.end(), true) == windowed.end()) {
    return absl::OkStatus();
  }
  model.window = window;
  model.windowed = std::move(windowed);
  return absl::OkStatus();
}

}  // namespace heed
