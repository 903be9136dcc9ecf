// What is at a path and whether it could be served, without loading it.
#ifndef HEED_SERVER_DESCRIBE_MODEL_H_
#define HEED_SERVER_DESCRIBE_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/checkpoint/describe.h"
#include "model/checkpoint/model_config.h"
#include "model/checkpoint/pooling.h"
#include "server/engine/registry.h"
#include "server/wrap.h"

namespace heed {

// The tensors of one storage type.
struct StoredShare {
  std::string dtype;
  int64_t tensors = 0;
  int64_t values = 0;
  int64_t bytes = 0;
};

// A tensor that is stored and yet no parameter of the model.
struct ExtraTensor {
  std::string name;
  TensorRole role = TensorRole::kUnused;
};

struct ModelDescription {
  CheckpointDescription files;

  // Of the model's parameters, each counted once, or where heed does not know the model, of all
  // tensors. The type with most values first.
  std::vector<StoredShare> stored;
  std::vector<ExtraTensor> extra;  // empty where heed does not know the model

  // Why heed refuses it, as ModelCheck::problems.
  std::vector<absl::Status> problems;
  std::optional<ModelConfig> config;  // absent where heed does not know the model
  std::optional<PoolingConfig> pooling;
  std::string tokenizer_kind;  // empty: there is none, or none that heed can use
  int64_t tokenizer_tokens = 0;

  bool servable() const { return problems.empty(); }
  int64_t tensors() const;
  int64_t values() const;
  int64_t bytes() const;

  // Memory that serving takes, where heed knows the model: the weights as they would be held, and
  // keys and values for each token of a text.
  int64_t weight_memory_bytes = 0;
  int64_t cache_bytes_per_token() const;  // needs a config
};

// Errors as DescribeCheckpoint; what heed refuses is no error. The options are those with which the
// model would be loaded.
absl::StatusOr<ModelDescription> DescribeModel(const std::string& path, const LoadOptions& options);

// The tensors that are stored at `path` and that a model of this configuration, which is there, has
// no use for.
std::vector<std::string> UnusedTensors(const std::string& path, const ModelConfig& config);

// "\"a\", \"b\" and 3 more": as many of the names as a person reads.
std::string SomeNames(const std::vector<std::string>& names);

// As a table for people in lines of at most `width` columns, each ended.
std::string DescriptionText(const ModelDescription& description, size_t width = kNoWidth);

// As one line of JSON, ended. Absent facts are null.
std::string DescriptionJson(const ModelDescription& description);

}  // namespace heed

#endif  // HEED_SERVER_DESCRIBE_MODEL_H_
