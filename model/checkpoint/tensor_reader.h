// Rows of one stored tensor as f32.
#ifndef HEED_MODEL_CHECKPOINT_TENSOR_READER_H_
#define HEED_MODEL_CHECKPOINT_TENSOR_READER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/safetensors.h"

namespace heed {

// What ReadTensorRows would say of shape and dtype.
absl::Status CheckTensor(const File& file, const StoredTensor& tensor,
                         absl::Span<const int64_t> shape);

// Fills `out` with these rows of `tensor`, which is in `file` and must have exactly `shape`.
// INVALID_ARGUMENT when its shape or dtype is another or it has no such rows, DATA_LOSS when the
// file changed or a value is not finite; `out` is then indeterminate.
absl::Status ReadTensorRows(const File& file, const StoredTensor& tensor,
                            absl::Span<const int64_t> shape, RowRange rows, absl::Span<float> out);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_TENSOR_READER_H_
