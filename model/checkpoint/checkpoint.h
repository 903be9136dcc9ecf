// A checkpoint on disk, opened and validated: untrusted bytes in, named f32 tensors and a
// ModelConfig out.
#ifndef HEED_MODEL_CHECKPOINT_CHECKPOINT_H_
#define HEED_MODEL_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/gguf_tokenizer_facts.h"
#include "model/base/stop_signal.h"
#include "model/checkpoint/model_config.h"
#include "model/checkpoint/pooling.h"

namespace heed {

// How values are stored. The ones with a Q are blocks of GGUF files (block_formats.h).
enum class DType {
  kF32,
  kF16,
  kBF16,
  kI64,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kOther
};

absl::string_view DTypeName(DType dtype);  // "F32", "BF16", "Q4_K", "other"

struct TensorInfo {
  DType dtype = DType::kOther;
  std::vector<int64_t> shape;  // outermost first
};

// Consecutive rows of a tensor: what is left of it at one place of its outermost dimension. Each
// value of a vector is a row; a scalar is one.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;

  static RowRange All(absl::Span<const int64_t> shape) {
    return {0, shape.empty() ? 1 : shape.front()};
  }
};

// Names are the checkpoint's own, less the base-model prefix ("transformer.", "model.", "bert.")
// that the same model has in one repository and lacks in another, and with LayerNorm.gamma/beta
// read as LayerNorm.weight/bias. A GGUF file's tensors have the names that a Hugging Face folder of
// the same model would give them, and their rows are in its order.
//
// Thread-safe once open. Every error message names the file, the tensor or key, the value found and
// the value expected.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual const ModelConfig& config() const = 0;

  // Null when there is no such tensor. The pointer lives as long as the checkpoint.
  virtual const TensorInfo* Find(absl::string_view name) const = 0;

  // What ReadF32 would say of a tensor of exactly `shape`, but for its values, which are not read.
  virtual absl::Status Check(absl::string_view name, absl::Span<const int64_t> shape) const = 0;

  // Reads some rows of a tensor of exactly `shape` into `out`, which has room for just those,
  // converted to f32. NOT_FOUND when it is missing, INVALID_ARGUMENT when its shape or dtype is not
  // what is asked or it has no such rows, DATA_LOSS when the file changed under us or a value is
  // NaN or infinite.
  virtual absl::Status ReadRows(absl::string_view name, absl::Span<const int64_t> shape,
                                RowRange rows, absl::Span<float> out) const = 0;

  // The same with all of the tensor.
  absl::Status ReadF32(absl::string_view name, absl::Span<const int64_t> shape,
                       absl::Span<float> out) const {
    return ReadRows(name, shape, RowRange::All(shape), out);
  }

  // Reads some rows' bytes as they are stored: whole blocks, for those who can compute with them.
  // `out` has exactly the size that dtype and shape give. Errors as ReadRows, but nothing is looked
  // at for being finite.
  virtual absl::Status ReadStoredRows(absl::string_view name, RowRange rows,
                                      absl::Span<char> out) const = 0;

  // "sha256:" and 64 hexadecimal digits over names and bytes of all files that were used; empty
  // when it was opened without.
  virtual const std::string& digest() const = 0;

  // What digest() is where it is wanted at once, for those who have something else to do meanwhile
  // and so opened without. `progress` may be empty. DATA_LOSS when a file changed; when `stop` says
  // so, its error.
  virtual absl::StatusOr<std::string> ComputeDigest(
      const std::function<void(int64_t done, int64_t total)>& progress,
      const StopSignal& stop) const = 0;

  // Changes whenever one of the files is written to or replaced, as far as the file system tells:
  // 64 hexadecimal digits over names, sizes, times of change and where they lie on the disk.
  virtual const std::string& stamp() const = 0;

  // Storage type of most parameters.
  virtual DType dtype() const = 0;

  // Bytes of tokenizer.json; empty when the checkpoint has none.
  virtual const std::string& tokenizer_json() const = 0;

  // Without a tokenizer.json, the bytes of the other files that may hold a tokenizer, by name.
  virtual const std::map<std::string, std::string>& tokenizer_files() const {
    static const auto* const none = new std::map<std::string, std::string>();
    return *none;
  }

  // What a GGUF file says of its tokenizer; null when it says nothing and for other formats.
  virtual const GgufTokenizerFacts* gguf_tokenizer() const { return nullptr; }

  // How the vectors of a text's tokens become one, where the weights' own file says so.
  virtual std::optional<PoolingConfig> pooling() const { return std::nullopt; }
};

struct OpenOptions {
  bool compute_digest = true;  // which reads all bytes of all files
  // The digest of the files that have this stamp, from an earlier time; empty: not known.
  std::string known_stamp, known_digest;
  // Told how many of the files' bytes are in the digest; may be empty.
  std::function<void(int64_t done, int64_t total)> progress;
};

// Where a checkpoint is, and in which format.
struct CheckpointPath {
  std::string path;  // a Hugging Face folder, or a GGUF file
  bool is_gguf = false;
};

// Which of the two is meant by `path`, as OpenCheckpoint says. A path where there is neither counts
// as a folder. INVALID_ARGUMENT for a folder with several models.
absl::StatusOr<CheckpointPath> FindCheckpoint(const std::string& path);

// Opens whatever is at `path`: a Hugging Face folder, a GGUF file (for a model in parts, any of
// them), or a folder with one GGUF model and no other weights. Errors as the functions below.
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(const std::string& path,
                                                           const OpenOptions& options = {});

// Opens a Hugging Face folder: config.json, model.safetensors or model.safetensors.index.json with
// its shards, and tokenizer.json and generation_config.json where present. Reads all headers and
// checks all of them; tensor data is read by ReadF32. NOT_FOUND, INVALID_ARGUMENT (damaged or
// contradictory), UNIMPLEMENTED (an architecture or option that heed does not know, by name).
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenHuggingFaceFolder(const std::string& folder,
                                                                  const OpenOptions& options = {});

// Opens a GGUF file, version 2 or 3: architecture, sizes and tokenizer from its metadata. Checks
// that every tensor that the model needs is there, with its shape and in a format that heed reads,
// and that there is nothing that heed does not know. Errors as above.
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenGguf(const std::string& path,
                                                     const OpenOptions& options = {});

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_CHECKPOINT_H_
