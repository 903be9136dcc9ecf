#include "model/checkpoint/gguf.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/gguf_parser.h"
#include "model/checkpoint/safetensors.h"

namespace heed {
namespace {

constexpr int64_t kFirstRead = int64_t{1} << 20;
constexpr int64_t kReadGrowth = 2;

// Bytes of `file` from `begin` to `end` that are not 0 belong to nobody: something is wrong with
// the sizes of the tensors.
absl::Status CheckZeros(const File& file, int64_t begin, int64_t end) {
  constexpr int64_t kChunk = int64_t{64} << 10;
  std::string bytes;
  for (; begin < end; begin += kChunk) {
    bytes.resize(static_cast<size_t>(std::min(kChunk, end - begin)));
    HEED_RETURN_IF_ERROR(file.Read(begin, absl::MakeSpan(bytes)));
    const size_t bad = bytes.find_first_not_of('\0');
    if (bad == std::string::npos) continue;
    return CheckpointInvalid(absl::StrCat(file.name(), ": the padding at byte ",
                                          begin + static_cast<int64_t>(bad), " is ",
                                          static_cast<uint8_t>(bytes[bad]), "; it must be 0"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const GgufHeader>> GgufHeader::Parse(absl::string_view name,
                                                                    std::string bytes,
                                                                    int64_t file_bytes) {
  GgufParser parser(name, std::move(bytes), file_bytes);
  HEED_RETURN_IF_ERROR(parser.Run());
  return parser.TakeHeader();
}

absl::StatusOr<std::unique_ptr<const GgufHeader>> GgufHeader::Read(const File& file) {
  for (int64_t size = kFirstRead;; size *= kReadGrowth) {
    size = std::min({size, file.size(), kMaxGgufHeaderBytes});
    std::string bytes(static_cast<size_t>(size), '\0');
    HEED_RETURN_IF_ERROR(file.Read(0, absl::MakeSpan(bytes)));
    GgufParser parser(file.name(), std::move(bytes), file.size());
    const absl::Status status = parser.Run();
    if (status.ok()) {
      std::unique_ptr<const GgufHeader> header = parser.TakeHeader();
      HEED_RETURN_IF_ERROR(header->CheckPadding(file));
      return header;
    }
    if (!parser.needs_more()) return status;
    if (size < kMaxGgufHeaderBytes) continue;
    return CheckpointInvalid(absl::StrCat(file.name(), ": has a header of more than ",
                                          kMaxGgufHeaderBytes, " bytes, the most that heed reads"));
  }
}

absl::Status GgufHeader::CheckPadding(const File& file) const {
  for (int64_t i = 0; i < tensor_count(); ++i) {
    const GgufTensor here = tensor(i);
    const int64_t end = i + 1 < tensor_count() ? tensor(i + 1).offset : file.size();
    HEED_RETURN_IF_ERROR(CheckZeros(file, here.offset + here.bytes, end));
  }
  return absl::OkStatus();
}

absl::string_view GgufHeader::StringAt(uint32_t place) const {
  absl::string_view text;
  ByteCursor(bytes_, place).ReadString(&text);
  return text;
}

GgufValue GgufHeader::ReadValue(uint32_t place) const {
  ByteCursor cursor(bytes_, place);
  absl::string_view key, value;
  uint32_t type = 0, element_type = 0;
  uint64_t size = 0;
  cursor.ReadString(&key);
  cursor.Read(&type);
  if (static_cast<GgufType>(type) == GgufType::kString) {
    cursor.ReadString(&value);
    return {name_, key, GgufType::kString, value};
  }
  if (static_cast<GgufType>(type) != GgufType::kArray) {
    cursor.ReadBytes(static_cast<uint64_t>(GgufTypeBytes(static_cast<GgufType>(type))), &value);
    return {name_, key, static_cast<GgufType>(type), value};
  }
  cursor.Read(&element_type);
  cursor.Read(&size);
  const auto element = static_cast<GgufType>(element_type);
  // Where an array of strings ends is known only after a walk; whoever reads it stops in time.
  const uint64_t bytes = element == GgufType::kString
                             ? cursor.left()
                             : size * static_cast<uint64_t>(GgufTypeBytes(element));
  cursor.ReadBytes(bytes, &value);
  return GgufValue::Array(name_, key, element, static_cast<int64_t>(size), value);
}

std::vector<uint32_t>::const_iterator GgufHeader::LowerBound(const std::vector<uint32_t>& places,
                                                             absl::string_view text) const {
  return std::lower_bound(
      places.begin(), places.end(), text,
      [this](uint32_t place, absl::string_view t) { return StringAt(place) < t; });
}

std::optional<GgufValue> GgufHeader::Find(absl::string_view key) const {
  const auto found = LowerBound(values_, key);
  if (found == values_.end() || StringAt(*found) != key) return std::nullopt;
  return ReadValue(*found);
}

absl::StatusOr<GgufValue> GgufHeader::Get(absl::string_view key) const {
  const std::optional<GgufValue> value = Find(key);
  if (value) return *value;
  return CheckpointInvalid(absl::StrCat(name_, ": has no key ", Quoted(key)));
}

std::optional<GgufTensor> GgufHeader::FindTensor(absl::string_view name) const {
  const auto found = LowerBound(tensors_by_name_, name);
  if (found == tensors_by_name_.end() || StringAt(*found) != name) return std::nullopt;
  return ReadTensor(*found);
}

GgufTensor GgufHeader::ReadTensor(uint32_t place) const {
  ByteCursor cursor(bytes_, place);
  GgufTensor tensor;
  uint32_t n_dimensions = 0, type = 0;
  uint64_t offset = 0;
  cursor.ReadString(&tensor.name);
  cursor.Read(&n_dimensions);
  tensor.shape.resize(n_dimensions);
  for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) cursor.Read(&*size);
  cursor.Read(&type);
  cursor.Read(&offset);
  tensor.format = FindBlockFormat(type);
  tensor.offset = data_begin_ + static_cast<int64_t>(offset);
  tensor.bytes = tensor.format->ByteCount(ElementCount(tensor.shape));
  return tensor;
}

}  // namespace heed
