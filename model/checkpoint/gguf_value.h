// One value of a GGUF file's metadata, with typed and ranged getters.
#ifndef HEED_MODEL_CHECKPOINT_GGUF_VALUE_H_
#define HEED_MODEL_CHECKPOINT_GGUF_VALUE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/checkpoint/config_reader.h"

namespace heed {

// The numbers are the file format's.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// "u32", "f32", "string"; empty for a number that is no type.
absl::string_view GgufTypeName(GgufType type);

// Bytes of one value of the type; 0 for strings, arrays and numbers that are no type.
int64_t GgufTypeBytes(GgufType type);

// Reads little-endian values one after another. What a function returns is false when the bytes end
// first; the position is then unspecified.
class ByteCursor {
 public:
  explicit ByteCursor(absl::string_view bytes, size_t position = 0)
      : bytes_(bytes), position_(position) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  template <typename T>
  bool Read(T* value) {
    if (left() < sizeof(T)) return false;
    std::memcpy(value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  bool ReadBytes(uint64_t size, absl::string_view* value) {
    if (left() < size) return false;
    *value = bytes_.substr(position_, size);
    position_ += size;
    return true;
  }

  // A string with its length in front.
  bool ReadString(absl::string_view* value) {
    uint64_t size = 0;
    return Read(&size) && ReadBytes(size, value);
  }

 private:
  absl::string_view bytes_;
  size_t position_;
};

// A view of a value in a GgufHeader, which must outlive it. Cheap to copy.
//
// The getters return INVALID_ARGUMENT when the value has another type or is out of range, with the
// file, the key and the value. Integers of every width are taken for one another.
class GgufValue {
 public:
  // `bytes` is a scalar's or string's own bytes, or an array's elements. They have been checked.
  GgufValue(absl::string_view file, absl::string_view key, GgufType type, absl::string_view bytes)
      : file_(file), key_(key), type_(type), bytes_(bytes) {}
  static GgufValue Array(absl::string_view file, absl::string_view key, GgufType element_type,
                         int64_t size, absl::string_view bytes);

  absl::string_view key() const { return key_; }
  GgufType type() const { return type_; }  // of the elements, where it is an array
  bool IsArray() const { return is_array_; }
  bool IsString() const { return !is_array_ && type_ == GgufType::kString; }
  int64_t size() const { return size_; }  // elements; 1 for what is no array

  absl::StatusOr<int64_t> Int(IntRange range) const;
  // f32 and f64. An f32 is taken for the shortest decimal number that rounds to it.
  absl::StatusOr<double> Double(DoubleRange range) const;
  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<absl::string_view> String() const;  // need not be UTF-8

  absl::StatusOr<std::vector<int64_t>> Ints(IntRange range) const;
  absl::StatusOr<std::vector<float>> Floats() const;  // f32 only; all finite
  absl::StatusOr<std::vector<bool>> Bools() const;
  absl::StatusOr<std::vector<absl::string_view>> Strings() const;

  // The value as people write it, shortened: for messages.
  std::string ToString() const;
  // "FILE: KEY".
  std::string Where() const;
  // INVALID_ARGUMENT "FILE: KEY is VALUE; it must be EXPECTED".
  absl::Status Unexpected(absl::string_view expected) const;
  // UNIMPLEMENTED "FILE: KEY is VALUE; heed supports SUPPORTED".
  absl::Status Unsupported(absl::string_view supported) const;

 private:
  bool ReadInt(ByteCursor& cursor, int64_t* value) const;
  std::string ElementToString(ByteCursor& cursor) const;

  absl::string_view file_, key_;
  GgufType type_;
  bool is_array_ = false;
  int64_t size_ = 1;
  absl::string_view bytes_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_GGUF_VALUE_H_
