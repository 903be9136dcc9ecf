#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/digest.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/folder_check.h"
#include "model/checkpoint/hf_config.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/shard_index.h"
#include "model/checkpoint/tensor_names.h"
#include "model/checkpoint/tensor_reader.h"

namespace heed {
namespace {

constexpr char kGenerationConfigFile[] = "generation_config.json";
constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr const char* kOtherTokenizerFiles[] = {"tokenizer_config.json",
                                                "tokenizer.model",
                                                "spiece.model",
                                                "sentencepiece.bpe.model",
                                                "vocab.json",
                                                "merges.txt",
                                                "vocab.txt"};

constexpr int64_t kMaxConfigBytes = int64_t{4} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr int64_t kMaxTokenizerBytes = int64_t{128} << 20;

struct Entry {
  StoredTensor stored;
  const File* file = nullptr;
};

class HuggingFaceCheckpoint final : public Checkpoint {
 public:
  explicit HuggingFaceCheckpoint(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Open(const OpenOptions& options);

  const ModelConfig& config() const override { return config_; }
  const TensorInfo* Find(absl::string_view name) const override;
  absl::Status Check(absl::string_view name, absl::Span<const int64_t> shape) const override;
  absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape, RowRange rows,
                        absl::Span<float> out) const override;
  absl::Status ReadStoredRows(absl::string_view name, RowRange rows,
                              absl::Span<char> out) const override;
  const std::string& digest() const override { return identity_.digest; }
  absl::StatusOr<std::string> ComputeDigest(
      const std::function<void(int64_t done, int64_t total)>& progress,
      const StopSignal& stop) const override {
    return DigestFiles(Files(), progress, stop);
  }
  const std::string& stamp() const override { return identity_.stamp; }
  DType dtype() const override { return dtype_; }
  const std::string& tokenizer_json() const override { return tokenizer_json_; }
  const std::map<std::string, std::string>& tokenizer_files() const override {
    return tokenizer_files_;
  }

 private:
  // All that were used.
  std::vector<const File*> Files() const {
    std::vector<const File*> files;
    for (const auto& file : files_) files.push_back(file.get());
    return files;
  }

  // Opens a file of the folder and remembers it for the digest.
  absl::StatusOr<const File*> OpenFile(absl::string_view name);
  // The contents of a file that may be missing.
  absl::StatusOr<std::optional<std::string>> ReadOptional(absl::string_view name,
                                                          int64_t max_bytes);
  absl::Status ReadTokenizer();
  absl::Status ReadConfig();
  absl::Status ReadWeights();
  absl::Status ReadShards(const ShardIndex& index);
  absl::Status ReadShard(const std::string& shard, absl::Span<const std::string> names);
  absl::Status AddTensor(StoredTensor tensor, const File* file);
  absl::Status CheckParameterCount() const;
  absl::StatusOr<const Entry*> FindEntry(absl::string_view name,
                                         absl::Span<const int64_t> shape) const;
  void ChooseDType();

  const std::string folder_;
  std::string weights_name_;  // the file that says which tensors there are
  std::vector<std::unique_ptr<File>> files_;
  ModelConfig config_;
  absl::flat_hash_map<std::string, Entry> tensors_;  // by canonical name
  std::string tokenizer_json_;
  std::map<std::string, std::string> tokenizer_files_;
  FileIdentity identity_;
  DType dtype_ = DType::kOther;
};

absl::Status HuggingFaceCheckpoint::Open(const OpenOptions& options) {
  HEED_RETURN_IF_ERROR(CheckFolder(folder_));
  HEED_RETURN_IF_ERROR(ReadConfig());
  HEED_RETURN_IF_ERROR(ReadWeights());
  HEED_RETURN_IF_ERROR(CheckParameterCount());
  HEED_RETURN_IF_ERROR(ReadTokenizer());
  ChooseDType();
  HEED_ASSIGN_OR_RETURN(identity_, IdentifyFiles(Files(), options));
  return absl::OkStatus();
}

absl::Status HuggingFaceCheckpoint::ReadTokenizer() {
  HEED_ASSIGN_OR_RETURN(std::optional<std::string> json,
                        ReadOptional(kTokenizerFile, kMaxTokenizerBytes));
  if (json) {
    if (json->empty()) return JsonDocument::Parse(kTokenizerFile, *json).status();
    tokenizer_json_ = *std::move(json);
    return absl::OkStatus();
  }
  for (const char* const name : kOtherTokenizerFiles) {
    HEED_ASSIGN_OR_RETURN(std::optional<std::string> bytes, ReadOptional(name, kMaxTokenizerBytes));
    if (bytes) tokenizer_files_.emplace(name, *std::move(bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<const File*> HuggingFaceCheckpoint::OpenFile(absl::string_view name) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                        File::Open(absl::StrCat(folder_, "/", name), name));
  files_.push_back(std::move(file));
  return files_.back().get();
}

absl::StatusOr<std::optional<std::string>> HuggingFaceCheckpoint::ReadOptional(
    absl::string_view name, int64_t max_bytes) {
  if (!PathExists(absl::StrCat(folder_, "/", name))) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(const File* file, OpenFile(name));
  HEED_ASSIGN_OR_RETURN(std::string text, file->ReadAll(max_bytes));
  return text;
}

absl::Status HuggingFaceCheckpoint::ReadConfig() {
  HEED_ASSIGN_OR_RETURN(const File* file, OpenFile(kConfigFile));
  HEED_ASSIGN_OR_RETURN(const std::string text, file->ReadAll(kMaxConfigBytes));
  HEED_ASSIGN_OR_RETURN(const JsonDocument config, JsonDocument::Parse(kConfigFile, text));
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> generation_text,
                        ReadOptional(kGenerationConfigFile, kMaxConfigBytes));
  if (!generation_text) {
    HEED_ASSIGN_OR_RETURN(config_, ReadHuggingFaceConfig(config.root(), std::nullopt));
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(const JsonDocument generation_config,
                        JsonDocument::Parse(kGenerationConfigFile, *generation_text));
  HEED_ASSIGN_OR_RETURN(config_, ReadHuggingFaceConfig(config.root(), generation_config.root()));
  return absl::OkStatus();
}

absl::Status HuggingFaceCheckpoint::ReadWeights() {
  if (PathExists(absl::StrCat(folder_, "/", kWeightsFile))) {
    weights_name_ = kWeightsFile;
    HEED_ASSIGN_OR_RETURN(const File* file, OpenFile(kWeightsFile));
    HEED_ASSIGN_OR_RETURN(std::vector<StoredTensor> tensors, ReadSafetensorsHeader(*file));
    for (StoredTensor& tensor : tensors) {
      HEED_RETURN_IF_ERROR(AddTensor(std::move(tensor), file));
    }
    return absl::OkStatus();
  }
  weights_name_ = kIndexFile;
  HEED_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                        ReadOptional(kIndexFile, kMaxIndexBytes));
  if (!text) return ExplainMissingWeights(folder_);
  HEED_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(kIndexFile, *text));
  return ReadShards(index);
}

absl::Status HuggingFaceCheckpoint::ReadShards(const ShardIndex& index) {
  for (const auto& [shard, names] : index) {
    const absl::Status status = ReadShard(shard, names);
    if (absl::IsNotFound(status)) return Annotate(status, kIndexFile);
    HEED_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

// Shards may hold more tensors than the index names; those are not part of the model.
absl::Status HuggingFaceCheckpoint::ReadShard(const std::string& shard,
                                              absl::Span<const std::string> names) {
  HEED_ASSIGN_OR_RETURN(const File* file, OpenFile(shard));
  HEED_ASSIGN_OR_RETURN(std::vector<StoredTensor> tensors, ReadSafetensorsHeader(*file));
  absl::flat_hash_map<absl::string_view, StoredTensor*> by_name;
  for (StoredTensor& tensor : tensors) by_name[tensor.name] = &tensor;
  for (const std::string& name : names) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      return CheckpointInvalid(absl::StrCat(kIndexFile, ": says that tensor ", Quoted(name),
                                            " is in ", shard, ", where it is not"));
    }
    HEED_RETURN_IF_ERROR(AddTensor(*found->second, file));
  }
  return absl::OkStatus();
}

absl::Status HuggingFaceCheckpoint::AddTensor(StoredTensor tensor, const File* file) {
  const std::optional<std::string> name = CanonicalTensorName(config_.architecture, tensor.name);
  if (!name) return absl::OkStatus();
  const auto [found, is_new] = tensors_.try_emplace(*name);
  if (!is_new) {
    return CheckpointInvalid(absl::StrCat(file->name(), ": tensor ", Quoted(tensor.name), " and ",
                                          Quoted(found->second.stored.name),
                                          " are two names of one tensor; there must be one"));
  }
  found->second = {std::move(tensor), file};
  return absl::OkStatus();
}

// Every parameter that the sizes in config.json speak of is stored somewhere, so sizes that speak
// of many times what the files hold are wrong, and nobody must allocate memory by them. Smaller
// errors show at the tensor.
absl::Status HuggingFaceCheckpoint::CheckParameterCount() const {
  constexpr double kTolerance = 4;
  double stored = 0;
  for (const auto& [name, entry] : tensors_) {
    stored += static_cast<double>(ElementCount(entry.stored.info.shape));
  }
  const auto width = static_cast<double>(config_.width);
  const double layer = 2.0 * static_cast<double>(config_.query_width() + config_.kv_width()) +
                       (config_.gated_mlp ? 3.0 : 2.0) * static_cast<double>(config_.ffn_width);
  double rows = static_cast<double>(config_.vocab_size + config_.token_types);
  if (config_.position == PositionKind::kLearned) {
    rows += static_cast<double>(config_.context_window);
  }
  const double described = width * (rows + config_.n_layers * layer);
  if (described <= kTolerance * stored) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(kConfigFile, ": describes a model of ", described,
                                        " parameters, but the tensors hold only ", stored,
                                        " values; they do not belong together"));
}

void HuggingFaceCheckpoint::ChooseDType() {
  std::map<DType, int64_t> values;
  for (const auto& [name, entry] : tensors_) {
    values[entry.stored.info.dtype] += ElementCount(entry.stored.info.shape);
  }
  const auto most = std::max_element(values.begin(), values.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  if (most != values.end()) dtype_ = most->first;
}

const TensorInfo* HuggingFaceCheckpoint::Find(absl::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.stored.info;
}

absl::StatusOr<const Entry*> HuggingFaceCheckpoint::FindEntry(
    absl::string_view name, absl::Span<const int64_t> shape) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return &found->second;
  return CheckpointNotFound(absl::StrCat(weights_name_, ": has no tensor ", Quoted(name),
                                         ", which must have shape ", ShapeToString(shape)));
}

absl::Status HuggingFaceCheckpoint::Check(absl::string_view name,
                                          absl::Span<const int64_t> shape) const {
  HEED_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(name, shape));
  return CheckTensor(*entry->file, entry->stored, shape);
}

absl::Status HuggingFaceCheckpoint::ReadRows(absl::string_view name,
                                             absl::Span<const int64_t> shape, RowRange rows,
                                             absl::Span<float> out) const {
  HEED_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(name, shape));
  return ReadTensorRows(*entry->file, entry->stored, shape, rows, out);
}

absl::Status HuggingFaceCheckpoint::ReadStoredRows(absl::string_view name, RowRange rows,
                                                   absl::Span<char> out) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return CheckpointNotFound(absl::StrCat(weights_name_, ": has no tensor ", Quoted(name)));
  }
  const auto& [stored, file] = found->second;
  const int64_t row_count = RowRange::All(stored.info.shape).count;
  const int64_t row_bytes = row_count == 0 ? 0 : stored.bytes / row_count;
  HEED_RETURN_IF_ERROR(CheckRows(absl::StrCat(file->name(), ": tensor ", Quoted(stored.name)),
                                 stored.info.shape, rows, row_bytes, out.size(), "bytes"));
  HEED_RETURN_IF_ERROR(file->Read(stored.offset + rows.first * row_bytes, out));
  return file->CheckUnchanged();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenHuggingFaceFolder(const std::string& folder,
                                                                  const OpenOptions& options) {
  auto checkpoint = std::make_unique<HuggingFaceCheckpoint>(folder);
  HEED_RETURN_IF_ERROR(checkpoint->Open(options));
  return checkpoint;
}

}  // namespace heed
