#include "model/checkpoint/gguf_config.h"

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
#include "model/checkpoint/gguf_facts.h"
#include "model/checkpoint/gguf_families.h"
#include "model/checkpoint/gguf_keys.h"
#include "model/checkpoint/head_check.h"
#include "model/checkpoint/size_limits.h"

namespace heed {
namespace {

constexpr char kTokenEmbedding[] = "token_embd.weight";
constexpr char kOutput[] = "output.weight";
constexpr int64_t kQuantizationVersion = 2;

// vocab_size, where it is given, must be the embedding's number of rows.
absl::Status CheckVocabSize(GgufSource& source, const ModelConfig& model) {
  const std::optional<GgufValue> value = source.keys.Find("vocab_size");
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t size, value->Int(kVocabRange));
  if (size == model.vocab_size) return absl::OkStatus();
  return value->Unexpected(
      absl::StrCat(model.vocab_size, ", the number of rows of ", kTokenEmbedding));
}

constexpr HeadNames kHeadNames{"attention.head_count", "attention.head_count_kv",
                               "the length of a head"};

struct Architecture {
  absl::string_view name;        // general.architecture
  absl::string_view model_type;  // whose tensor names heed gives them
  absl::StatusOr<ModelConfig> (*read)(GgufSource& source);
};

constexpr Architecture kArchitectures[] = {
    {"gpt2", "gpt2", ReadGgufGpt2},
    {"llama", "llama", ReadGgufLlama},
    {"smollm3", "smollm3", ReadGgufSmolLm3},
    {"phi3", "phi3", ReadGgufPhi3},
    {"qwen2", "qwen2", ReadGgufQwen2},
    {"qwen3", "qwen3", ReadGgufQwen3},
    {"gemma", "gemma", ReadGgufGemma},
    {"gemma2", "gemma2", ReadGgufGemma2},
    {"gemma3", "gemma3_text", ReadGgufGemma3},
    {"gptneox", "gpt_neox", ReadGgufGptNeoX},
    {"phi2", "phi", ReadGgufPhi2},
    {"starcoder2", "starcoder2", ReadGgufStarCoder2},
    {"stablelm", "stablelm", ReadGgufStableLm},
    {"bloom", "bloom", ReadGgufBloom},
    {"mpt", "mpt", ReadGgufMpt},
    {"bert", "bert", ReadGgufBert},
    {"modern-bert", "modernbert", ReadGgufModernBert},
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
  GgufSource source{files, GgufKeys(header, architecture->name)};
  HEED_ASSIGN_OR_RETURN(ModelConfig model, architecture->read(source));
  model.architecture = std::string(architecture->model_type);
  model.tied_embeddings = model.has_head && !files.Find(kOutput);
  HEED_RETURN_IF_ERROR(CheckHeads(source.header().file(), kHeadNames, model));
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
