#include "model/tokenizer/json.h"

#include <simdjson.h>

#include <cstring>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kMaxBytes = size_t{256} << 20;
constexpr size_t kMaxDepth = 64;

static_assert(sizeof(dom::element) == 16 && std::is_trivially_copyable_v<dom::element>);

dom::element Load(const unsigned char* bytes) {
  dom::element element;
  std::memcpy(static_cast<void*>(&element), bytes, sizeof(element));
  return element;
}

void Store(const dom::element& element, unsigned char* bytes) {
  std::memcpy(bytes, static_cast<const void*>(&element), sizeof(element));
}

absl::string_view TypeName(JsonType type) {
  switch (type) {
    case JsonType::kNull:
      return "null";
    case JsonType::kBool:
      return "a boolean";
    case JsonType::kNumber:
      return "a number";
    case JsonType::kString:
      return "a string";
    case JsonType::kArray:
      return "an array";
    case JsonType::kObject:
      return "an object";
  }
  return "unknown";
}

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

JsonType JsonNode::type() const {
  switch (Load(element_).type()) {
    case dom::element_type::NULL_VALUE:
      return JsonType::kNull;
    case dom::element_type::BOOL:
      return JsonType::kBool;
    case dom::element_type::STRING:
      return JsonType::kString;
    case dom::element_type::ARRAY:
      return JsonType::kArray;
    case dom::element_type::OBJECT:
      return JsonType::kObject;
    default:
      return JsonType::kNumber;
  }
}

std::string JsonNode::path() const {
  if (parent_ == nullptr) return "the file";
  std::string path = parent_->parent_ == nullptr ? "" : parent_->path();
  if (index_ >= 0) return absl::StrCat(path, "[", index_, "]");
  return absl::StrCat(path, path.empty() ? "" : ".", key_);
}

absl::Status JsonNode::Error(absl::string_view problem) const {
  return absl::InvalidArgumentError(absl::StrCat(path(), ": ", problem));
}

absl::Status JsonNode::Unsupported(absl::string_view problem) const {
  return absl::UnimplementedError(absl::StrCat(path(), ": ", problem));
}

absl::Status JsonNode::WrongType(absl::string_view wanted) const {
  return Error(absl::StrCat("is ", TypeName(type()), "; expected ", wanted));
}

absl::StatusOr<absl::string_view> JsonNode::String() const {
  std::string_view text;
  if (Load(element_).get(text) != simdjson::SUCCESS) return WrongType("a string");
  return View(text);
}

absl::StatusOr<bool> JsonNode::Bool() const {
  bool value;
  if (Load(element_).get(value) != simdjson::SUCCESS) return WrongType("a boolean");
  return value;
}

absl::StatusOr<double> JsonNode::Number() const {
  double value;
  if (Load(element_).get(value) != simdjson::SUCCESS) return WrongType("a number");
  return value;
}

absl::StatusOr<int64_t> JsonNode::Integer(int64_t min, int64_t max) const {
  int64_t value;
  if (Load(element_).get(value) != simdjson::SUCCESS) {
    if (type() != JsonType::kNumber) return WrongType("an integer");
    return Error(absl::StrCat("is no integer from ", min, " to ", max));
  }
  if (value < min || value > max) {
    return Error(absl::StrCat("is ", value, "; expected ", min, " to ", max));
  }
  return value;
}

absl::StatusOr<std::optional<JsonNode>> JsonNode::Find(absl::string_view key) const& {
  std::optional<JsonNode> found;
  HEED_RETURN_IF_ERROR(ForEachMember([&](absl::string_view name, const JsonNode& value) {
    if (name != key) return absl::OkStatus();
    if (found.has_value()) return value.Error("appears twice");
    found = value;
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<JsonNode> JsonNode::Get(absl::string_view key) const& {
  HEED_ASSIGN_OR_RETURN(std::optional<JsonNode> found, Find(key));
  if (!found.has_value()) return Error(absl::StrCat("has no \"", key, "\""));
  return *found;
}

absl::StatusOr<bool> JsonNode::BoolOr(absl::string_view key, bool absent) const {
  HEED_ASSIGN_OR_RETURN(std::optional<JsonNode> found, Find(key));
  if (!found.has_value() || found->is_null()) return absent;
  return found->Bool();
}

absl::StatusOr<std::string> JsonNode::StringOr(absl::string_view key,
                                               absl::string_view absent) const {
  HEED_ASSIGN_OR_RETURN(std::optional<JsonNode> found, Find(key));
  if (!found.has_value() || found->is_null()) return std::string(absent);
  HEED_ASSIGN_OR_RETURN(absl::string_view text, found->String());
  return std::string(text);
}

absl::StatusOr<absl::string_view> JsonNode::StringAt(absl::string_view key) const {
  HEED_ASSIGN_OR_RETURN(const JsonNode value, Get(key));
  return value.String();
}

absl::StatusOr<bool> JsonNode::BoolAt(absl::string_view key) const {
  HEED_ASSIGN_OR_RETURN(const JsonNode value, Get(key));
  return value.Bool();
}

absl::Status JsonNode::ForEachMember(
    absl::FunctionRef<absl::Status(absl::string_view key, const JsonNode& value)> visit) const {
  dom::object object;
  if (Load(element_).get(object) != simdjson::SUCCESS) return WrongType("an object");
  JsonNode child;
  child.parent_ = this;
  for (const dom::key_value_pair member : object) {
    child.key_ = View(member.key);
    Store(member.value, child.element_);
    HEED_RETURN_IF_ERROR(visit(child.key_, child));
  }
  return absl::OkStatus();
}

absl::Status JsonNode::ForEachElement(
    absl::FunctionRef<absl::Status(int64_t index, const JsonNode& value)> visit) const {
  dom::array array;
  if (Load(element_).get(array) != simdjson::SUCCESS) return WrongType("an array");
  JsonNode child;
  child.parent_ = this;
  for (const dom::element element : array) {
    ++child.index_;
    Store(element, child.element_);
    HEED_RETURN_IF_ERROR(visit(child.index_, child));
  }
  return absl::OkStatus();
}

struct JsonTree::Parser {
  dom::parser parser;
};

JsonTree::JsonTree() : parser_(std::make_unique<Parser>()) {}
JsonTree::~JsonTree() = default;

absl::StatusOr<std::unique_ptr<JsonTree>> JsonTree::Parse(absl::string_view json) {
  if (json.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", json.size(), " bytes; at most ", kMaxBytes, " are read"));
  }
  auto document = std::unique_ptr<JsonTree>(new JsonTree());
  dom::parser& parser = document->parser_->parser;
  simdjson::error_code error = parser.allocate(json.size(), kMaxDepth);
  dom::element root;
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error == simdjson::DEPTH_ERROR) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file is nested deeper than ", kMaxDepth, " levels"));
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file is not valid JSON: ", simdjson::error_message(error)));
  }
  Store(root, document->root_.element_);
  return document;
}

}  // namespace heed
