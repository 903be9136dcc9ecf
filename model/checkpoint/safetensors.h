// The safetensors container (huggingface/safetensors, README.md): an 8-byte little-endian size N, N
// bytes of JSON that name the tensors, then their bytes, row-major and little-endian, without
// holes.
#ifndef HEED_MODEL_CHECKPOINT_SAFETENSORS_H_
#define HEED_MODEL_CHECKPOINT_SAFETENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/file.h"

namespace heed {

// heed's own limit, below the format's 100 MB: about 200,000 tensors.
inline constexpr int64_t kMaxSafetensorsHeaderBytes = int64_t{16} << 20;

// Understanding a header takes some twenty times its bytes, which shall be little beside the file.
// So one above this size must not be more than 1/kLeastFileToHeader of the file; the headers of
// real models are below a hundredth.
inline constexpr int64_t kSmallSafetensorsHeaderBytes = int64_t{1} << 20;
inline constexpr int64_t kLeastFileToHeader = 16;

struct StoredTensor {
  std::string name;  // as written in the file
  TensorInfo info;
  std::string dtype_name;  // the format's own, also where info.dtype is kOther
  int64_t offset = 0;      // of the first byte, from the beginning of the file
  int64_t bytes = 0;
};

// "[768, 2304]".
std::string ShapeToString(absl::Span<const int64_t> shape);

// Product of `shape`, whose dimensions are not negative; -1 when it does not fit.
int64_t ElementCount(absl::Span<const int64_t> shape);

// Values of one row of `shape`, which is that of a file's tensor.
int64_t RowValues(absl::Span<const int64_t> shape);

// INVALID_ARGUMENT, naming `where`, unless a tensor of `shape` has these rows and `room` is for
// exactly `row_size` of each; `unit` says what is counted: "values", "bytes".
absl::Status CheckRows(absl::string_view where, absl::Span<const int64_t> shape, RowRange rows,
                       int64_t row_size, size_t room, absl::string_view unit);

// The tensors of the file, in the order of their bytes, which follow one another without a gap from
// the end of the header to the end of the file. INVALID_ARGUMENT when anything about the header or
// the file's size is not as the format demands.
absl::StatusOr<std::vector<StoredTensor>> ReadSafetensorsHeader(const File& file);

// The same from the header alone; the file called `name` has `data_bytes` after it.
absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(absl::string_view name,
                                                                 absl::string_view header,
                                                                 int64_t data_bytes);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_SAFETENSORS_H_
