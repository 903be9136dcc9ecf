// How a checkpoint's folder says that the vectors of a text's tokens become one: the files that
// sentence-transformers writes beside a model.
#ifndef HEED_MODEL_CHECKPOINT_POOLING_H_
#define HEED_MODEL_CHECKPOINT_POOLING_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace heed {

// The mean over all tokens, the first token ([CLS] in BERT), or the last one.
enum class PoolingKind { kMean, kFirst, kLast };

struct PoolingConfig {
  PoolingKind kind = PoolingKind::kMean;
  bool normalize = false;  // divide by the Euclidean length afterwards

  friend bool operator==(const PoolingConfig&, const PoolingConfig&) = default;
};

// Reads modules.json, which must list a Transformer, a Pooling and perhaps a Normalize module in
// this order, and the Pooling module's config.json. Nothing when the folder has no modules.json.
// `width` is that of the model's vectors. NOT_FOUND for a listed module without its file,
// INVALID_ARGUMENT for damaged files, UNIMPLEMENTED, by name, for modules and ways of pooling that
// heed does not have: vectors made without them would not be the model's.
absl::StatusOr<std::optional<PoolingConfig>> ReadPoolingConfig(const std::string& folder,
                                                               int64_t width);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_POOLING_H_
