#include "model/checkpoint/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

static_assert(std::endian::native == std::endian::little,
              "GGUF files are read without swapping bytes");

constexpr absl::string_view kMagic = "GGUF";
constexpr absl::string_view kAlignmentKey = "general.alignment";
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDimensions = 4;
// A key of one byte with a value of one byte; a tensor of no dimension with a name of one byte.
constexpr int64_t kMinValueBytes = 8 + 1 + 4 + 1;
constexpr int64_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isprint(static_cast<unsigned char>(c)); });
}

}  // namespace

absl::Status GgufParser::Run() {
  HEED_RETURN_IF_ERROR(ReadPreamble());
  HEED_RETURN_IF_ERROR(ReadValues());
  HEED_RETURN_IF_ERROR(SortByName("key", header_->values_));
  HEED_RETURN_IF_ERROR(ReadAlignment());
  HEED_RETURN_IF_ERROR(ReadTensors());
  header_->tensors_by_name_ = header_->tensors_;
  HEED_RETURN_IF_ERROR(SortByName("tensor", header_->tensors_by_name_));
  return CheckPlaces();
}

absl::Status GgufParser::Invalid(absl::string_view what) const {
  return CheckpointInvalid(absl::StrCat(header_->name_, ": ", what));
}

absl::Status GgufParser::RanOut(absl::string_view where) {
  ran_out_ = true;
  return Invalid(absl::StrCat("ends after ", file_bytes_, " bytes, in the middle of ", where,
                              "; it has been cut short"));
}

uint64_t GgufParser::LeftInFile() const {
  return static_cast<uint64_t>(file_bytes_) - std::min<uint64_t>(file_bytes_, cursor_.position());
}

absl::Status GgufParser::CheckVersion(uint32_t version) const {
  const std::string where = absl::StrCat(header_->name_, ": ");
  if (version == 2 || version == 3) return absl::OkStatus();
  if (version == 1) {
    return CheckpointUnsupported(absl::StrCat(
        where, "is GGUF version 1; heed reads versions 2 and 3: convert the model again"));
  }
  if ((version & 0xFFFF) == 0 && version != 0) {
    return CheckpointUnsupported(
        absl::StrCat(where,
                     "is a big-endian GGUF file; heed reads little-endian ones: convert it "
                     "with gguf-convert-endian"));
  }
  return CheckpointUnsupported(
      absl::StrCat(where, "is GGUF version ", version, "; heed reads versions 2 and 3"));
}

absl::Status GgufParser::ReadPreamble() {
  absl::string_view magic;
  if (!cursor_.ReadBytes(kMagic.size(), &magic)) return RanOut("the first four bytes");
  if (magic != kMagic) {
    if (absl::StartsWith(header_->bytes_, "version ")) {
      return Invalid("is a Git LFS pointer, not the file itself; fetch it with: git lfs pull");
    }
    return Invalid(
        absl::StrCat("begins with ", Quoted(magic), "; a GGUF file begins with \"GGUF\""));
  }
  uint32_t version = 0;
  if (!cursor_.Read(&version)) return RanOut("the version");
  HEED_RETURN_IF_ERROR(CheckVersion(version));
  if (!cursor_.Read(&tensor_count_)) return RanOut("the number of tensors");
  if (!cursor_.Read(&value_count_)) return RanOut("the number of keys");
  HEED_RETURN_IF_ERROR(CheckCount("tensors", tensor_count_, kMinTensorBytes));
  return CheckCount("keys", value_count_, kMinValueBytes);
}

// Nothing is allocated by a count that the rest of the file could not hold.
absl::Status GgufParser::CheckCount(absl::string_view what, uint64_t count,
                                    int64_t min_bytes) const {
  const uint64_t most = LeftInFile() / static_cast<uint64_t>(min_bytes);
  if (count <= most) return absl::OkStatus();
  return Invalid(absl::StrCat("declares ", count, " ", what, ", but its ", file_bytes_,
                              " bytes can hold at most ", most));
}

absl::Status GgufParser::ReadName(absl::string_view what, uint64_t max_bytes,
                                  absl::string_view* name) {
  uint64_t size = 0;
  const size_t place = cursor_.position();
  if (!cursor_.Read(&size)) return RanOut(absl::StrCat("the length of ", what));
  if (size == 0 || size > max_bytes) {
    return Invalid(absl::StrCat("at byte ", place, ", the length of ", what, " is ", size,
                                "; it must be from 1 to ", max_bytes));
  }
  if (!cursor_.ReadBytes(size, name)) return RanOut(what);
  if (IsPrintable(*name)) return absl::OkStatus();
  return Invalid(absl::StrCat("at byte ", place, ", ", what, " is ", Quoted(*name),
                              "; it must be printable ASCII"));
}

absl::Status GgufParser::ReadValues() {
  header_->values_.reserve(value_count_);
  for (uint64_t i = 0; i < value_count_; ++i) HEED_RETURN_IF_ERROR(ReadValue());
  return absl::OkStatus();
}

absl::Status GgufParser::ReadValue() {
  header_->values_.push_back(static_cast<uint32_t>(cursor_.position()));
  absl::string_view key;
  HEED_RETURN_IF_ERROR(ReadName("a key", kMaxKeyBytes, &key));
  uint32_t type = 0;
  const std::string where = absl::StrCat("the value of ", Quoted(key));
  if (!cursor_.Read(&type)) return RanOut(where);
  if (static_cast<GgufType>(type) == GgufType::kArray) return SkipArray(where);
  return SkipScalar(static_cast<GgufType>(type), where);
}

absl::Status GgufParser::SkipScalar(GgufType type, const std::string& where) {
  if (type == GgufType::kString) return SkipString(where);
  const int64_t bytes = GgufTypeBytes(type);
  if (bytes == 0) {
    return Invalid(absl::StrCat(where, " has type ", static_cast<uint32_t>(type),
                                "; the types have numbers from 0 to 12"));
  }
  absl::string_view value;
  if (!cursor_.ReadBytes(static_cast<uint64_t>(bytes), &value)) return RanOut(where);
  if (type != GgufType::kBool || static_cast<uint8_t>(value[0]) <= 1) return absl::OkStatus();
  return Invalid(
      absl::StrCat(where, " is a bool of ", static_cast<uint8_t>(value[0]), "; it must be 0 or 1"));
}

absl::Status GgufParser::SkipString(const std::string& where) {
  uint64_t size = 0;
  if (!cursor_.Read(&size)) return RanOut(where);
  if (size > LeftInFile()) {
    return Invalid(absl::StrCat(where, " is a string of ", size, " bytes, but the file has only ",
                                LeftInFile(), " more; it is damaged or has been cut short"));
  }
  absl::string_view value;
  return cursor_.ReadBytes(size, &value) ? absl::OkStatus() : RanOut(where);
}

absl::Status GgufParser::SkipArray(const std::string& where) {
  uint32_t type_number = 0;
  uint64_t size = 0;
  if (!cursor_.Read(&type_number) || !cursor_.Read(&size)) return RanOut(where);
  const auto type = static_cast<GgufType>(type_number);
  const bool is_string = type == GgufType::kString;
  const int64_t bytes = is_string ? 8 : GgufTypeBytes(type);
  if (bytes == 0) {
    return Invalid(absl::StrCat(where, " is an array of type ", type_number,
                                type == GgufType::kArray ? ", of arrays" : "",
                                "; arrays hold numbers, bools or strings"));
  }
  if (size > LeftInFile() / static_cast<uint64_t>(bytes)) {
    return Invalid(absl::StrCat(where, " is an array of ", size,
                                " elements, but the file has only ", LeftInFile(),
                                " more bytes; it is damaged or has been cut short"));
  }
  if (!is_string && type != GgufType::kBool) {
    absl::string_view values;
    return cursor_.ReadBytes(size * static_cast<uint64_t>(bytes), &values) ? absl::OkStatus()
                                                                           : RanOut(where);
  }
  for (uint64_t i = 0; i < size; ++i) HEED_RETURN_IF_ERROR(SkipScalar(type, where));
  return absl::OkStatus();
}

absl::Status GgufParser::SortByName(absl::string_view what, std::vector<uint32_t>& places) const {
  std::sort(places.begin(), places.end(),
            [this](uint32_t a, uint32_t b) { return header_->StringAt(a) < header_->StringAt(b); });
  const auto twice = std::adjacent_find(places.begin(), places.end(), [this](auto a, auto b) {
    return header_->StringAt(a) == header_->StringAt(b);
  });
  if (twice == places.end()) return absl::OkStatus();
  return Invalid(
      absl::StrCat("has the ", what, " ", Quoted(header_->StringAt(*twice)), " more than once"));
}

absl::Status GgufParser::ReadAlignment() {
  const std::optional<GgufValue> value = header_->Find(kAlignmentKey);
  if (!value) return absl::OkStatus();
  constexpr char kExpected[] = "a power of two from 1 to 2^30, as u32";
  if (value->type() != GgufType::kUint32) return value->Unexpected(kExpected);
  const absl::StatusOr<int64_t> alignment = value->Int({1, int64_t{1} << 30});
  if (!alignment.ok() || !std::has_single_bit(static_cast<uint64_t>(*alignment))) {
    return value->Unexpected(kExpected);
  }
  alignment_ = *alignment;
  return absl::OkStatus();
}

absl::Status GgufParser::ReadTensors() {
  header_->tensors_.reserve(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) HEED_RETURN_IF_ERROR(ReadTensor());
  header_->data_begin_ = RoundUp(static_cast<int64_t>(cursor_.position()), alignment_);
  return absl::OkStatus();
}

absl::Status GgufParser::ReadTensor() {
  header_->tensors_.push_back(static_cast<uint32_t>(cursor_.position()));
  absl::string_view name;
  HEED_RETURN_IF_ERROR(ReadName("a tensor's name", kMaxTensorNameBytes, &name));
  const std::string where = absl::StrCat("tensor ", Quoted(name));
  uint32_t n_dimensions = 0;
  if (!cursor_.Read(&n_dimensions)) return RanOut(where);
  if (n_dimensions > kMaxDimensions) {
    return Invalid(absl::StrCat(where, " has ", n_dimensions, " dimensions; at most ",
                                kMaxDimensions, " are allowed"));
  }
  std::vector<uint64_t> dimensions(n_dimensions);
  uint32_t type = 0;
  uint64_t offset = 0;
  for (uint64_t& dimension : dimensions) {
    if (!cursor_.Read(&dimension)) return RanOut(where);
  }
  if (!cursor_.Read(&type) || !cursor_.Read(&offset)) return RanOut(where);
  const BlockFormat* const format = FindBlockFormat(type);
  if (format == nullptr) {
    return Invalid(absl::StrCat(where, " has type ", type, ", which is no ggml type heed knows"));
  }
  HEED_RETURN_IF_ERROR(CheckDimensions(where, dimensions, *format));
  const std::string begins = absl::StrCat(where, " begins at byte ", offset, " of the data");
  if (offset % static_cast<uint64_t>(alignment_) != 0) {
    return Invalid(absl::StrCat(begins, "; it must be a multiple of the alignment, ", alignment_));
  }
  if (offset <= static_cast<uint64_t>(file_bytes_)) return absl::OkStatus();
  return Invalid(absl::StrCat(begins, ", but the file has only ", file_bytes_, " bytes"));
}

// Sizes are at least 1, rows are whole blocks, and the bytes fit in the file.
absl::Status GgufParser::CheckDimensions(absl::string_view where,
                                         absl::Span<const uint64_t> dimensions,
                                         const BlockFormat& format) const {
  uint64_t count = 1;
  for (const uint64_t dimension : dimensions) {
    if (dimension == 0)
      return Invalid(absl::StrCat(where, " has a dimension of 0; 1 is the least"));
    if (__builtin_mul_overflow(count, dimension, &count)) count = UINT64_MAX;
    if (count > static_cast<uint64_t>(INT64_MAX) / 8) {
      return Invalid(absl::StrCat(where, " has a dimension of ", dimension,
                                  ", with which its size does not fit in 64 bits"));
    }
  }
  const uint64_t row = dimensions.empty() ? 1 : dimensions[0];
  if (row % static_cast<uint64_t>(format.block_values) != 0) {
    return Invalid(absl::StrCat(where, " has rows of ", row, " values; for ", format.name,
                                " it must be a multiple of ", format.block_values));
  }
  const int64_t blocks = static_cast<int64_t>(count) / format.block_values;
  if (blocks <= file_bytes_ / format.block_bytes) return absl::OkStatus();
  return Invalid(absl::StrCat(where, " has ", count, " values of ", format.name,
                              ", more than the file's ", file_bytes_, " bytes can hold"));
}

// In the file's order every tensor begins where the padding after the one before ends, and after
// the last there is nothing but padding: no two share bytes, and none has lost any.
absl::Status GgufParser::CheckPlaces() const {
  int64_t end = header_->data_begin_;
  for (int64_t i = 0; i < header_->tensor_count(); ++i) {
    const GgufTensor tensor = header_->tensor(i);
    const int64_t begin = RoundUp(end, alignment_);
    if (tensor.offset != begin) {
      return Invalid(absl::StrCat("tensor ", Quoted(tensor.name), " begins at byte ",
                                  tensor.offset - header_->data_begin_,
                                  " of the data; it must begin at ", begin - header_->data_begin_,
                                  ", where the tensor before it ends"));
    }
    end = begin + tensor.bytes;
    if (end <= file_bytes_) continue;
    return Invalid(absl::StrCat("tensor ", Quoted(tensor.name), " ends at byte ", end,
                                ", but the file has only ", file_bytes_,
                                "; it is damaged or has been cut short"));
  }
  if (header_->tensor_count() == 0 || RoundUp(end, alignment_) >= file_bytes_)
    return absl::OkStatus();
  return Invalid(absl::StrCat("the last tensor ends at byte ", end, ", but the file has ",
                              file_bytes_, "; nothing may follow but padding"));
}

}  // namespace heed
