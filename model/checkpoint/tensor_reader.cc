#include "model/checkpoint/tensor_reader.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/float_formats.h"

namespace heed {
namespace {

// Values at once: few enough that they stay in a core's cache between being read, converted and
// checked.
constexpr int64_t kChunk = int64_t{64} << 10;

std::string Where(const File& file, const StoredTensor& tensor) {
  return absl::StrCat(file.name(), ": tensor ", Quoted(tensor.name));
}

// The position of the value with this number, "[3, 17]".
std::string PositionToString(absl::Span<const int64_t> shape, int64_t index) {
  std::vector<int64_t> position(shape.size());
  for (size_t axis = shape.size(); axis-- > 0; index /= shape[axis]) {
    position[axis] = index % shape[axis];
  }
  return ShapeToString(position);
}

// Reads the values [first, first + out.size()); `scratch` has room for 2 * out.size() bytes.
absl::Status ReadChunk(const File& file, const StoredTensor& tensor, int64_t first,
                       absl::Span<char> scratch, absl::Span<float> out) {
  if (tensor.info.dtype == DType::kF32) {
    const absl::Span<char> bytes(reinterpret_cast<char*>(out.data()), 4 * out.size());
    return file.Read(tensor.offset + 4 * first, bytes);
  }
  const absl::Span<char> halves = scratch.subspan(0, 2 * out.size());
  HEED_RETURN_IF_ERROR(file.Read(tensor.offset + 2 * first, halves));
  if (tensor.info.dtype == DType::kF16) {
    F16ToF32(halves.data(), out);
  } else {
    BF16ToF32(halves.data(), out);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTensor(const File& file, const StoredTensor& tensor,
                         absl::Span<const int64_t> shape) {
  const TensorInfo& info = tensor.info;
  if (absl::MakeConstSpan(info.shape) != shape) {
    return CheckpointInvalid(absl::StrCat(Where(file, tensor), " has shape ",
                                          ShapeToString(info.shape), ", expected ",
                                          ShapeToString(shape)));
  }
  if (info.dtype == DType::kF32 || info.dtype == DType::kF16 || info.dtype == DType::kBF16) {
    return absl::OkStatus();
  }
  return CheckpointInvalid(absl::StrCat(Where(file, tensor), " is stored as ", tensor.dtype_name,
                                        "; it must be F32, F16 or BF16"));
}

absl::Status ReadTensorRows(const File& file, const StoredTensor& tensor,
                            absl::Span<const int64_t> shape, RowRange rows, absl::Span<float> out) {
  HEED_RETURN_IF_ERROR(CheckTensor(file, tensor, shape));
  const int64_t row_values = RowValues(shape);
  HEED_RETURN_IF_ERROR(
      CheckRows(Where(file, tensor), shape, rows, row_values, out.size(), "values"));
  const int64_t begin = rows.first * row_values;
  const auto count = static_cast<int64_t>(out.size());
  std::vector<char> scratch(static_cast<size_t>(2 * std::min(count, kChunk)));
  for (int64_t first = 0; first < count; first += kChunk) {
    const absl::Span<float> chunk = out.subspan(static_cast<size_t>(first), kChunk);
    HEED_RETURN_IF_ERROR(ReadChunk(file, tensor, begin + first, absl::MakeSpan(scratch), chunk));
    const int64_t bad = FindNonFinite(chunk);
    if (bad < 0) continue;
    HEED_RETURN_IF_ERROR(file.CheckUnchanged());
    return CheckpointDataLoss(absl::StrCat(Where(file, tensor), " is ", chunk[bad], " at ",
                                           PositionToString(shape, begin + first + bad),
                                           "; every value must be finite"));
  }
  return file.CheckUnchanged();
}

}  // namespace heed
