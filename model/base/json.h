// Strict JSON for files that nobody vouches for. Only json.cc knows the JSON library.
//
// Strict means: RFC 8259, valid UTF-8, no byte-order mark, nothing after the value, at most 64
// levels, at most 256 MiB, and no key twice in an object. Every error message begins with the
// file's name and the path of the value in it, and its reason is CHECKPOINT_INVALID or
// CHECKPOINT_UNSUPPORTED: all JSON that heed reads is part of a checkpoint.
#ifndef HEED_MODEL_BASE_JSON_H_
#define HEED_MODEL_BASE_JSON_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

inline constexpr int kMaxJsonDepth = 64;

// `text` in double quotes, shortened and escaped so that it is safe in a message or a log line
// whatever it holds.
std::string Quoted(absl::string_view text);

// `text`, which must be valid UTF-8, as a JSON string.
std::string QuoteJson(absl::string_view text);

struct ParsedJson;  // known to json.cc only

// One value of a JsonDocument, which must outlive it. Cheap to copy: where it stands in the
// document is found when a message needs it.
//
// The typed getters return INVALID_ARGUMENT when the value has another type; numbers are never
// taken for integers unless they are written as such.
class JsonValue {
 public:
  bool IsNull() const;
  bool IsString() const;
  bool IsNumber() const;
  bool IsArray() const;
  bool IsObject() const;

  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<int64_t> Int() const;
  // An integer in [min, max].
  absl::StatusOr<int64_t> Int(int64_t min, int64_t max) const;
  absl::StatusOr<double> Double() const;  // integers too; always finite
  absl::StatusOr<absl::string_view> String() const;
  absl::StatusOr<std::vector<JsonValue>> Array() const;
  absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> Object() const;

  // Calls `visit` for each member or element, in order, until it fails.
  absl::Status ForEachMember(
      absl::FunctionRef<absl::Status(absl::string_view key, const JsonValue& value)> visit) const;
  absl::Status ForEachElement(
      absl::FunctionRef<absl::Status(int64_t index, const JsonValue& value)> visit) const;

  // The member `key`; absent when there is none or when this is not an object.
  std::optional<JsonValue> Find(absl::string_view key) const;
  // The member `key`, or INVALID_ARGUMENT.
  absl::StatusOr<JsonValue> Get(absl::string_view key) const;
  // Members that must exist.
  absl::StatusOr<bool> BoolAt(absl::string_view key) const;
  absl::StatusOr<absl::string_view> StringAt(absl::string_view key) const;
  // Members that may be absent or null.
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool absent) const;
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view absent) const;

  // The value as it would be written, shortened: for messages.
  std::string ToString() const;

  // INVALID_ARGUMENT "FILE: PATH is VALUE; it must be EXPECTED".
  absl::Status Unexpected(absl::string_view expected) const;
  // INVALID_ARGUMENT "FILE: PATH: PROBLEM".
  absl::Status Error(absl::string_view problem) const;
  // The same with UNIMPLEMENTED, for what is sound but unknown to heed.
  absl::Status Unsupported(absl::string_view problem) const;
  // "FILE: PATH", or "FILE" for the whole document.
  std::string Where() const;

 private:
  friend class JsonDocument;

  // The library's own handle, whose type stays in json.cc.
  using Handle = std::array<uintptr_t, 2>;

  JsonValue(Handle handle, const ParsedJson* document) : handle_(handle), document_(document) {}

  Handle handle_;
  const ParsedJson* document_;
};

class JsonDocument {
 public:
  // `file` names the source in messages. INVALID_ARGUMENT when `text` is not strict JSON.
  static absl::StatusOr<JsonDocument> Parse(absl::string_view file, absl::string_view text);

  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();

  JsonValue root() const;

 private:
  explicit JsonDocument(std::unique_ptr<ParsedJson> parsed);

  std::unique_ptr<ParsedJson> parsed_;
};

}  // namespace heed

#endif  // HEED_MODEL_BASE_JSON_H_
