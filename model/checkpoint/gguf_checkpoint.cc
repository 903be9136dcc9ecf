#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/digest.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/float_formats.h"
#include "model/checkpoint/gguf_config.h"
#include "model/checkpoint/gguf_files.h"
#include "model/checkpoint/gguf_rows.h"
#include "model/checkpoint/gguf_tensors.h"
#include "model/checkpoint/gguf_tokenizer_reader.h"
#include "model/checkpoint/safetensors.h"

namespace heed {
namespace {

constexpr char kTokenEmbedding[] = "token_embd.weight";
constexpr char kOutput[] = "output.weight";

// Values at once: few enough that they stay in a core's cache between being read, converted and
// checked; a whole number of blocks of every format.
constexpr int64_t kChunk = int64_t{64} << 10;

struct Entry {
  TensorInfo info;
  const File* file = nullptr;
  const BlockFormat* format = nullptr;
  std::string gguf_name;
  int64_t offset = 0;  // in the file, of the first row
  GgufRowOrder order;
};

std::string Where(const Entry& entry) {
  return absl::StrCat(entry.file->name(), ": tensor ", Quoted(entry.gguf_name));
}

// Whether the file's tensor has this shape and a format that heed reads. Parts of a tensor, and
// rows that move, must not share blocks.
absl::Status CheckStored(const Entry& entry, const GgufTensor& tensor,
                         const std::vector<int64_t>& shape) {
  if (tensor.shape != shape) {
    return CheckpointInvalid(absl::StrCat(Where(entry), " has shape ", ShapeToString(tensor.shape),
                                          ", expected ", ShapeToString(shape)));
  }
  const BlockFormat& format = *tensor.format;
  if (format.dequantize == nullptr) {
    return CheckpointUnsupported(
        absl::StrCat(Where(entry), " is stored as ", format.name,
                     "; heed reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and Q2_K to Q6_K"));
  }
  if (shape.size() > 1 || format.block_values == 1) return absl::OkStatus();
  return CheckpointUnsupported(absl::StrCat(Where(entry), " is stored as ", format.name,
                                            "; heed reads vectors as F32, F16 and BF16"));
}

class GgufCheckpoint final : public Checkpoint {
 public:
  GgufCheckpoint(GgufFiles files, GgufConfig config)
      : files_(std::move(files)), config_(std::move(config)) {}

  absl::Status Open(const OpenOptions& options);

  const ModelConfig& config() const override { return config_.model; }
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
    return DigestFiles(Parts(), progress, stop);
  }
  const std::string& stamp() const override { return identity_.stamp; }
  DType dtype() const override { return dtype_; }
  const std::string& tokenizer_json() const override { return no_tokenizer_json_; }
  const GgufTokenizerFacts* gguf_tokenizer() const override {
    return tokenizer_ ? &*tokenizer_ : nullptr;
  }
  std::optional<PoolingConfig> pooling() const override { return config_.pooling; }

 private:
  std::vector<const File*> Parts() const {
    std::vector<const File*> parts;
    for (size_t i = 0; i < files_.part_count(); ++i) parts.push_back(&files_.file(i));
    return parts;
  }

  absl::Status TieEqualEmbeddings();
  absl::StatusOr<bool> HaveEqualBytes(const GgufFiles::Place& a, const GgufFiles::Place& b) const;
  absl::Status AddTensors(const std::vector<GgufTensorRule>& rules);
  absl::Status AddTensor(const GgufTensorRule& rule);
  absl::Status RefuseOtherTensors() const;
  void ChooseDType();
  absl::StatusOr<const Entry*> FindEntry(absl::string_view name) const;
  absl::Status ReadValues(const Entry& entry, int64_t begin, absl::Span<float> out) const;

  const GgufFiles files_;
  GgufConfig config_;
  absl::flat_hash_map<std::string, Entry> tensors_;  // by canonical name
  std::optional<GgufTokenizerFacts> tokenizer_;
  const std::string no_tokenizer_json_;
  FileIdentity identity_;
  DType dtype_ = DType::kOther;
};

absl::Status GgufCheckpoint::Open(const OpenOptions& options) {
  HEED_RETURN_IF_ERROR(TieEqualEmbeddings());
  HEED_RETURN_IF_ERROR(AddTensors(GlobalTensors(config_.model)));
  for (int layer = 0; layer < config_.model.n_layers; ++layer) {
    HEED_RETURN_IF_ERROR(AddTensors(LayerTensors(config_.model, layer)));
  }
  HEED_RETURN_IF_ERROR(RefuseOtherTensors());
  HEED_ASSIGN_OR_RETURN(tokenizer_, ReadGgufTokenizer(files_.metadata(), config_.model.vocab_size));
  ChooseDType();
  HEED_ASSIGN_OR_RETURN(identity_, IdentifyFiles(Parts(), options));
  return absl::OkStatus();
}

// The converters of some families write the embedding a second time as the unembedding.
absl::Status GgufCheckpoint::TieEqualEmbeddings() {
  ModelConfig& model = config_.model;
  if (model.tied_embeddings || !model.has_head) return absl::OkStatus();
  const std::optional<GgufFiles::Place> embedding = files_.Find(kTokenEmbedding);
  const std::optional<GgufFiles::Place> output = files_.Find(kOutput);
  if (!embedding || !output || embedding->tensor.format != output->tensor.format ||
      embedding->tensor.shape != output->tensor.shape) {
    return absl::OkStatus();
  }
  HEED_ASSIGN_OR_RETURN(model.tied_embeddings, HaveEqualBytes(*embedding, *output));
  return absl::OkStatus();
}

absl::StatusOr<bool> GgufCheckpoint::HaveEqualBytes(const GgufFiles::Place& a,
                                                    const GgufFiles::Place& b) const {
  const int64_t size = std::min(a.tensor.bytes, kChunk);
  std::string left(static_cast<size_t>(size), '\0'), right = left;
  for (int64_t at = 0; at < a.tensor.bytes; at += size) {
    const auto n = static_cast<size_t>(std::min(size, a.tensor.bytes - at));
    HEED_RETURN_IF_ERROR(a.file->Read(a.tensor.offset + at, absl::MakeSpan(left.data(), n)));
    HEED_RETURN_IF_ERROR(b.file->Read(b.tensor.offset + at, absl::MakeSpan(right.data(), n)));
    if (std::memcmp(left.data(), right.data(), n) != 0) return false;
  }
  return true;
}

absl::Status GgufCheckpoint::AddTensors(const std::vector<GgufTensorRule>& rules) {
  for (const GgufTensorRule& rule : rules) HEED_RETURN_IF_ERROR(AddTensor(rule));
  return absl::OkStatus();
}

// Checks shape and format here, so that whatever a model needs is known to be there before memory
// is allocated for it.
absl::Status GgufCheckpoint::AddTensor(const GgufTensorRule& rule) {
  const bool is_fused = rule.IsFusedIn(files_);
  if (!is_fused && !rule.fused_name.empty() && files_.Find(rule.fused_name)) {
    return CheckpointUnsupported(absl::StrCat(
        files_.metadata().file(), ": has the tensor ", Quoted(rule.gguf_name), " beside ",
        Quoted(rule.fused_name), ", which would hold it too; heed supports one of the two"));
  }
  const std::string& name = is_fused ? rule.fused_name : rule.gguf_name;
  const std::optional<GgufFiles::Place> place = files_.Find(name);
  if (!place) {
    return CheckpointNotFound(absl::StrCat(files_.metadata().file(), ": has no tensor ",
                                           Quoted(name), ", which must have shape ",
                                           ShapeToString(rule.shape)));
  }
  const GgufTensor& tensor = place->tensor;
  Entry entry{{tensor.format->dtype, rule.shape},
              place->file,
              tensor.format,
              name,
              tensor.offset,
              rule.order};
  HEED_RETURN_IF_ERROR(CheckStored(entry, tensor, is_fused ? rule.FusedShape() : rule.shape));
  if (is_fused) {
    const int64_t row_values = ElementCount(rule.shape) / rule.shape.front();
    entry.offset += tensor.format->ByteCount(rule.first_fused_row * row_values);
  }
  tensors_.emplace(rule.canonical_name, std::move(entry));
  return absl::OkStatus();
}

// A tensor that no rule names is a part of the model that heed does not know.
absl::Status GgufCheckpoint::RefuseOtherTensors() const {
  absl::flat_hash_map<absl::string_view, bool> known;
  for (const auto& [name, entry] : tensors_) known[entry.gguf_name] = true;
  for (size_t part = 0; part < files_.part_count(); ++part) {
    const GgufHeader& header = files_.header(part);
    for (int64_t i = 0; i < header.tensor_count(); ++i) {
      const GgufTensor tensor = header.tensor(i);
      if (known.contains(tensor.name) || IsRedundantTensor(config_.model, tensor.name)) continue;
      return CheckpointUnsupported(absl::StrCat(
          header.file(), ": has the tensor ", Quoted(tensor.name), " of shape ",
          ShapeToString(tensor.shape), ", which the architecture ",
          Quoted(config_.model.architecture), " does not have in heed; it may change the answers"));
    }
  }
  return absl::OkStatus();
}

void GgufCheckpoint::ChooseDType() {
  std::map<DType, int64_t> values;
  for (const auto& [name, entry] : tensors_) {
    values[entry.info.dtype] += ElementCount(entry.info.shape);
  }
  const auto most = std::max_element(values.begin(), values.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  if (most != values.end()) dtype_ = most->first;
}

const TensorInfo* GgufCheckpoint::Find(absl::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.info;
}

absl::StatusOr<const Entry*> GgufCheckpoint::FindEntry(absl::string_view name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return &found->second;
  return CheckpointNotFound(
      absl::StrCat(files_.metadata().file(), ": has no tensor for ", Quoted(name)));
}

absl::Status GgufCheckpoint::Check(absl::string_view name, absl::Span<const int64_t> shape) const {
  HEED_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(name));
  if (absl::MakeConstSpan(entry->info.shape) == shape) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(Where(*entry), " has shape ",
                                        ShapeToString(entry->info.shape), ", expected ",
                                        ShapeToString(shape)));
}

// Calls read(first row in the file, piece of out) for runs of rows that are together in the file
// too.
template <typename T>
absl::Status ForEachRun(const Entry& entry, RowRange rows, absl::Span<T> out,
                        absl::FunctionRef<absl::Status(int64_t first, absl::Span<T> out)> read) {
  const int64_t row_count = RowRange::All(entry.info.shape).count;
  const int64_t row_size =
      rows.count == 0 ? 0 : static_cast<int64_t>(out.size()) / std::max<int64_t>(rows.count, 1);
  for (int64_t done = 0; done < rows.count;) {
    const GgufRowRun run = FindRows(entry.order, row_count, rows.first + done);
    const int64_t count = std::min(run.count, rows.count - done);
    HEED_RETURN_IF_ERROR(read(run.first, out.subspan(static_cast<size_t>(done * row_size),
                                                     static_cast<size_t>(count * row_size))));
    done += count;
  }
  return entry.file->CheckUnchanged();
}

absl::Status GgufCheckpoint::ReadRows(absl::string_view name, absl::Span<const int64_t> shape,
                                      RowRange rows, absl::Span<float> out) const {
  HEED_RETURN_IF_ERROR(Check(name, shape));
  HEED_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(name));
  const int64_t row_values = RowValues(shape);
  HEED_RETURN_IF_ERROR(CheckRows(Where(*entry), shape, rows, row_values, out.size(), "values"));
  return ForEachRun<float>(*entry, rows, out, [&](int64_t first, absl::Span<float> run) {
    return ReadValues(*entry, first * row_values, run);
  });
}

// Values from number `begin` on, in the file's order.
absl::Status GgufCheckpoint::ReadValues(const Entry& entry, int64_t begin,
                                        absl::Span<float> out) const {
  const BlockFormat& format = *entry.format;
  const auto count = static_cast<int64_t>(out.size());
  std::string blocks(static_cast<size_t>(format.ByteCount(std::min(count, kChunk))), '\0');
  for (int64_t first = 0; first < count; first += kChunk) {
    const absl::Span<float> chunk = out.subspan(static_cast<size_t>(first), kChunk);
    const auto bytes = static_cast<size_t>(format.ByteCount(static_cast<int64_t>(chunk.size())));
    HEED_RETURN_IF_ERROR(entry.file->Read(entry.offset + format.ByteCount(begin + first),
                                          absl::MakeSpan(blocks.data(), bytes)));
    format.dequantize(blocks.data(), chunk);
    const int64_t bad = FindNonFinite(chunk);
    if (bad < 0) continue;
    HEED_RETURN_IF_ERROR(entry.file->CheckUnchanged());
    return CheckpointDataLoss(absl::StrCat(Where(entry), " is ", chunk[static_cast<size_t>(bad)],
                                           " at value ", begin + first + bad,
                                           "; every value must be finite"));
  }
  return absl::OkStatus();
}

absl::Status GgufCheckpoint::ReadStoredRows(absl::string_view name, RowRange rows,
                                            absl::Span<char> out) const {
  HEED_ASSIGN_OR_RETURN(const Entry* entry, FindEntry(name));
  const int64_t row_bytes = entry->format->ByteCount(RowValues(entry->info.shape));
  HEED_RETURN_IF_ERROR(
      CheckRows(Where(*entry), entry->info.shape, rows, row_bytes, out.size(), "bytes"));
  return ForEachRun<char>(*entry, rows, out, [&](int64_t first, absl::Span<char> run) {
    return entry->file->Read(entry->offset + first * row_bytes, run);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path,
                                                     const OpenOptions& options) {
  HEED_ASSIGN_OR_RETURN(GgufFiles files, GgufFiles::Open(path));
  HEED_ASSIGN_OR_RETURN(GgufConfig config, ReadGgufConfig(files));
  auto checkpoint = std::make_unique<GgufCheckpoint>(std::move(files), std::move(config));
  HEED_RETURN_IF_ERROR(checkpoint->Open(options));
  return checkpoint;
}

}  // namespace heed
