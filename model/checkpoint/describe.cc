#include "model/checkpoint/describe.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/folder_check.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/safetensors.h"
#include "model/checkpoint/shard_index.h"

namespace heed {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{4} << 20;
constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;
constexpr int64_t kMaxTokenizerBytes = int64_t{128} << 20;

void AddTensor(absl::string_view dtype, int64_t values, int64_t bytes,
               CheckpointDescription* description) {
  auto& stored = description->stored;
  auto share = std::find_if(stored.begin(), stored.end(),
                            [&](const StoredShare& s) { return s.dtype == dtype; });
  if (share == stored.end()) share = stored.insert(share, StoredShare{std::string(dtype)});
  ++share->tensors;
  share->values += values;
  share->bytes += bytes;
}

void AddFile(const File& file, CheckpointDescription* description) {
  ++description->weight_files;
  description->weight_file_bytes += file.size();
}

// The text under `key`, or nothing where there is none.
std::string TextOf(const GgufHeader& header, absl::string_view key) {
  const std::optional<GgufValue> value = header.Find(key);
  return value && value->IsString() ? std::string(*value->String()) : "";
}

absl::Status DescribeGguf(const std::string& path, CheckpointDescription* out) {
  HEED_ASSIGN_OR_RETURN(const GgufFiles files, GgufFiles::Open(path));
  out->format = "GGUF";
  out->architecture = TextOf(files.metadata(), "general.architecture");
  for (size_t part = 0; part < files.part_count(); ++part) {
    AddFile(files.file(part), out);
    for (int64_t i = 0; i < files.header(part).tensor_count(); ++i) {
      const GgufTensor tensor = files.header(part).tensor(i);
      AddTensor(tensor.format->name, ElementCount(tensor.shape), tensor.bytes, out);
    }
  }
  const std::optional<GgufValue> tokens = files.metadata().Find("tokenizer.ggml.tokens");
  if (!tokens) return absl::OkStatus();
  out->tokenizer = absl::StrCat(TextOf(files.metadata(), "tokenizer.ggml.model"), ", ",
                                tokens->size(), " tokens");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& folder, absl::string_view name,
                                     int64_t max_bytes) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        File::Open(absl::StrCat(folder, "/", name), name));
  return file->ReadAll(max_bytes);
}

// The text at `path`, two keys deep at most, of a JSON file; nothing where it is not.
std::string JsonText(const std::string& folder, absl::string_view name, int64_t max_bytes,
                     std::initializer_list<absl::string_view> path) {
  const absl::StatusOr<std::string> text = ReadFile(folder, name, max_bytes);
  if (!text.ok()) return "";
  const absl::StatusOr<JsonDocument> document = JsonDocument::Parse(name, *text);
  if (!document.ok()) return "";
  std::optional<JsonValue> value = document->root();
  for (const absl::string_view key : path) {
    if (value) value = value->Find(key);
  }
  return value && value->IsString() ? std::string(*value->String()) : "";
}

absl::Status DescribeSafetensors(const std::string& folder, const std::string& name,
                                 CheckpointDescription* out) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        File::Open(absl::StrCat(folder, "/", name), name));
  HEED_ASSIGN_OR_RETURN(const std::vector<StoredTensor> tensors, ReadSafetensorsHeader(*file));
  AddFile(*file, out);
  for (const StoredTensor& tensor : tensors) {
    AddTensor(tensor.dtype_name, ElementCount(tensor.info.shape), tensor.bytes, out);
  }
  return absl::OkStatus();
}

absl::Status DescribeFolder(const std::string& folder, CheckpointDescription* out) {
  out->format = "safetensors";
  out->architecture = JsonText(folder, kConfigFile, kMaxConfigBytes, {"model_type"});
  const std::string kind =
      JsonText(folder, "tokenizer.json", kMaxTokenizerBytes, {"model", "type"});
  if (!kind.empty()) out->tokenizer = absl::StrCat(kind, ", tokenizer.json");
  if (PathExists(absl::StrCat(folder, "/", kWeightsFile))) {
    return DescribeSafetensors(folder, kWeightsFile, out);
  }
  if (!PathExists(absl::StrCat(folder, "/", kIndexFile))) {
    return OpenHuggingFaceFolder(folder, {.compute_digest = false}).status();
  }
  HEED_ASSIGN_OR_RETURN(const std::string text, ReadFile(folder, kIndexFile, kMaxIndexBytes));
  HEED_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(kIndexFile, text));
  for (const auto& [shard, names] : index) {
    HEED_RETURN_IF_ERROR(DescribeSafetensors(folder, shard, out));
  }
  return absl::OkStatus();
}

// "1.23 GB": in powers of ten, as disks are sold.
std::string Size(int64_t bytes) {
  constexpr absl::string_view kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  auto size = static_cast<double>(bytes);
  size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < std::size(kUnits); ++unit) size /= 1000;
  return absl::StrFormat("%.3g %s", size, kUnits[unit]);
}

// "1,234,567".
std::string Grouped(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (int64_t at = static_cast<int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), 1, ',');
  }
  return digits;
}

std::string Plural(int64_t count, absl::string_view noun) {
  return absl::StrCat(Grouped(count), " ", noun, count == 1 ? "" : "s");
}

void AddLine(absl::string_view label, absl::string_view text, std::string* out) {
  absl::StrAppend(out, absl::StrFormat("%-13s", label), text, "\n");
}

void AddConfig(const CheckpointDescription& description, std::string* out) {
  const ModelConfig& config = *description.config;
  std::string heads = Plural(config.n_heads, "head");
  if (config.n_kv_heads != config.n_heads) {
    absl::StrAppend(&heads, " on ", Plural(config.n_kv_heads, "key head"));
  }
  AddLine(
      "layers",
      absl::StrCat(Plural(config.n_layers, "layer"), " of ", heads, " of ", config.head_dim,
                   ", width ", Grouped(config.width), ", feed-forward ", Grouped(config.ffn_width)),
      out);
  AddLine("vocabulary",
          absl::StrCat(Plural(config.vocab_size, "row"),
                       !config.has_head         ? ", no head: embeddings, but no predictions"
                       : config.tied_embeddings ? ", also the unembedding"
                                                : ""),
          out);
  AddLine("context",
          absl::StrCat(Plural(config.context_window, "token"), ", ",
                       config.causal ? "causal" : "bidirectional"),
          out);
  const int64_t cache = description.cache_bytes_per_token();
  AddLine("memory",
          absl::StrCat(Size(description.weight_memory_bytes()), " of weights in f32, ", Size(cache),
                       " of keys and values per token, ", Size(cache * config.context_window),
                       " for a whole context"),
          out);
}

}  // namespace

int64_t CheckpointDescription::tensors() const {
  int64_t count = 0;
  for (const StoredShare& share : stored) count += share.tensors;
  return count;
}

int64_t CheckpointDescription::values() const {
  int64_t count = 0;
  for (const StoredShare& share : stored) count += share.values;
  return count;
}

int64_t CheckpointDescription::bytes() const {
  int64_t count = 0;
  for (const StoredShare& share : stored) count += share.bytes;
  return count;
}

int64_t CheckpointDescription::cache_bytes_per_token() const {
  return 2 * config->n_layers * config->kv_width() * static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<CheckpointDescription> DescribeCheckpoint(const std::string& path) {
  CheckpointDescription description;
  HEED_ASSIGN_OR_RETURN(const CheckpointPath found, FindCheckpoint(path));
  HEED_RETURN_IF_ERROR(found.is_gguf ? DescribeGguf(found.path, &description)
                                     : DescribeFolder(found.path, &description));
  std::sort(description.stored.begin(), description.stored.end(),
            [](const StoredShare& a, const StoredShare& b) { return a.values > b.values; });
  const auto checkpoint = OpenCheckpoint(path, {.compute_digest = false});
  description.refusal = checkpoint.status();
  if (checkpoint.ok()) description.config = (*checkpoint)->config();
  return description;
}

std::string DescriptionText(const CheckpointDescription& description) {
  std::string text;
  AddLine("format",
          absl::StrCat(description.format, ", ", Plural(description.weight_files, "file"), " of ",
                       Size(description.weight_file_bytes)),
          &text);
  AddLine("architecture", description.architecture.empty() ? "not named" : description.architecture,
          &text);
  AddLine(
      "parameters",
      absl::StrCat(Grouped(description.values()), " in ", Plural(description.tensors(), "tensor")),
      &text);
  for (const StoredShare& share : description.stored) {
    AddLine(absl::StrCat("  ", share.dtype),
            absl::StrCat(Grouped(share.values), " in ", Plural(share.tensors, "tensor"), ", ",
                         Size(share.bytes)),
            &text);
  }
  AddLine("tokenizer", description.tokenizer.empty() ? "none" : description.tokenizer, &text);
  if (description.config) AddConfig(description, &text);
  AddLine("heed",
          description.refusal.ok() ? "can serve it"
                                   : absl::StrCat("refuses it: ", description.refusal.message()),
          &text);
  return text;
}

}  // namespace heed
