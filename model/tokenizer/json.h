// Reading untrusted JSON with errors that name the path ("model.merges[3]") of what is wrong.
#ifndef HEED_MODEL_TOKENIZER_JSON_H_
#define HEED_MODEL_TOKENIZER_JSON_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace heed {

enum class JsonType { kNull, kBool, kNumber, kString, kArray, kObject };

// One value in a JsonTree, and the way to it from the root. Refers to its parent node, which
// must outlive it; hence nodes are made from named nodes only.
class JsonNode {
 public:
  JsonType type() const;
  bool is_null() const { return type() == JsonType::kNull; }

  // "model.merges[3]"; the root has the path "the file".
  std::string path() const;

  // INVALID_ARGUMENT "<path>: <problem>".
  absl::Status Error(absl::string_view problem) const;
  // UNIMPLEMENTED "<path>: <problem>".
  absl::Status Unsupported(absl::string_view problem) const;

  // The value, or an error that says which type was found. Strings live as long as the document.
  absl::StatusOr<absl::string_view> String() const;
  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<double> Number() const;
  // An integer without fraction in [min, max].
  absl::StatusOr<int64_t> Integer(int64_t min, int64_t max) const;

  // A member of this object. An error when this is no object or has the key twice.
  absl::StatusOr<std::optional<JsonNode>> Find(absl::string_view key) const&;
  // A member that must exist.
  absl::StatusOr<JsonNode> Get(absl::string_view key) const&;
  // Members that may be absent or null.
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool absent) const;
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view absent) const;
  // Members that must exist.
  absl::StatusOr<absl::string_view> StringAt(absl::string_view key) const;
  absl::StatusOr<bool> BoolAt(absl::string_view key) const;

  // Calls `visit` for each member or element, in order, until it fails.
  absl::Status ForEachMember(
      absl::FunctionRef<absl::Status(absl::string_view key, const JsonNode& value)> visit) const;
  absl::Status ForEachElement(
      absl::FunctionRef<absl::Status(int64_t index, const JsonNode& value)> visit) const;

 private:
  friend class JsonTree;
  JsonNode() = default;
  absl::Status WrongType(absl::string_view wanted) const;

  alignas(8) unsigned char element_[16] = {};  // simdjson's handle, which only json.cc knows
  const JsonNode* parent_ = nullptr;
  absl::string_view key_;  // in an object
  int64_t index_ = -1;     // in an array
};

// A parsed text. Owns all strings.
class JsonTree {
 public:
  // INVALID_ARGUMENT when `json` is not one well-formed JSON value in UTF-8, is nested deeper than
  // 64, or is larger than 256 MiB.
  static absl::StatusOr<std::unique_ptr<JsonTree>> Parse(absl::string_view json);
  ~JsonTree();

  const JsonNode& root() const { return root_; }

 private:
  struct Parser;
  JsonTree();

  std::unique_ptr<Parser> parser_;
  JsonNode root_;
};

}  // namespace heed

#endif  // HEED_MODEL_TOKENIZER_JSON_H_
