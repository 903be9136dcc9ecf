// What people call the formats of weights and of keys and values: in options, logs and on the wire.
#ifndef HEED_MODEL_BASE_LAYER_NAMES_H_
#define HEED_MODEL_BASE_LAYER_NAMES_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/layer_kinds.h"

namespace heed {

// "f32", "f16", "int8". The second: INVALID_ARGUMENT names them.
absl::string_view KvTypeName(KvType type);
absl::StatusOr<KvType> ParseKvType(absl::string_view text);

// "auto", "f32", "f16", "int8", "int4". INVALID_ARGUMENT names them.
absl::StatusOr<WeightFormat> ParseWeightFormat(absl::string_view text);

}  // namespace heed

#endif  // HEED_MODEL_BASE_LAYER_NAMES_H_
