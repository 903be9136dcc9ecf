#include "model/checkpoint/gguf_config.h"

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/gguf_keys.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr char kTokenEmbedding[] = "token_embd.weight";
constexpr char kOutput[] = "output.weight";
constexpr char kTokenTypes[] = "token_types.weight";
constexpr char kRopeFactors[] = "rope_freqs.weight";
constexpr DoubleRange kEpsRange{1e-30, 1};
constexpr DoubleRange kThetaRange{1, 1e12};
constexpr DoubleRange kFactorRange{1, 1e6};
constexpr int64_t kQuantizationVersion = 2;

// What the readers of the architectures work on.
struct Source {
  const GgufFiles& files;
  GgufKeys keys;

  const GgufHeader& header() const { return files.metadata(); }
};

// Rows of a matrix, in the range; INVALID_ARGUMENT when it is missing.
absl::StatusOr<int64_t> RowsOf(const GgufFiles& files, absl::string_view name, IntRange range) {
  const std::optional<GgufFiles::Place> place = files.Find(name);
  const std::string file = files.metadata().file();
  if (!place) return CheckpointInvalid(absl::StrCat(file, ": has no tensor ", Quoted(name)));
  const std::vector<int64_t>& shape = place->tensor.shape;
  if (shape.size() == 2 && shape[0] >= range.min && shape[0] <= range.max) return shape[0];
  return CheckpointInvalid(absl::StrCat(file, ": tensor ", Quoted(name), " has shape ",
                                        ShapeToString(shape), "; it must be a matrix with from ",
                                        range.min, " to ", range.max, " rows"));
}

// Sizes that all architectures have.
absl::Status ReadSizes(Source& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  HEED_ASSIGN_OR_RETURN(model.n_layers, keys.Int("block_count", kLayersRange));
  HEED_ASSIGN_OR_RETURN(model.width, keys.Int("embedding_length", kWidthRange));
  HEED_ASSIGN_OR_RETURN(model.context_window, keys.Int("context_length", kContextRange));
  HEED_ASSIGN_OR_RETURN(model.ffn_width,
                        keys.IntForAllLayers("feed_forward_length", kFfnRange, model.n_layers));
  HEED_ASSIGN_OR_RETURN(model.n_heads,
                        keys.IntForAllLayers("attention.head_count", kHeadsRange, model.n_layers));
  HEED_ASSIGN_OR_RETURN(model.vocab_size, RowsOf(source.files, kTokenEmbedding, kVocabRange));
  model.n_kv_heads = model.n_heads;
  return absl::OkStatus();
}

// vocab_size, where it is given, must be the embedding's number of rows.
absl::Status CheckVocabSize(Source& source, const ModelConfig& model) {
  const std::optional<GgufValue> value = source.keys.Find("vocab_size");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t size, value->Int(kVocabRange));
  if (size == model.vocab_size) return absl::OkStatus();
  return value->Unexpected(
      absl::StrCat(model.vocab_size, ", the number of rows of ", kTokenEmbedding));
}

absl::Status DivideWidthByHeads(Source& source, ModelConfig& model) {
  if (model.width % model.n_heads != 0) {
    return CheckpointInvalid(absl::StrCat(source.header().file(), ": the embedding length is ",
                                          model.width, ", which the ", model.n_heads,
                                          " attention heads do not divide"));
  }
  model.head_dim = static_cast<int>(model.width / model.n_heads);
  return absl::OkStatus();
}

absl::Status CheckHeads(Source& source, const ModelConfig& model) {
  const std::string& file = source.header().file();
  if (model.n_heads % model.n_kv_heads != 0) {
    return CheckpointInvalid(absl::StrCat(file, ": attention.head_count is ", model.n_heads,
                                          "; it must be a multiple of attention.head_count_kv, ",
                                          model.n_kv_heads));
  }
  if (model.position == PositionKind::kRope && model.head_dim % 2 != 0) {
    return CheckpointInvalid(absl::StrCat(file, ": the length of a head is ", model.head_dim,
                                          "; rotary positions need an even number"));
  }
  if (model.head_dim > kHeadDimRange.max || model.query_width() > kWidthRange.max) {
    return CheckpointInvalid(absl::StrCat(file, ": ", model.n_heads, " heads of ", model.head_dim,
                                          " are too large; at most ", kHeadDimRange.max, " and ",
                                          kWidthRange.max, " together are allowed"));
  }
  return absl::OkStatus();
}

// key_length, value_length or, without them, a share of the width.
absl::Status ReadHeadDim(Source& source, ModelConfig& model) {
  const std::optional<GgufValue> key_length = source.keys.Find("attention.key_length");
  if (key_length) {
    HEED_ASSIGN_OR_RETURN(model.head_dim, key_length->Int(kHeadDimRange));
  } else {
    HEED_RETURN_IF_ERROR(DivideWidthByHeads(source, model));
  }
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("attention.value_length", model.head_dim));
  return source.keys.RequireInt("rope.dimension_count", model.head_dim);
}

// Llama 3's scaling is a table of divisors, one for each pair of dimensions.
absl::Status ReadRopeFactors(Source& source, ModelConfig& model) {
  const std::optional<GgufFiles::Place> place = source.files.Find(kRopeFactors);
  if (!place) return absl::OkStatus();
  const GgufTensor& tensor = place->tensor;
  const std::vector<int64_t> shape = {model.head_dim / 2};
  const std::string where = absl::StrCat(place->file->name(), ": tensor ", kRopeFactors);
  if (tensor.shape != shape || tensor.format->dtype != DType::kF32) {
    return CheckpointInvalid(absl::StrCat(where, " has shape ", ShapeToString(tensor.shape), " of ",
                                          tensor.format->name, "; it must be ",
                                          ShapeToString(shape), " of F32"));
  }
  std::vector<float> factors(static_cast<size_t>(shape[0]));
  HEED_RETURN_IF_ERROR(place->file->Read(
      tensor.offset,
      absl::MakeSpan(reinterpret_cast<char*>(factors.data()), factors.size() * sizeof(float))));
  for (const float factor : factors) {
    if (factor >= 1e-6f && factor <= 1e6f) continue;
    return CheckpointInvalid(
        absl::StrCat(where, " holds ", factor, "; every value must be from 1e-6 to 1e6"));
  }
  model.rope_scaling.divisors = std::move(factors);
  return absl::OkStatus();
}

absl::Status ReadRope(Source& source, ModelConfig& model) {
  GgufKeys& keys = source.keys;
  HEED_ASSIGN_OR_RETURN(model.rope_theta, keys.Double("rope.freq_base", kThetaRange, 10000));
  HEED_ASSIGN_OR_RETURN(const double old_factor, keys.Double("rope.scale_linear", kFactorRange, 1));
  HEED_ASSIGN_OR_RETURN(const double factor,
                        keys.Double("rope.scaling.factor", kFactorRange, old_factor));
  HEED_RETURN_IF_ERROR(keys.RequireDouble("rope.scaling.attn_factor", 1));
  keys.Ignore("rope.scaling.finetuned");
  keys.Ignore("rope.scaling.original_context_length");
  std::string type = "linear";
  if (const std::optional<GgufValue> value = keys.Find("rope.scaling.type")) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view text, value->String());
    if (text != "none" && text != "linear") return value->Unsupported("\"none\" and \"linear\"");
    type = std::string(text);
  }
  if (type == "linear" && factor != 1) {
    model.rope_scaling.kind = RopeScaling::Kind::kLinear;
    model.rope_scaling.factor = factor;
  }
  return ReadRopeFactors(source, model);
}

// A window that no text outgrows changes nothing.
absl::Status RefuseWindow(Source& source, const ModelConfig& model) {
  const std::optional<GgufValue> value = source.keys.Find("attention.sliding_window");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t window, value->Int({0, INT64_MAX}));
  if (window == 0 || window >= model.context_window) return absl::OkStatus();
  return value->Unsupported(
      absl::StrCat("windows of at least the context length, ", model.context_window));
}

double ScaleOf(const ModelConfig& model) {
  return 1 / std::sqrt(static_cast<double>(model.head_dim));
}

absl::StatusOr<ModelConfig> ReadGpt2(Source& source) {
  ModelConfig model{.norm = NormKind::kLayerNorm,
                    .position = PositionKind::kLearned,
                    .activation = Activation::kGeluTanh,
                    .output_major = true};
  HEED_RETURN_IF_ERROR(ReadSizes(source, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("attention.head_count_kv", model.n_heads));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        source.keys.Double("attention.layer_norm_epsilon", kEpsRange));
  model.attention_scale = ScaleOf(model);
  return model;
}

absl::StatusOr<ModelConfig> ReadLlama(Source& source) {
  GgufKeys& keys = source.keys;
  ModelConfig model{.norm = NormKind::kRmsNorm,
                    .position = PositionKind::kRope,
                    .activation = Activation::kSilu,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadSizes(source, model));
  HEED_ASSIGN_OR_RETURN(
      model.n_kv_heads,
      keys.IntForAllLayers("attention.head_count_kv", kHeadsRange, model.n_layers, model.n_heads));
  HEED_RETURN_IF_ERROR(ReadHeadDim(source, model));
  HEED_ASSIGN_OR_RETURN(model.norm_eps, keys.Double("attention.layer_norm_rms_epsilon", kEpsRange));
  HEED_RETURN_IF_ERROR(ReadRope(source, model));
  HEED_RETURN_IF_ERROR(RefuseWindow(source, model));
  HEED_RETURN_IF_ERROR(keys.RequireInt("expert_count", 0));
  HEED_RETURN_IF_ERROR(keys.RequireInt("expert_used_count", 0));
  HEED_ASSIGN_OR_RETURN(model.attention_scale,
                        keys.Double("attention.scale", {1e-6, 1e6}, ScaleOf(model)));
  keys.Ignore("tensor_data_layout");
  model.attention_bias = source.files.Find("blk.0.attn_q.bias").has_value();
  model.mlp_bias = source.files.Find("blk.0.ffn_up.bias").has_value();
  return model;
}

absl::StatusOr<ModelConfig> ReadBert(Source& source) {
  ModelConfig model{.causal = false,
                    .norm = NormKind::kLayerNorm,
                    .norm_placement = NormPlacement::kPost,
                    .position = PositionKind::kLearned,
                    .activation = Activation::kGeluErf,
                    .has_head = false};
  HEED_RETURN_IF_ERROR(ReadSizes(source, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireInt("attention.head_count_kv", model.n_heads));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        source.keys.Double("attention.layer_norm_epsilon", kEpsRange));
  if (source.files.Find(kTokenTypes)) {
    HEED_ASSIGN_OR_RETURN(model.token_types, RowsOf(source.files, kTokenTypes, kTokenTypesRange));
  }
  model.attention_scale = ScaleOf(model);
  return model;
}

struct Architecture {
  absl::string_view name;
  absl::StatusOr<ModelConfig> (*read)(Source& source);
};

constexpr Architecture kArchitectures[] = {
    {"gpt2", ReadGpt2},
    {"llama", ReadLlama},
    {"bert", ReadBert},
};

absl::StatusOr<const Architecture*> FindArchitecture(const GgufHeader& header) {
  HEED_ASSIGN_OR_RETURN(const GgufValue value, header.Get("general.architecture"));
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value.String());
  std::vector<std::string> known;
  for (const Architecture& row : kArchitectures) {
    if (row.name == name) return &row;
    known.push_back(Quoted(row.name));
  }
  return value.Unsupported(absl::StrJoin(known, ", "));
}

absl::Status CheckGeneral(const GgufFiles& files) {
  const GgufHeader& header = files.metadata();
  if (const std::optional<GgufValue> type = header.Find("general.type")) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view name, type->String());
    if (name != "model") return type->Unsupported("\"model\"");
  }
  const std::optional<GgufValue> version = header.Find("general.quantization_version");
  if (!version) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t number, version->Int({0, UINT32_MAX}));
  return number == kQuantizationVersion ? absl::OkStatus()
                                        : version->Unsupported(absl::StrCat(kQuantizationVersion));
}

// The ids under these keys that the vocabulary has; -1, also written as 4294967295, is none.
absl::StatusOr<std::vector<int32_t>> ReadIds(const GgufHeader& header,
                                             std::initializer_list<absl::string_view> keys,
                                             int64_t vocab_size) {
  std::vector<int32_t> ids;
  for (const absl::string_view key : keys) {
    const std::optional<GgufValue> value = header.Find(absl::StrCat("tokenizer.ggml.", key));
    if (!value) continue;
    HEED_ASSIGN_OR_RETURN(const int64_t id, value->Int({-1, UINT32_MAX}));
    if (id == -1 || id == UINT32_MAX) continue;
    if (id >= vocab_size) {
      return value->Unexpected(absl::StrCat("less than ", vocab_size, ", the number of tokens"));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

absl::StatusOr<std::optional<PoolingConfig>> ReadPooling(GgufKeys& keys) {
  const std::optional<GgufValue> value = keys.Find("pooling_type");
  if (!value) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(const int64_t type, value->Int({INT64_MIN, INT64_MAX}));
  switch (type) {
    case 0:
      return std::nullopt;
    case 1:
      return PoolingConfig{PoolingKind::kMean};
    case 2:
      return PoolingConfig{PoolingKind::kFirst};
    case 3:
      return PoolingConfig{PoolingKind::kLast};
    default:
      return value->Unsupported("0 (none), 1 (mean), 2 (first) and 3 (last)");
  }
}

}  // namespace

absl::StatusOr<GgufConfig> ReadGgufConfig(const GgufFiles& files) {
  const GgufHeader& header = files.metadata();
  HEED_ASSIGN_OR_RETURN(const Architecture* architecture, FindArchitecture(header));
  HEED_RETURN_IF_ERROR(CheckGeneral(files));
  Source source{files, GgufKeys(header, architecture->name)};
  HEED_ASSIGN_OR_RETURN(ModelConfig model, architecture->read(source));
  model.architecture = std::string(architecture->name);
  model.tied_embeddings = model.has_head && !files.Find(kOutput);
  HEED_RETURN_IF_ERROR(CheckHeads(source, model));
  HEED_RETURN_IF_ERROR(CheckVocabSize(source, model));
  HEED_RETURN_IF_ERROR(source.keys.RequireBool("attention.causal", model.causal));
  HEED_ASSIGN_OR_RETURN(const std::optional<PoolingConfig> pooling, ReadPooling(source.keys));
  HEED_RETURN_IF_ERROR(source.keys.RefuseTheRest());
  if (!model.has_head) return GgufConfig{std::move(model), pooling};
  HEED_ASSIGN_OR_RETURN(model.eos_ids,
                        ReadIds(header, {"eos_token_id", "eot_token_id"}, model.vocab_size));
  HEED_ASSIGN_OR_RETURN(const std::vector<int32_t> bos,
                        ReadIds(header, {"bos_token_id"}, model.vocab_size));
  if (!bos.empty()) model.bos_id = bos.front();
  return GgufConfig{std::move(model), pooling};
}

}  // namespace heed
