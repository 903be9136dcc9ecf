// The models that are loaded.
#ifndef HEED_SERVER_ENGINE_REGISTRY_H_
#define HEED_SERVER_ENGINE_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/pooling.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/language_model.h"

namespace heed {

// A loaded model and all that serving it needs. Shared by the calls that use it; immutable but for
// the pool.
struct ServedModel {
  std::string name;    // [a-z0-9][a-z0-9._-]{0,63}
  std::string digest;  // "sha256:..."
  DType checkpoint_dtype = DType::kF32;
  // Null when the checkpoint has none: only token ids work then.
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const LanguageModel> model;
  std::unique_ptr<KvPool> kv_pool;
  PoolingConfig pooling;  // how the vectors of a text's tokens become one unless a call says so
  LoadReport report;
  // For the log: that the pool has no room for the checkpoint's whole context window, and what the
  // model's notes say. Each goes on after the model's name.
  std::vector<std::string> warnings;
};

// Which models are served under which names. Filled at start, read-only afterwards, so lookups need
// no lock.
class Registry {
 public:
  // ALREADY_EXISTS when the name is taken, INVALID_ARGUMENT when it is not a valid name.
  absl::Status Add(std::shared_ptr<const ServedModel> model);

  // Empty name: the first model. NOT_FOUND (MODEL_NOT_FOUND) lists what is loaded and suggests the
  // nearest name.
  absl::StatusOr<std::shared_ptr<const ServedModel>> Find(absl::string_view name) const;

  const std::vector<std::shared_ptr<const ServedModel>>& models() const { return models_; }

 private:
  std::vector<std::shared_ptr<const ServedModel>> models_;
};

struct LoadOptions {
  // Of this model's pool. A context window that needs more is served as far as this goes.
  int64_t kv_cache_bytes = int64_t{256} << 20;
  WeightFormat weights = WeightFormat::kAsStored;
  KvType kv_type = KvType::kF32;  // LanguageModelOptions::kv_type
  // A folder for packed copies of weights (LanguageModelOptions::packed_copy); empty: none are
  // kept.
  std::string pack_cache;
  // Told how far loading is, on the calling thread; `stage` is "checking", which is of bytes, or
  // "loading", of parameters. May be empty.
  std::function<void(absl::string_view stage, int64_t done, int64_t total)> progress;
};

// Opens, validates and packs the checkpoint at `folder`, which may be a GGUF file as well.
// INVALID_ARGUMENT for a name that is not one and for a tokenizer with ids that the model has no
// embedding for; RESOURCE_EXHAUSTED when memory runs out or the pool has no room for a single page;
// otherwise errors as OpenCheckpoint, ParseTokenizerJson, BuildGgufTokenizer, LoadLanguageModel and
// ReadPoolingConfig.
absl::StatusOr<std::shared_ptr<const ServedModel>> LoadServedModel(absl::string_view name,
                                                                   const std::string& folder,
                                                                   const LoadOptions& options);

// What LoadServedModel would make of a path, as far as headers and small files tell.
struct ModelCheck {
  // Why it would be refused, in the order in which loading would come upon it, so the first is
  // loading's own reason. Empty: it can be served, unless a tensor's value is not finite or memory
  // runs out.
  std::vector<absl::Status> problems;
  std::unique_ptr<const Checkpoint> checkpoint;  // null where it cannot be opened
  std::unique_ptr<const Tokenizer> tokenizer;    // null where there is none, or none that is right
  std::optional<PoolingConfig> pooling;
};

// Takes the steps of LoadServedModel without reading the tensors' values.
ModelCheck CheckServedModel(const std::string& path, const LoadOptions& options);

// True for [a-z0-9][a-z0-9._-]{0,63}.
bool IsValidModelName(absl::string_view name);

}  // namespace heed

#endif  // HEED_SERVER_ENGINE_REGISTRY_H_
