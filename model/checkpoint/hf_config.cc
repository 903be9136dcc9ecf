#include "model/checkpoint/hf_config.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/hf_facts.h"
#include "model/checkpoint/hf_families.h"
#include "model/checkpoint/hf_mixing.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

// Options that every configuration class of transformers has.
absl::Status RefuseCommonOptions(const ConfigReader& config) {
  HEED_RETURN_IF_ERROR(RequireFlag(config, "add_cross_attention", false));
  HEED_RETURN_IF_ERROR(RequireFlag(config, "is_encoder_decoder", false));
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

absl::Status CheckHeads(const ConfigReader& config, const ModelConfig& model) {
  const std::string file = config.object().Where();
  if (model.n_heads % model.n_kv_heads != 0) {
    return CheckpointInvalid(absl::StrCat(file, ": num_attention_heads is ", model.n_heads,
                                          "; it must be a multiple of num_key_value_heads, ",
                                          model.n_kv_heads));
  }
  if (model.position == PositionKind::kRope && model.rotary_dim == 0 && model.head_dim % 2 != 0) {
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

struct Architecture {
  absl::string_view model_type;
  absl::StatusOr<ModelConfig> (*read)(const ConfigReader& config);
  // Classes whose weights heed can serve: language models and the base model alone.
  std::vector<absl::string_view> classes;
  absl::string_view headless_class;  // the one of them that has hidden states but no logits
  std::optional<int32_t> default_bos, default_eos;
};

const std::vector<Architecture>& Architectures() {
  static const auto* const kTable = new std::vector<Architecture>{
      {"gpt2",
       ReadGpt2,
       {"GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"},
       "",
       50256,
       50256},
      {"llama", ReadLlama, {"LlamaForCausalLM", "LlamaModel", "LLaMAForCausalLM"}, "", 1, 2},
      {"bert",
       ReadBert,
       {"BertForMaskedLM", "BertForPreTraining", "BertModel"},
       "BertModel",
       {},
       {}},
      {"mistral", ReadMistral, {"MistralForCausalLM", "MistralModel"}, "", 1, 2},
      {"qwen2", ReadQwen2, {"Qwen2ForCausalLM", "Qwen2Model"}, "", {}, {}},
      {"qwen3", ReadQwen3, {"Qwen3ForCausalLM", "Qwen3Model"}, "", {}, {}},
      {"gemma", ReadGemma, {"GemmaForCausalLM", "GemmaModel"}, "", 2, 1},
      {"gemma2", ReadGemma2, {"Gemma2ForCausalLM", "Gemma2Model"}, "", 2, 1},
      {"gemma3_text", ReadGemma3, {"Gemma3ForCausalLM", "Gemma3TextModel"}, "", 2, 1},
      {"gpt_neo", ReadGptNeo, {"GPTNeoForCausalLM", "GPTNeoModel"}, "", 50256, 50256},
      {"gpt_neox", ReadGptNeoX, {"GPTNeoXForCausalLM", "GPTNeoXModel"}, "", 0, 2},
      {"phi", ReadPhi, {"PhiForCausalLM", "PhiModel"}, "", 1, 2},
      {"opt", ReadOpt, {"OPTForCausalLM", "OPTModel"}, "", 2, 2},
      {"bloom", ReadBloom, {"BloomForCausalLM", "BloomModel"}, "", 1, 2},
      {"roberta", ReadRoberta, {"RobertaForMaskedLM", "RobertaModel"}, "RobertaModel", {}, {}},
      {"xlm-roberta",
       ReadRoberta,
       {"XLMRobertaForMaskedLM", "XLMRobertaModel"},
       "XLMRobertaModel",
       {},
       {}},
      {"distilbert",
       ReadDistilBert,
       {"DistilBertForMaskedLM", "DistilBertModel"},
       "DistilBertModel",
       {},
       {}},
      {"albert",
       ReadAlbert,
       {"AlbertForMaskedLM", "AlbertForPreTraining", "AlbertModel"},
       "AlbertModel",
       {},
       {}},
      {"modernbert",
       ReadModernBert,
       {"ModernBertForMaskedLM", "ModernBertModel"},
       "ModernBertModel",
       {},
       {}},
      {"heed_mixing", ReadMixing, {"HeedMixingForCausalLM"}, "", {}, {}},
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
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> first_class, FirstClass(reader));
  if (first_class && *first_class->String() == architecture->headless_class) {
    model.has_head = model.tied_embeddings = false;
  }
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
