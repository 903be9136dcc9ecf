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
#include "server/registry.h"

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

  // Memory that serving takes: the weights in f32, and keys and values for each token of a text.
  // Need a config.
  int64_t weight_memory_bytes() const { return values() * static_cast<int64_t>(sizeof(float)); }
  int64_t cache_bytes_per_token() const;
};

// Errors as DescribeCheckpoint; what heed refuses is no error. The options are those with which the
// model would be loaded.
absl::StatusOr<ModelDescription> DescribeModel(const std::string& path, const LoadOptions& options);

// As a table for people, each line ended.
std::string DescriptionText(const ModelDescription& description);

// As one line of JSON, ended. Absent facts are null.
std::string DescriptionJson(const ModelDescription& description);

}  // namespace heed

#endif  // HEED_SERVER_DESCRIBE_MODEL_H_
