// Strict JSON for files that nobody vouches for. The only file here that knows the JSON library.
//
// Strict means: RFC 8259, valid UTF-8, no byte-order mark, nothing after the value, at most 64
// levels, and no key twice in an object. Every error message begins with the file's name and the
// path of the value in it.
#ifndef HEED_MODEL_CHECKPOINT_JSON_H_
#define HEED_MODEL_CHECKPOINT_JSON_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

inline constexpr int kMaxJsonDepth = 64;

// `text` in double quotes, shortened and escaped so that it is safe in a message or a log line
// whatever it holds.
std::string Quoted(absl::string_view text);

// One value of a JsonDocument, which must outlive it. Cheap to copy.
//
// The typed getters return INVALID_ARGUMENT when the value has another type; numbers are never
// taken for integers unless they are written as such.
class JsonValue {
 public:
  bool IsNull() const;
  bool IsString() const;
  bool IsArray() const;
  bool IsObject() const;

  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<int64_t> Int() const;
  absl::StatusOr<double> Double() const;  // integers too; always finite
  absl::StatusOr<absl::string_view> String() const;
  absl::StatusOr<std::vector<JsonValue>> Array() const;
  absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> Object() const;

  // The member `key`; absent when there is none or when this is not an object.
  std::optional<JsonValue> Find(absl::string_view key) const;
  // The member `key`, or INVALID_ARGUMENT.
  absl::StatusOr<JsonValue> Get(absl::string_view key) const;

  // The value as it would be written, shortened: for messages.
  std::string ToString() const;

  // INVALID_ARGUMENT "FILE: PATH is VALUE; it must be EXPECTED".
  absl::Status Unexpected(absl::string_view expected) const;
  // "FILE: PATH", or "FILE" for the whole document.
  std::string Where() const;

 private:
  friend class JsonDocument;

  // The library's own handle, whose type stays in json.cc.
  using Handle = std::array<uintptr_t, 2>;

  JsonValue(Handle handle, const std::string* file, std::string path)
      : handle_(handle), file_(file), path_(std::move(path)) {}

  JsonValue Member(Handle handle, absl::string_view key) const;
  JsonValue Element(Handle handle, size_t index) const;

  Handle handle_;
  const std::string* file_;
  std::string path_;  // "rope_parameters.factor", "eos_token_id[1]"; empty for the root
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
  struct Parsed;

  explicit JsonDocument(std::unique_ptr<Parsed> parsed);

  std::unique_ptr<Parsed> parsed_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_JSON_H_
