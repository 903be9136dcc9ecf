#include "model/checkpoint/describe.h"

#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/folder_check.h"
#include "model/checkpoint/gguf_config.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/gguf_tensors.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/shard_index.h"
#include "model/checkpoint/tensor_names.h"

namespace heed {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{4} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;

void AddFile(const File& file, CheckpointDescription* description) {
  ++description->weight_files;
  description->weight_file_bytes += file.size();
}

// The text under `key`, or nothing where there is none.
std::string TextOf(const GgufHeader& header, absl::string_view key) {
  const std::optional<GgufValue> value = header.Find(key);
  return value && value->IsString() ? ReplaceInvalidUtf8(*value->String()) : "";
}

std::vector<absl::Status> MissingTensors(const GgufFiles& files) {
  std::vector<absl::Status> missing;
  const absl::StatusOr<GgufConfig> config = ReadGgufConfig(files);
  if (!config.ok()) return missing;
  const auto look_for = [&](const std::vector<GgufTensorRule>& rules) {
    for (const GgufTensorRule& rule : rules) {
      if (files.Find(rule.gguf_name) || rule.IsFusedIn(files)) continue;
      missing.push_back(CheckpointNotFound(
          absl::StrCat(files.metadata().file(), ": has no tensor ", Quoted(rule.gguf_name),
                       ", which must have shape ", ShapeToString(rule.shape))));
    }
  };
  look_for(GlobalTensors(config->model));
  for (int layer = 0; layer < config->model.n_layers; ++layer) {
    look_for(LayerTensors(config->model, layer));
  }
  return missing;
}

absl::Status DescribeGguf(const std::string& path, CheckpointDescription* out) {
  HEED_ASSIGN_OR_RETURN(const GgufFiles files, GgufFiles::Open(path));
  out->is_gguf = true;
  out->architecture = TextOf(files.metadata(), "general.architecture");
  for (size_t part = 0; part < files.part_count(); ++part) {
    AddFile(files.file(part), out);
    for (int64_t i = 0; i < files.header(part).tensor_count(); ++i) {
      const GgufTensor tensor = files.header(part).tensor(i);
      out->tensors.push_back({ReplaceInvalidUtf8(tensor.name), files.file(part).name(),
                              std::string(tensor.format->name), ElementCount(tensor.shape),
                              tensor.bytes});
    }
  }
  if (files.metadata().Find("tokenizer.ggml.tokens")) out->tokenizer = "GGUF";
  out->missing = MissingTensors(files);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& folder, absl::string_view name,
                                     int64_t max_bytes) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        File::Open(absl::StrCat(folder, "/", name), name));
  return file->ReadAll(max_bytes);
}

// config.json's model_type, or else its first class; nothing where there is neither.
std::string ArchitectureOf(const std::string& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder, kConfigFile, kMaxConfigBytes);
  if (!text.ok()) return "";
  const absl::StatusOr<JsonDocument> config = JsonDocument::Parse(kConfigFile, *text);
  if (!config.ok()) return "";
  const std::optional<JsonValue> type = config->root().Find("model_type");
  if (type && type->IsString()) return std::string(*type->String());
  const std::optional<JsonValue> classes = config->root().Find("architectures");
  if (!classes || !classes->IsArray()) return "";
  const std::vector<JsonValue> names = *classes->Array();
  return !names.empty() && names[0].IsString() ? std::string(*names[0].String()) : "";
}

// The first that there is, in the order in which the tokenizer is looked for.
std::string TokenizerFile(const std::string& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model",
                           "sentencepiece.bpe.model", "vocab.json", "vocab.txt"}) {
    if (!PathExists(absl::StrCat(folder, "/", name))) continue;
    if (absl::string_view(name) != "vocab.json") return name;
    if (PathExists(absl::StrCat(folder, "/merges.txt"))) return "vocab.json and merges.txt";
  }
  return "";
}

// `indexed` are the tensors that count, or null for all of them.
absl::Status DescribeSafetensors(const std::string& path, const std::string& name,
                                 const std::vector<std::string>* indexed,
                                 CheckpointDescription* out) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, File::Open(path, name));
  HEED_ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors, ReadSafetensorsHeader(*file));
  AddFile(*file, out);
  absl::flat_hash_set<absl::string_view> names;
  if (indexed != nullptr) names.insert(indexed->begin(), indexed->end());
  for (const StoredTensor& tensor : tensors) {
    out->tensors.push_back({tensor.name, name, tensor.dtype_name, ElementCount(tensor.info.shape),
                            tensor.bytes, indexed == nullptr || names.contains(tensor.name)});
  }
  return absl::OkStatus();
}

absl::Status DescribeFolder(const std::string& folder, CheckpointDescription* out) {
  out->architecture = ArchitectureOf(folder);
  out->tokenizer = TokenizerFile(folder);
  const std::string weights = absl::StrCat(folder, "/", kWeightsFile);
  if (PathExists(weights)) return DescribeSafetensors(weights, kWeightsFile, nullptr, out);
  if (!PathExists(absl::StrCat(folder, "/", kIndexFile))) {
    const absl::Status status = OpenHuggingFaceFolder(folder, {.compute_digest = false}).status();
    return status.ok() ? ExplainMissingWeights(folder) : status;
  }
  HEED_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder, kIndexFile, kMaxIndexBytes));
  HEED_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(kIndexFile, text));
  for (const auto& [shard, names] : index) {
    HEED_RETURN_IF_ERROR(DescribeSafetensors(absl::StrCat(folder, "/", shard), shard, &names, out));
  }
  return absl::OkStatus();
}

std::string LastPart(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// A file with any other tensor is refused when it is opened.
TensorRole RoleOfGgufTensor(const ModelConfig& config, const std::string& name) {
  if (!IsRedundantTensor(config, name)) return TensorRole::kParameter;
  if (name == "output.weight") return TensorRole::kTiedCopy;
  return name == "rope_freqs.weight" ? TensorRole::kBuffer : TensorRole::kUnused;
}

TensorRole RoleOfFolderTensor(const ModelConfig& config, const DescribedTensor& tensor,
                              const absl::flat_hash_set<std::string>& needed,
                              absl::string_view unembedding) {
  if (!tensor.in_index) return TensorRole::kUnused;
  const std::optional<std::string> name = CanonicalTensorName(config.architecture, tensor.name);
  if (!name) return TensorRole::kBuffer;
  if (needed.contains(*name)) return TensorRole::kParameter;
  return config.tied_embeddings && *name == unembedding ? TensorRole::kTiedCopy
                                                        : TensorRole::kUnused;
}

}  // namespace

absl::StatusOr<CheckpointDescription> DescribeCheckpoint(const std::string& path) {
  CheckpointDescription description;
  HEED_ASSIGN_OR_RETURN(const CheckpointPath found, FindCheckpoint(path));
  if (found.is_gguf) {
    HEED_RETURN_IF_ERROR(DescribeGguf(found.path, &description));
  } else if (absl::EndsWith(path, ".safetensors") && !IsFolder(path)) {
    HEED_RETURN_IF_ERROR(DescribeSafetensors(path, LastPart(path), nullptr, &description));
  } else {
    HEED_RETURN_IF_ERROR(DescribeFolder(found.path, &description));
  }
  return description;
}

std::vector<TensorRole> TensorRoles(const CheckpointDescription& description,
                                    const ModelConfig& config,
                                    const std::vector<std::string>& parameters,
                                    absl::string_view unembedding) {
  const absl::flat_hash_set<std::string> needed(parameters.begin(), parameters.end());
  std::vector<TensorRole> roles;
  for (const DescribedTensor& tensor : description.tensors) {
    roles.push_back(description.is_gguf ? RoleOfGgufTensor(config, tensor.name)
                                        : RoleOfFolderTensor(config, tensor, needed, unembedding));
  }
  return roles;
}

}  // namespace heed
