// What is stored in a checkpoint, told from its headers.
#ifndef HEED_MODEL_CHECKPOINT_DESCRIBE_H_
#define HEED_MODEL_CHECKPOINT_DESCRIBE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/model_config.h"

namespace heed {

struct DescribedTensor {
  std::string name;   // as the file spells it
  std::string file;   // which holds it
  std::string dtype;  // as the format names it: "F32", "Q4_K"
  int64_t values = 0;
  int64_t bytes = 0;
  bool in_index = true;  // false: in a shard, but not in the index, so not part of the model
};

struct CheckpointDescription {
  bool is_gguf = false;      // else safetensors
  std::string architecture;  // as the files name it, known to heed or not; may be empty
  int64_t weight_files = 0;
  int64_t weight_file_bytes = 0;
  std::vector<DescribedTensor> tensors;  // in the files' order
  std::string tokenizer;                 // the file that holds it, "GGUF"; empty: there is none
  // GGUF only: why it is refused, for each tensor that the metadata call for and that is not there.
  std::vector<absl::Status> missing;
};

// Reads headers and configuration of what is at `path`, as OpenCheckpoint finds it or one
// safetensors file, and no tensor's values. An error only where there is nothing to describe: no
// such path, or no weights whose header can be read.
absl::StatusOr<CheckpointDescription> DescribeCheckpoint(const std::string& path);

// What a model does with a tensor that its files hold.
enum class TensorRole {
  kParameter,
  kTiedCopy,  // the embedding once more, for a model whose unembedding is the embedding
  kBuffer,    // what the configuration says already: causal masks, rotary frequencies
  kUnused,
};

// Of the tensors of `description`, which heed opens as a model of this `config`, in their order.
// `parameters` are the names that the model needs, as Checkpoint has them; `unembedding` is that of
// an unembedding that is not tied.
std::vector<TensorRole> TensorRoles(const CheckpointDescription& description,
                                    const ModelConfig& config,
                                    const std::vector<std::string>& parameters,
                                    absl::string_view unembedding);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_DESCRIBE_H_
