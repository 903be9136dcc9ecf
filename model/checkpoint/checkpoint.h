// A checkpoint on disk, opened and validated: untrusted bytes in, named f32 tensors and a
// ModelConfig out.
#ifndef HEED_MODEL_CHECKPOINT_CHECKPOINT_H_
#define HEED_MODEL_CHECKPOINT_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"

namespace heed {

enum class DType { kF32, kF16, kBF16, kI64, kOther };

absl::string_view DTypeName(DType dtype);  // "F32", "F16", "BF16", "I64", "other"

struct TensorInfo {
  DType dtype = DType::kOther;
  std::vector<int64_t> shape;  // outermost first
};

// Names are the checkpoint's own, less the base-model prefix ("transformer.", "model.", "bert.")
// that the same model has in one repository and lacks in another, and with LayerNorm.gamma/beta
// read as LayerNorm.weight/bias.
//
// Thread-safe once open. Every error message names the file, the tensor or key, the value found and
// the value expected.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual const ModelConfig& config() const = 0;

  // Null when there is no such tensor. The pointer lives as long as the checkpoint.
  virtual const TensorInfo* Find(absl::string_view name) const = 0;

  // Reads a tensor of exactly `shape` into `out` (product of shape elements), converted to f32.
  // NOT_FOUND when it is missing, INVALID_ARGUMENT when its shape or dtype is not what is asked,
  // DATA_LOSS when the file changed under us or a value is NaN or infinite.
  virtual absl::Status ReadF32(absl::string_view name, absl::Span<const int64_t> shape,
                               absl::Span<float> out) const = 0;

  // "sha256:" and 64 hexadecimal digits over names and bytes of all files that were used.
  virtual const std::string& digest() const = 0;

  // Storage type of most parameters.
  virtual DType dtype() const = 0;

  // Bytes of tokenizer.json; empty when the checkpoint has none.
  virtual const std::string& tokenizer_json() const = 0;
};

// Opens a Hugging Face folder: config.json, model.safetensors or model.safetensors.index.json with
// its shards, and tokenizer.json and generation_config.json where present. Reads all headers and
// checks all of them; tensor data is read by ReadF32. NOT_FOUND, INVALID_ARGUMENT (damaged or
// contradictory), UNIMPLEMENTED (an architecture or option that heed does not know, by name).
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenHuggingFaceFolder(const std::string& folder);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_CHECKPOINT_H_
