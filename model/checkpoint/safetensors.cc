#include "model/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

struct StoredType {
  absl::string_view name;
  int bits;
  DType dtype;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", 32, DType::kF32},          {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},        {"I64", 64, DType::kI64},
    {"F64", 64, DType::kOther},        {"U64", 64, DType::kOther},
    {"C64", 64, DType::kOther},        {"I32", 32, DType::kOther},
    {"U32", 32, DType::kOther},        {"I16", 16, DType::kOther},
    {"U16", 16, DType::kOther},        {"I8", 8, DType::kOther},
    {"U8", 8, DType::kOther},          {"BOOL", 8, DType::kOther},
    {"F8_E5M2", 8, DType::kOther},     {"F8_E4M3", 8, DType::kOther},
    {"F8_E8M0", 8, DType::kOther},     {"F8_E4M3FNUZ", 8, DType::kOther},
    {"F8_E5M2FNUZ", 8, DType::kOther}, {"F6_E2M3", 6, DType::kOther},
    {"F6_E3M2", 6, DType::kOther},     {"F4", 4, DType::kOther},
};

constexpr size_t kSizeBytes = 8;

absl::StatusOr<StoredType> ReadType(const JsonValue& tensor) {
  HEED_ASSIGN_OR_RETURN(const JsonValue value, tensor.Get("dtype"));
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value.String());
  for (const StoredType& type : kStoredTypes) {
    if (type.name == name) return type;
  }
  return value.Unexpected("a safetensors dtype such as F32, F16 or BF16");
}

absl::StatusOr<std::vector<int64_t>> ReadSizes(const JsonValue& tensor, absl::string_view key) {
  HEED_ASSIGN_OR_RETURN(const JsonValue list, tensor.Get(key));
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> values, list.Array());
  std::vector<int64_t> sizes;
  sizes.reserve(values.size());
  for (const JsonValue& value : values) {
    const absl::StatusOr<int64_t> size = value.Int();
    if (!size.ok() || *size < 0) return value.Unexpected("an integer from 0 to 2^63 - 1");
    sizes.push_back(*size);
  }
  return sizes;
}

absl::Status CheckKeys(const JsonValue& tensor) {
  HEED_ASSIGN_OR_RETURN(const auto members, tensor.Object());
  for (const auto& [key, value] : members) {
    if (key == "dtype" || key == "shape" || key == "data_offsets") continue;
    return CheckpointInvalid(absl::StrCat(tensor.Where(), " has the key ", Quoted(key),
                                          "; only dtype, shape and data_offsets are allowed"));
  }
  return absl::OkStatus();
}

// Bytes of a tensor of this shape; INVALID_ARGUMENT when they overflow or are not whole.
absl::StatusOr<int64_t> ByteCount(const JsonValue& tensor, absl::Span<const int64_t> shape,
                                  const StoredType& type) {
  const int64_t elements = ElementCount(shape);
  int64_t bits = 0;
  if (elements < 0 || __builtin_mul_overflow(elements, int64_t{type.bits}, &bits)) {
    return CheckpointInvalid(absl::StrCat(tensor.Where(), " has shape ", ShapeToString(shape),
                                          ", whose size does not fit in 64 bits"));
  }
  if (bits % 8 != 0) {
    return CheckpointInvalid(absl::StrCat(tensor.Where(), " has shape ", ShapeToString(shape),
                                          " of ", type.name,
                                          ", which is not a whole number of bytes"));
  }
  return bits / 8;
}

// Offsets are relative to the data here.
absl::StatusOr<StoredTensor> ReadTensor(absl::string_view name, const JsonValue& tensor) {
  HEED_RETURN_IF_ERROR(CheckKeys(tensor));
  HEED_ASSIGN_OR_RETURN(const StoredType type, ReadType(tensor));
  HEED_ASSIGN_OR_RETURN(std::vector<int64_t> shape, ReadSizes(tensor, "shape"));
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> offsets, ReadSizes(tensor, "data_offsets"));
  if (offsets.size() != 2 || offsets[1] < offsets[0]) {
    return tensor.Find("data_offsets")->Unexpected("[begin, end] with begin <= end");
  }
  HEED_ASSIGN_OR_RETURN(const int64_t bytes, ByteCount(tensor, shape, type));
  if (offsets[1] - offsets[0] != bytes) {
    return CheckpointInvalid(absl::StrCat(
        tensor.Where(), " has data_offsets ", ShapeToString(offsets), ", ", offsets[1] - offsets[0],
        " bytes; shape ", ShapeToString(shape), " of ", type.name, " takes ", bytes));
  }
  return StoredTensor{std::string(name), TensorInfo{type.dtype, std::move(shape)},
                      std::string(type.name), offsets[0], bytes};
}

absl::Status CheckMetadata(const JsonValue& metadata) {
  if (metadata.IsNull()) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const auto members, metadata.Object());
  for (const auto& [key, value] : members) {
    if (!value.IsString()) return value.Unexpected("a string");
  }
  return absl::OkStatus();
}

// Every tensor begins where the one before ends, and the last ends with the file.
absl::Status CheckContiguous(absl::string_view file, absl::Span<const StoredTensor> tensors,
                             int64_t data_bytes) {
  int64_t end = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.offset != end) {
      return CheckpointInvalid(absl::StrCat(
          file, ": tensor ", Quoted(tensor.name), " begins at byte ", tensor.offset,
          " of the data; it must begin at ", end, ", where the tensor before it ends"));
    }
    end += tensor.bytes;  // Cannot overflow: it is the tensor's own end offset.
  }
  if (end == data_bytes) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(file, ": the header describes ", end,
                                        " bytes of tensors, but the file holds ", data_bytes,
                                        end > data_bytes ? "; it has been cut short" : ""));
}

absl::Status CheckHeaderText(absl::string_view file, absl::string_view header) {
  if (header.empty() || header.front() != '{') {
    return CheckpointInvalid(absl::StrCat(file, ": the header must begin with '{'"));
  }
  const size_t last = header.find_last_not_of(' ');
  if (header[last] != '}') {
    return CheckpointInvalid(
        absl::StrCat(file, ": the header must end with '}', followed by nothing but spaces"));
  }
  return absl::OkStatus();
}

// The size of the header, checked against the limit and the file.
absl::StatusOr<int64_t> ReadHeaderSize(const File& file) {
  if (file.size() < static_cast<int64_t>(kSizeBytes)) {
    return CheckpointInvalid(absl::StrCat(
        file.name(), ": has ", file.size(),
        " bytes; a safetensors file begins with the size of its header, which takes 8"));
  }
  std::array<char, kSizeBytes> bytes;
  HEED_RETURN_IF_ERROR(file.Read(0, absl::MakeSpan(bytes)));
  if (absl::string_view(bytes.data(), bytes.size()) == "version ") {
    return CheckpointInvalid(absl::StrCat(
        file.name(), ": is a Git LFS pointer, not the file itself; fetch it with: git lfs pull"));
  }
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof(size));
  if (size > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes)) {
    return CheckpointInvalid(absl::StrCat(file.name(), ": declares a header of ", size,
                                          " bytes; at most ", kMaxSafetensorsHeaderBytes,
                                          " are allowed"));
  }
  if (static_cast<int64_t>(size) > file.size() - static_cast<int64_t>(kSizeBytes)) {
    return CheckpointInvalid(absl::StrCat(file.name(), ": declares a header of ", size,
                                          " bytes, but the file has only ", file.size(),
                                          "; it has been cut short"));
  }
  if (static_cast<int64_t>(size) > kSmallSafetensorsHeaderBytes &&
      static_cast<int64_t>(size) > file.size() / kLeastFileToHeader) {
    return CheckpointInvalid(
        absl::StrCat(file.name(), ": declares a header of ", size, " bytes in a file of ",
                     file.size(), "; a header of more than ", kSmallSafetensorsHeaderBytes,
                     " bytes may be at most 1/", kLeastFileToHeader, " of the file"));
  }
  return static_cast<int64_t>(size);
}

}  // namespace

std::string ShapeToString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

int64_t ElementCount(absl::Span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) return -1;
  }
  return count;
}

int64_t RowValues(absl::Span<const int64_t> shape) {
  return shape.empty() ? 1 : ElementCount(shape.subspan(1));
}

absl::Status CheckRows(absl::string_view where, absl::Span<const int64_t> shape, RowRange rows,
                       int64_t row_size, size_t room, absl::string_view unit) {
  const int64_t row_count = RowRange::All(shape).count;
  if (rows.first < 0 || rows.count < 0 || rows.first > row_count - rows.count) {
    return absl::InvalidArgumentError(absl::StrCat(where, " has ", row_count,
                                                   " rows; there are no ", rows.count, " from row ",
                                                   rows.first, " on"));
  }
  const int64_t size = rows.count * row_size;
  if (static_cast<int64_t>(room) == size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(rows.count, " rows of ", where, " take ", size,
                                                 " ", unit, ", but there is room for ", room));
}

absl::StatusOr<std::vector<StoredTensor>> ParseSafetensorsHeader(absl::string_view name,
                                                                 absl::string_view header,
                                                                 int64_t data_bytes) {
  HEED_RETURN_IF_ERROR(CheckHeaderText(name, header));
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(name, header));
  HEED_ASSIGN_OR_RETURN(const auto members, document.root().Object());
  std::vector<StoredTensor> tensors;
  tensors.reserve(members.size());
  for (const auto& [key, value] : members) {
    if (key == "__metadata__") {
      HEED_RETURN_IF_ERROR(CheckMetadata(value));
      continue;
    }
    HEED_ASSIGN_OR_RETURN(StoredTensor tensor, ReadTensor(key, value));
    tensors.push_back(std::move(tensor));
  }
  std::sort(tensors.begin(), tensors.end(), [](const StoredTensor& a, const StoredTensor& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  HEED_RETURN_IF_ERROR(CheckContiguous(name, tensors, data_bytes));
  return tensors;
}

absl::StatusOr<std::vector<StoredTensor>> ReadSafetensorsHeader(const File& file) {
  HEED_ASSIGN_OR_RETURN(const int64_t size, ReadHeaderSize(file));
  std::string header(static_cast<size_t>(size), '\0');
  HEED_RETURN_IF_ERROR(file.Read(kSizeBytes, absl::MakeSpan(header)));
  const int64_t data_begin = static_cast<int64_t>(kSizeBytes) + size;
  HEED_ASSIGN_OR_RETURN(std::vector<StoredTensor> tensors,
                        ParseSafetensorsHeader(file.name(), header, file.size() - data_begin));
  for (StoredTensor& tensor : tensors) tensor.offset += data_begin;
  return tensors;
}

}  // namespace heed
