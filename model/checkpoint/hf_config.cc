#include "model/checkpoint/hf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_mixing.h"
#include "model/checkpoint/hf_rope.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr DoubleRange kEpsRange{1e-30, 1};

struct NamedActivation {
  absl::string_view name;
  Activation activation;
};

// Several names are ways to compute the same function.
constexpr NamedActivation kActivations[] = {
    {"gelu", Activation::kGeluErf},
    {"gelu_python", Activation::kGeluErf},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"relu", Activation::kRelu},
};

std::string QuotedList(absl::Span<const absl::string_view> names) {
  return absl::StrJoin(names, ", ", [](std::string* out, absl::string_view name) {
    absl::StrAppend(out, "\"", name, "\"");
  });
}

absl::Status ReadActivation(const ConfigReader& config, ConfigReader::Keys keys,
                            absl::string_view fallback, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(const std::string name, config.String(keys, fallback));
  std::vector<absl::string_view> known;
  for (const NamedActivation& row : kActivations) {
    model.activation = row.activation;
    if (row.name == name) return absl::OkStatus();
    known.push_back(row.name);
  }
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, config.Find(keys));
  return UnsupportedValue(*value, QuotedList(known));
}

// Refuses an option that would change the mathematics.
absl::Status RefuseIfTrue(const ConfigReader& config, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const bool is_set, config.Bool(key, false));
  return is_set ? UnsupportedValue(*config.object().Find(key), "false") : absl::OkStatus();
}

// Options that every configuration class of transformers has.
absl::Status RefuseCommonOptions(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RefuseIfTrue(config, "add_cross_attention"));
  HEED_RETURN_IF_ERROR(RefuseIfTrue(config, "is_encoder_decoder"));
  if (const auto quantization = config.FindNonNull("quantization_config")) {
    return CheckpointUnsupported(absl::StrCat(quantization->Where(),
                                              " is set; heed supports checkpoints that are not "
                                              "quantised, with tensors of F32, F16 or BF16"));
  }
  if (const auto pruned = config.FindNonNull("pruned_heads")) {
    HEED_ASSIGN_OR_RETURN(const auto layers, pruned->Object());
    if (!layers.empty()) return UnsupportedValue(*pruned, "all heads present");
  }
  return absl::OkStatus();
}

// Sets head_dim from width and heads where it is not given.
absl::Status DivideWidthByHeads(const ConfigReader& config, ModelConfig& model) {
  if (model.width % model.n_heads != 0) {
    return CheckpointInvalid(absl::StrCat(config.object().Where(), ": the hidden size is ",
                                          model.width, ", which the ", model.n_heads,
                                          " attention heads do not divide"));
  }
  model.head_dim = static_cast<int>(model.width / model.n_heads);
  return absl::OkStatus();
}

absl::Status CheckHeads(const ConfigReader& config, const ModelConfig& model) {
  const std::string file = config.object().Where();
  if (model.n_heads % model.n_kv_heads != 0) {
    return CheckpointInvalid(absl::StrCat(file, ": num_attention_heads is ", model.n_heads,
                                          "; it must be a multiple of num_key_value_heads, ",
                                          model.n_kv_heads));
  }
  if (model.position == PositionKind::kRope && model.head_dim % 2 != 0) {
    return CheckpointInvalid(absl::StrCat(file, ": head_dim is ", model.head_dim,
                                          "; rotary positions need an even number"));
  }
  if (model.head_dim > kHeadDimRange.max || model.query_width() > kWidthRange.max) {
    return CheckpointInvalid(absl::StrCat(file, ": ", model.n_heads, " heads of ", model.head_dim,
                                          " are too large; at most ", kHeadDimRange.max, " and ",
                                          kWidthRange.max, " together are allowed"));
  }
  return absl::OkStatus();
}

// Sizes that all architectures have. The fallbacks are in `model` already.
absl::Status ReadCommonSizes(const ConfigReader& config, ModelConfig& model) {
  HEED_ASSIGN_OR_RETURN(model.n_layers, config.Int({"num_hidden_layers", "n_layer", "n_layers"},
                                                   model.n_layers, kLayersRange));
  HEED_ASSIGN_OR_RETURN(model.n_heads, config.Int({"num_attention_heads", "n_head", "n_heads"},
                                                  model.n_heads, kHeadsRange));
  HEED_ASSIGN_OR_RETURN(model.width, config.Int({"hidden_size", "n_embd", "d_model", "dim"},
                                                model.width, kWidthRange));
  HEED_ASSIGN_OR_RETURN(model.vocab_size,
                        config.Int({"vocab_size"}, model.vocab_size, kVocabRange));
  // n_ctx stands beside n_positions in GPT-2 configurations, where transformers does not look at
  // it.
  HEED_ASSIGN_OR_RETURN(const int64_t context,
                        config.Int({"n_ctx"}, model.context_window, kContextRange));
  HEED_ASSIGN_OR_RETURN(model.context_window, config.Int({"max_position_embeddings", "n_positions"},
                                                         context, kContextRange));
  model.n_kv_heads = model.n_heads;
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> ReadGpt2(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RefuseIfTrue(config, "scale_attn_by_inverse_layer_idx"));
  ModelConfig model{.n_layers = 12,
                    .n_heads = 12,
                    .width = 768,
                    .vocab_size = 50257,
                    .context_window = 1024,
                    .norm = NormKind::kLayerNorm,
                    .position = PositionKind::kLearned};
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> inner,
                        config.OptionalInt({"n_inner", "intermediate_size"}, kFfnRange));
  model.ffn_width = inner.value_or(4 * model.width);
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"layer_norm_epsilon", "layer_norm_eps"}, 1e-5, kEpsRange));
  HEED_RETURN_IF_ERROR(
      ReadActivation(config, {"activation_function", "hidden_act"}, "gelu_new", model));
  HEED_ASSIGN_OR_RETURN(const bool is_scaled, config.Bool("scale_attn_weights", true));
  model.attention_scale = is_scaled ? 1 / std::sqrt(static_cast<double>(model.head_dim)) : 1;
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  return model;
}

absl::StatusOr<ModelConfig> ReadLlama(const ConfigReader& config) {
  ModelConfig model{.n_layers = 32,
                    .n_heads = 32,
                    .width = 4096,
                    .vocab_size = 32000,
                    .context_window = 2048,
                    .norm = NormKind::kRmsNorm,
                    .position = PositionKind::kRope,
                    .gated_mlp = true};
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> kv_heads,
                        config.OptionalInt({"num_key_value_heads"}, kHeadsRange));
  model.n_kv_heads = static_cast<int>(kv_heads.value_or(model.n_heads));
  HEED_ASSIGN_OR_RETURN(const std::optional<int64_t> head_dim,
                        config.OptionalInt({"head_dim"}, kHeadDimRange));
  model.head_dim = static_cast<int>(head_dim.value_or(0));
  if (!head_dim) HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 11008, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"rms_norm_eps", "norm_eps"}, 1e-6, kEpsRange));
  HEED_RETURN_IF_ERROR(ReadActivation(config, {"hidden_act"}, "silu", model));
  HEED_ASSIGN_OR_RETURN(model.attention_bias, config.Bool("attention_bias", false));
  HEED_ASSIGN_OR_RETURN(model.mlp_bias, config.Bool("mlp_bias", false));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", false));
  HEED_RETURN_IF_ERROR(ReadRope(config, model));
  model.attention_scale = 1 / std::sqrt(static_cast<double>(model.head_dim));
  return model;
}

absl::StatusOr<ModelConfig> ReadBert(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RefuseIfTrue(config, "is_decoder"));
  HEED_ASSIGN_OR_RETURN(const std::string position,
                        config.String({"position_embedding_type"}, "absolute"));
  if (position != "absolute") {
    return UnsupportedValue(*config.object().Find("position_embedding_type"), "\"absolute\"");
  }
  ModelConfig model{.n_layers = 12,
                    .n_heads = 12,
                    .width = 768,
                    .vocab_size = 30522,
                    .context_window = 512,
                    .causal = false,
                    .norm = NormKind::kLayerNorm,
                    .norm_placement = NormPlacement::kPost,
                    .position = PositionKind::kLearned};
  HEED_RETURN_IF_ERROR(ReadCommonSizes(config, model));
  HEED_RETURN_IF_ERROR(DivideWidthByHeads(config, model));
  HEED_ASSIGN_OR_RETURN(model.ffn_width, config.Int({"intermediate_size"}, 3072, kFfnRange));
  HEED_ASSIGN_OR_RETURN(model.token_types, config.Int({"type_vocab_size"}, 2, kTokenTypesRange));
  HEED_ASSIGN_OR_RETURN(model.norm_eps,
                        config.Double({"layer_norm_eps", "layer_norm_epsilon"}, 1e-12, kEpsRange));
  HEED_RETURN_IF_ERROR(ReadActivation(config, {"hidden_act"}, "gelu", model));
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, config.Bool("tie_word_embeddings", true));
  model.attention_scale = 1 / std::sqrt(static_cast<double>(model.head_dim));
  return model;
}

struct Architecture {
  absl::string_view model_type;
  absl::StatusOr<ModelConfig> (*read)(const ConfigReader& config);
  // Classes whose weights heed can serve: language models and the base model alone.
  std::vector<absl::string_view> classes;
  std::optional<int32_t> default_bos, default_eos;
};

const std::vector<Architecture>& Architectures() {
  static const auto* const kTable = new std::vector<Architecture>{
      {"gpt2", ReadGpt2, {"GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"}, 50256, 50256},
      {"llama", ReadLlama, {"LlamaForCausalLM", "LlamaModel", "LLaMAForCausalLM"}, 1, 2},
      {"bert", ReadBert, {"BertForMaskedLM", "BertForPreTraining", "BertModel"}, {}, {}},
      {"heed_mixing", ReadMixing, {"HeedMixingForCausalLM"}, {}, {}},
  };
  return *kTable;
}

// The first class that config.json names. The oldest configurations have nothing else to go by.
absl::StatusOr<std::optional<JsonValue>> FirstClass(const ConfigReader& config) {
  const std::optional<JsonValue> list = config.FindNonNull("architectures");
  if (!list) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(std::vector<JsonValue> classes, list->Array());
  if (classes.empty()) return std::nullopt;
  HEED_RETURN_IF_ERROR(classes.front().String().status());
  return std::move(classes.front());
}

bool Contains(const Architecture& row, absl::string_view class_name) {
  return std::find(row.classes.begin(), row.classes.end(), class_name) != row.classes.end();
}

// Unknown `value`: lists what there is.
absl::Status UnknownArchitecture(const JsonValue& value) {
  std::vector<absl::string_view> names;
  for (const Architecture& row : Architectures()) {
    if (absl::StrContains(value.Where(), "architectures")) {
      names.insert(names.end(), row.classes.begin(), row.classes.end());
    } else {
      names.push_back(row.model_type);
    }
  }
  return UnsupportedValue(value, QuotedList(names));
}

absl::StatusOr<const Architecture*> FindArchitecture(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> first_class, FirstClass(config));
  const std::optional<JsonValue> type = config.FindNonNull("model_type");
  if (!type && !first_class) {
    return CheckpointInvalid(absl::StrCat(
        config.object().Where(), ": names no architecture; it must have model_type, for example \"",
        Architectures().front().model_type, "\""));
  }
  if (type) HEED_RETURN_IF_ERROR(type->String().status());
  for (const Architecture& row : Architectures()) {
    const bool is_known_class = !first_class || Contains(row, *first_class->String());
    if (type ? *type->String() != row.model_type : !is_known_class) continue;
    if (!is_known_class) return UnsupportedValue(*first_class, QuotedList(row.classes));
    return &row;
  }
  return UnknownArchitecture(type ? *type : *first_class);
}

// An id, a list of ids, or nothing.
absl::StatusOr<std::vector<int32_t>> ReadIds(const std::optional<JsonValue>& value,
                                             int64_t vocab_size) {
  std::vector<JsonValue> values;
  if (value && value->IsArray()) {
    HEED_ASSIGN_OR_RETURN(values, value->Array());
  } else if (value) {
    values.push_back(*value);
  }
  std::vector<int32_t> ids;
  for (const JsonValue& entry : values) {
    HEED_ASSIGN_OR_RETURN(const int64_t id, IntInRange(entry, {0, vocab_size - 1}));
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

// The ids under `key`: generation_config.json's, else config.json's, else the default if the
// vocabulary has it.
absl::StatusOr<std::vector<int32_t>> FindIds(const ConfigReader& config,
                                             const std::optional<JsonValue>& generation_config,
                                             absl::string_view key, std::optional<int32_t> fallback,
                                             int64_t vocab_size) {
  if (generation_config) {
    const auto value = ConfigReader(*generation_config).FindNonNull(key);
    if (value) return ReadIds(value, vocab_size);
  }
  if (config.object().Find(key)) return ReadIds(config.FindNonNull(key), vocab_size);
  if (!fallback || *fallback >= vocab_size) return std::vector<int32_t>();
  return std::vector<int32_t>{*fallback};
}

}  // namespace

absl::StatusOr<ModelConfig> ReadHuggingFaceConfig(
    const JsonValue& config, const std::optional<JsonValue>& generation_config) {
  HEED_RETURN_IF_ERROR(config.Object().status());
  if (generation_config) HEED_RETURN_IF_ERROR(generation_config->Object().status());
  const ConfigReader reader(config);
  HEED_ASSIGN_OR_RETURN(const Architecture* architecture, FindArchitecture(reader));
  HEED_RETURN_IF_ERROR(RefuseCommonOptions(reader));
  HEED_ASSIGN_OR_RETURN(ModelConfig model, architecture->read(reader));
  model.architecture = std::string(architecture->model_type);
  HEED_RETURN_IF_ERROR(CheckHeads(reader, model));
  HEED_ASSIGN_OR_RETURN(model.eos_ids, FindIds(reader, generation_config, "eos_token_id",
                                               architecture->default_eos, model.vocab_size));
  HEED_ASSIGN_OR_RETURN(const std::vector<int32_t> bos,
                        FindIds(reader, generation_config, "bos_token_id",
                                architecture->default_bos, model.vocab_size));
  if (!bos.empty()) model.bos_id = bos.front();
  return model;
}

}  // namespace heed
