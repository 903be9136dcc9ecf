// What a checkpoint is, told without loading it.
#ifndef HEED_MODEL_CHECKPOINT_DESCRIBE_H_
#define HEED_MODEL_CHECKPOINT_DESCRIBE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// The tensors of one storage type.
struct StoredShare {
  std::string dtype;  // as the format names it: "F32", "Q4_K"
  int64_t tensors = 0;
  int64_t values = 0;
  int64_t bytes = 0;
};

struct CheckpointDescription {
  std::string format;        // "safetensors" or "GGUF"
  std::string architecture;  // as the files name it, known to heed or not
  int64_t weight_files = 0;
  int64_t weight_file_bytes = 0;
  std::vector<StoredShare> stored;  // the type with most values first
  std::string tokenizer;  // "BPE, tokenizer.json", "llama, 32000 tokens"; empty: there is none

  // OK: heed can serve it. Otherwise the reason why not, and no config.
  absl::Status refusal;
  std::optional<ModelConfig> config;

  int64_t tensors() const;
  int64_t values() const;  // of all tensors; those that are tied and yet stored twice count twice
  int64_t bytes() const;

  // Memory that serving takes: the weights in f32, and keys and values for each token of a text.
  // Needs a config.
  int64_t weight_memory_bytes() const { return values() * static_cast<int64_t>(sizeof(float)); }
  int64_t cache_bytes_per_token() const;
};

// Reads headers and configuration of what is at `path`, as OpenCheckpoint finds it, and no tensor's
// values. An error only where there is nothing to describe: no such path, or no weights whose
// header can be read.
absl::StatusOr<CheckpointDescription> DescribeCheckpoint(const std::string& path);

// The description as a table for people, each line ended.
std::string DescriptionText(const CheckpointDescription& description);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_DESCRIBE_H_
