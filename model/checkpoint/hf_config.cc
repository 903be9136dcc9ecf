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
#include "model/checkpoint/head_check.h"
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

constexpr HeadNames kHeadNames{"num_attention_heads", "num_key_value_heads", "head_dim"};

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
      {"smollm3", ReadSmolLm3, {"SmolLM3ForCausalLM", "SmolLM3Model"}, "", 128000, 128001},
      {"phi3", ReadPhi3, {"Phi3ForCausalLM", "Phi3Model"}, "", 1, 32000},
      {"starcoder2",
       ReadStarCoder2,
       {"Starcoder2ForCausalLM", "Starcoder2Model"},
       "",
       50256,
       50256},
      {"stablelm", ReadStableLm, {"StableLmForCausalLM", "StableLmModel"}, "", 0, 0},
      {"gpt_neo", ReadGptNeo, {"GPTNeoForCausalLM", "GPTNeoModel"}, "", 50256, 50256},
      {"gpt_neox", ReadGptNeoX, {"GPTNeoXForCausalLM", "GPTNeoXModel"}, "", 0, 2},
      {"phi", ReadPhi, {"PhiForCausalLM", "PhiModel"}, "", 1, 2},
      {"opt", ReadOpt, {"OPTForCausalLM", "OPTModel"}, "", 2, 2},
      {"bloom", ReadBloom, {"BloomForCausalLM", "BloomModel"}, "", 1, 2},
      {"mpt", ReadMpt, {"MptForCausalLM", "MptModel", "MPTForCausalLM"}, "", {}, {}},
      {"roberta", ReadRoberta, {"RobertaForMaskedLM", "RobertaModel"}, "RobertaModel", {}, {}},
      {"xlm-roberta",
       ReadRoberta,
       {"XLMRobertaForMaskedLM", "XLMRobertaModel"},
       "XLMRobertaModel",
       {},
       {}},
      {"camembert",
       ReadRoberta,
       {"CamembertForMaskedLM", "CamembertModel"},
       "CamembertModel",
       {},
       {}},
      {"electra", ReadElectra, {"ElectraForMaskedLM", "ElectraModel"}, "ElectraModel", {}, {}},
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

// A model that sees as well as reads: its text part is one of the architectures above, described by
// an object of its own.
struct Wrapper {
  absl::string_view model_type;
  absl::string_view text_type;
  std::vector<absl::string_view> classes;
};

const std::vector<Wrapper>& Wrappers() {
  static const auto* const kTable = new std::vector<Wrapper>{
      {"gemma3", "gemma3_text", {"Gemma3ForConditionalGeneration", "Gemma3Model"}},
  };
  return *kTable;
}

// What keeps well-known families out.
struct KnownGap {
  absl::string_view model_type;
  absl::string_view needs;
};

constexpr KnownGap kKnownGaps[] = {
    {"mpnet", "relative position biases"},
    {"deberta", "disentangled attention"},
    {"deberta-v2", "disentangled attention"},
    {"falcon", "queries that are stored in groups with their keys and values"},
    {"gptj", "rotation of neighbouring dimensions"},
    {"codegen", "rotation of neighbouring dimensions"},
    {"olmo2", "norms of whole queries and keys"},
    {"cohere", "rotation of neighbouring dimensions"},
    {"granite", "scaled residuals"},
    {"mixtral", "a choice of experts"},
    {"qwen2_moe", "a choice of experts"},
    {"qwen3_moe", "a choice of experts"},
    {"gpt_oss", "a choice of experts"},
    {"mamba", "state-space layers"},
    {"t5", "an encoder and a decoder"},
    {"bart", "an encoder and a decoder"},
};

// The first class that config.json names. The oldest configurations have nothing else to go by.
absl::StatusOr<std::optional<JsonValue>> FirstClass(const ConfigReader& config) {
  const std::optional<JsonValue> list = config.FindNonNull("architectures");
  if (!list) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(std::vector<JsonValue> classes, list->Array());
  if (classes.empty()) return std::nullopt;
  HEED_RETURN_IF_ERROR(classes.front().String().status());
  return std::move(classes.front());
}

bool Contains(absl::Span<const absl::string_view> names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// " (it needs ...)" where it is known why a type is not there.
std::string ExplainGap(const JsonValue& model_type) {
  for (const KnownGap& gap : kKnownGaps) {
    if (model_type.String().value_or("") != gap.model_type) continue;
    return absl::StrCat(" (", gap.model_type, " needs ", gap.needs, ", which heed does not have)");
  }
  return "";
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
  for (const Wrapper& row : Wrappers()) {
    if (!absl::StrContains(value.Where(), "architectures")) names.push_back(row.model_type);
  }
  return UnsupportedValue(value, absl::StrCat(QuotedList(names), ExplainGap(value)));
}

// The wrapper that config.json is about; null: none.
absl::StatusOr<const Wrapper*> FindWrapper(const ConfigReader& config) {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> first_class, FirstClass(config));
  const std::optional<JsonValue> type = config.FindNonNull("model_type");
  for (const Wrapper& row : Wrappers()) {
    const bool is_known_class = first_class && Contains(row.classes, *first_class->String());
    if (type ? type->String().value_or("") != row.model_type : !is_known_class) continue;
    if (first_class && !is_known_class) {
      return UnsupportedValue(*first_class, QuotedList(row.classes));
    }
    return &row;
  }
  return nullptr;
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
    const bool is_known_class = !first_class || Contains(row.classes, *first_class->String());
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

// An unembedding of BERT's kind that is not tied has two biases, its own and the head's; which of
// them counts is not the same in transformers 4 and 5.
absl::Status CheckTies(const ConfigReader& config, const Architecture& architecture,
                       const ModelConfig& model) {
  const bool has_two_biases = architecture.read == ReadBert || architecture.read == ReadRoberta ||
                              architecture.read == ReadAlbert;
  if (!has_two_biases || !model.has_head || model.tied_embeddings) return absl::OkStatus();
  return UnsupportedValue(*config.object().Find("tie_word_embeddings"),
                          "true with this family's masked-language head");
}

// What all families state alike, from the text part's own `config`; `outer` is config.json's.
absl::StatusOr<ModelConfig> ReadModel(const ConfigReader& outer, const ConfigReader& config,
                                      const Architecture& architecture,
                                      const std::optional<JsonValue>& generation_config) {
  HEED_RETURN_IF_ERROR(RefuseCommonOptions(config));
  HEED_ASSIGN_OR_RETURN(ModelConfig model, architecture.read(config));
  model.architecture = std::string(architecture.model_type);
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings,
                        outer.Bool("tie_word_embeddings", model.tied_embeddings));
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> first_class, FirstClass(outer));
  if (first_class && *first_class->String() == architecture.headless_class) {
    model.has_head = model.tied_embeddings = false;
  }
  HEED_RETURN_IF_ERROR(CheckTies(outer, architecture, model));
  HEED_RETURN_IF_ERROR(CheckHeads(config.object().Where(), kHeadNames, model));
  const auto ids = [&](absl::string_view key, std::optional<int32_t> fallback) {
    const ConfigReader& stated = outer.object().Find(key) ? outer : config;
    return FindIds(stated, generation_config, key, fallback, model.vocab_size);
  };
  HEED_ASSIGN_OR_RETURN(model.eos_ids, ids("eos_token_id", architecture.default_eos));
  HEED_ASSIGN_OR_RETURN(const std::vector<int32_t> bos,
                        ids("bos_token_id", architecture.default_bos));
  if (!bos.empty()) model.bos_id = bos.front();
  return model;
}

// The text part of a model that also sees; the rest of its tensors are not looked at.
absl::StatusOr<ModelConfig> ReadWrapped(const ConfigReader& config, const Wrapper& wrapper,
                                        const std::optional<JsonValue>& generation_config) {
  HEED_RETURN_IF_ERROR(RefuseCommonOptions(config));
  HEED_ASSIGN_OR_RETURN(const JsonValue text, config.object().Get("text_config"));
  HEED_RETURN_IF_ERROR(text.Object().status());
  const ConfigReader reader(text);
  HEED_ASSIGN_OR_RETURN(const std::string type, reader.String({"model_type"}, wrapper.text_type));
  if (type != wrapper.text_type) {
    return UnsupportedValue(*text.Find("model_type"), QuotedList({wrapper.text_type}));
  }
  const auto row = std::find_if(Architectures().begin(), Architectures().end(),
                                [&](const Architecture& a) { return a.model_type == type; });
  return ReadModel(config, reader, *row, generation_config);
}

}  // namespace

absl::StatusOr<ModelConfig> ReadHuggingFaceConfig(
    const JsonValue& config, const std::optional<JsonValue>& generation_config) {
  HEED_RETURN_IF_ERROR(config.Object().status());
  if (generation_config) HEED_RETURN_IF_ERROR(generation_config->Object().status());
  const ConfigReader reader(config);
  HEED_ASSIGN_OR_RETURN(const Wrapper* wrapper, FindWrapper(reader));
  if (wrapper != nullptr) return ReadWrapped(reader, *wrapper, generation_config);
  HEED_ASSIGN_OR_RETURN(const Architecture* architecture, FindArchitecture(reader));
  return ReadModel(reader, reader, *architecture, generation_config);
}

}  // namespace heed
