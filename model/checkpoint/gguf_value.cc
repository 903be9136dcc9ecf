#include "model/checkpoint/gguf_value.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

struct TypeRow {
  absl::string_view name;
  int bytes;
};

// By number.
constexpr TypeRow kTypes[] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                              {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 0}, {"array", 0},
                              {"u64", 8}, {"i64", 8}, {"f64", 8}};

const TypeRow* FindType(GgufType type) {
  const auto index = static_cast<size_t>(type);
  return index < std::size(kTypes) ? &kTypes[index] : nullptr;
}

bool IsInteger(GgufType type) {
  return GgufTypeBytes(type) > 0 && type != GgufType::kBool && type != GgufType::kFloat32 &&
         type != GgufType::kFloat64;
}

// The next value, of C++ type T; false when it does not fit in 64 bits with a sign.
template <typename T>
bool ReadAs(ByteCursor& cursor, int64_t* out) {
  T value{};
  if (!cursor.Read(&value)) return false;
  *out = static_cast<int64_t>(value);
  return std::is_signed_v<T> || *out >= 0;
}

// The number that was meant: the shortest decimal that rounds to the value, so that 1e-5 in f32 is
// the same as 1e-5 in a config.json.
double DecimalOf(float value) {
  char text[32];
  double out = double{value};
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
  std::from_chars(text, end.ptr, out);
  return out;
}

std::string IntExpectation(IntRange range) {
  return range.min == range.max ? absl::StrCat(range.min)
                                : absl::StrCat("an integer from ", range.min, " to ", range.max);
}

}  // namespace

absl::string_view GgufTypeName(GgufType type) {
  const TypeRow* row = FindType(type);
  return row == nullptr ? "" : row->name;
}

int64_t GgufTypeBytes(GgufType type) {
  const TypeRow* row = FindType(type);
  return row == nullptr ? 0 : row->bytes;
}

GgufValue GgufValue::Array(absl::string_view file, absl::string_view key, GgufType element_type,
                           int64_t size, absl::string_view bytes) {
  GgufValue value(file, key, element_type, bytes);
  value.is_array_ = true;
  value.size_ = size;
  return value;
}

bool GgufValue::ReadInt(ByteCursor& cursor, int64_t* value) const {
  switch (type_) {
    case GgufType::kUint8:
      return ReadAs<uint8_t>(cursor, value);
    case GgufType::kInt8:
      return ReadAs<int8_t>(cursor, value);
    case GgufType::kUint16:
      return ReadAs<uint16_t>(cursor, value);
    case GgufType::kInt16:
      return ReadAs<int16_t>(cursor, value);
    case GgufType::kUint32:
      return ReadAs<uint32_t>(cursor, value);
    case GgufType::kInt32:
      return ReadAs<int32_t>(cursor, value);
    case GgufType::kUint64:
      return ReadAs<uint64_t>(cursor, value);
    case GgufType::kInt64:
      return ReadAs<int64_t>(cursor, value);
    default:
      return false;
  }
}

absl::StatusOr<int64_t> GgufValue::Int(IntRange range) const {
  ByteCursor cursor(bytes_);
  int64_t value = 0;
  if (!is_array_ && ReadInt(cursor, &value) && value >= range.min && value <= range.max) {
    return value;
  }
  return Unexpected(IntExpectation(range));
}

absl::StatusOr<double> GgufValue::Double(DoubleRange range) const {
  ByteCursor cursor(bytes_);
  double value = std::numeric_limits<double>::quiet_NaN();
  if (!is_array_ && type_ == GgufType::kFloat64) cursor.Read(&value);
  if (!is_array_ && type_ == GgufType::kFloat32) {
    float single = 0;
    cursor.Read(&single);
    value = DecimalOf(single);
  }
  if (value >= range.min && value <= range.max) return value;
  return Unexpected(absl::StrFormat("a floating-point number from %g to %g", range.min, range.max));
}

absl::StatusOr<bool> GgufValue::Bool() const {
  if (!is_array_ && type_ == GgufType::kBool) return bytes_[0] != 0;
  return Unexpected("a bool");
}

absl::StatusOr<absl::string_view> GgufValue::String() const {
  if (IsString()) return bytes_;
  return Unexpected("a string");
}

absl::StatusOr<std::vector<int64_t>> GgufValue::Ints(IntRange range) const {
  if (!is_array_ || !IsInteger(type_)) return Unexpected("an array of integers");
  std::vector<int64_t> values;
  values.reserve(static_cast<size_t>(size_));
  ByteCursor cursor(bytes_);
  int64_t value = 0;
  for (int64_t i = 0; i < size_; ++i) {
    ByteCursor here = cursor;
    if (!ReadInt(cursor, &value) || value < range.min || value > range.max) {
      return CheckpointInvalid(absl::StrCat(Where(), "[", i, "] is ", ElementToString(here),
                                            "; it must be ", IntExpectation(range)));
    }
    values.push_back(value);
  }
  return values;
}

absl::StatusOr<std::vector<float>> GgufValue::Floats() const {
  if (!is_array_ || type_ != GgufType::kFloat32) return Unexpected("an array of f32");
  std::vector<float> values(static_cast<size_t>(size_));
  if (size_ > 0) std::memcpy(values.data(), bytes_.data(), bytes_.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return CheckpointInvalid(
        absl::StrCat(Where(), "[", i, "] is ", values[i], "; it must be finite"));
  }
  return values;
}

absl::StatusOr<std::vector<bool>> GgufValue::Bools() const {
  if (!is_array_ || type_ != GgufType::kBool) return Unexpected("an array of bools");
  std::vector<bool> values;
  for (const char byte : bytes_) values.push_back(byte != 0);
  return values;
}

absl::StatusOr<std::vector<absl::string_view>> GgufValue::Strings() const {
  if (!is_array_ || type_ != GgufType::kString) return Unexpected("an array of strings");
  std::vector<absl::string_view> values(static_cast<size_t>(size_));
  ByteCursor cursor(bytes_);
  for (absl::string_view& value : values) cursor.ReadString(&value);
  return values;
}

std::string GgufValue::ElementToString(ByteCursor& cursor) const {
  if (type_ == GgufType::kString) {
    absl::string_view text = bytes_;
    if (is_array_) cursor.ReadString(&text);
    return Quoted(text);
  }
  if (type_ == GgufType::kBool) {
    uint8_t value = 0;
    cursor.Read(&value);
    return value != 0 ? "true" : "false";
  }
  if (type_ == GgufType::kFloat32) {
    float value = 0;
    cursor.Read(&value);
    return absl::StrCat(value);
  }
  if (type_ == GgufType::kFloat64) {
    double value = 0;
    cursor.Read(&value);
    return absl::StrCat(value);
  }
  int64_t value = 0;
  // The only failure left is an unsigned number that needs all 64 bits.
  if (ReadInt(cursor, &value)) return absl::StrCat(value);
  return absl::StrCat(static_cast<uint64_t>(value));
}

std::string GgufValue::ToString() const {
  constexpr int64_t kMost = 4;
  ByteCursor cursor(bytes_);
  if (!is_array_) return ElementToString(cursor);
  std::string text = "[";
  for (int64_t i = 0; i < size_ && i < kMost; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", ElementToString(cursor));
  }
  if (size_ > kMost) absl::StrAppend(&text, ", ... ", size_, " in all");
  return absl::StrCat(text, "]");
}

std::string GgufValue::Where() const {
  return absl::StrCat(file_, ": ", key_);
}

absl::Status GgufValue::Unexpected(absl::string_view expected) const {
  return CheckpointInvalid(absl::StrCat(Where(), " is ", ToString(), " (",
                                        is_array_ ? "array of " : "", GgufTypeName(type_),
                                        "); it must be ", expected));
}

absl::Status GgufValue::Unsupported(absl::string_view supported) const {
  return CheckpointUnsupported(
      absl::StrCat(Where(), " is ", ToString(), "; heed supports ", supported));
}

}  // namespace heed
