#include "model/checkpoint/json.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

namespace dom = simdjson::dom;

using Handle = std::array<uintptr_t, 2>;

static_assert(sizeof(dom::element) == sizeof(Handle));

dom::element ToElement(const Handle& handle) {
  return std::bit_cast<dom::element>(handle);
}
Handle ToHandle(const dom::element& element) {
  return std::bit_cast<Handle>(element);
}

// The longest prefix of `text` of at most `size` bytes that does not cut a character.
absl::string_view CutUtf8(absl::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

std::string JoinPath(absl::string_view path, absl::string_view key) {
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

std::string Where(absl::string_view file, absl::string_view path) {
  return path.empty() ? std::string(file) : absl::StrCat(file, ": ", path);
}

// The library's words for the commonest failures are about its own insides.
std::string Explain(simdjson::error_code code) {
  switch (code) {
    case simdjson::EMPTY:
      return "the file is empty";
    case simdjson::UTF8_ERROR:
      return "the text is not valid UTF-8";
    case simdjson::DEPTH_ERROR:
      return absl::StrCat("values are nested more than ", kMaxJsonDepth, " deep");
    case simdjson::NUMBER_ERROR:
      return "a number is malformed or does not fit in 64 bits";
    case simdjson::UNCLOSED_STRING:
      return "a string is not closed";
    case simdjson::UNESCAPED_CHARS:
      return "a string holds a control character";
    case simdjson::STRING_ERROR:
      return "a string holds a bad escape";
    default:
      return simdjson::error_message(code);
  }
}

absl::Status CheckKeysAndDepth(absl::string_view file, const dom::element& element, int depth,
                               const std::string& path);

absl::Status CheckObject(absl::string_view file, const dom::object& object, int depth,
                         const std::string& path) {
  std::vector<absl::string_view> keys;
  for (const auto& [key, value] : object) {
    keys.emplace_back(key.data(), key.size());
    if (!value.is_object() && !value.is_array()) continue;
    HEED_RETURN_IF_ERROR(CheckKeysAndDepth(file, value, depth + 1, JoinPath(path, keys.back())));
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return absl::OkStatus();
  return CheckpointInvalid(absl::StrCat(Where(file, path), path.empty() ? ": " : " ",
                                        "has the key ", Quoted(*twice),
                                        " more than once; every key must be unique"));
}

absl::Status CheckKeysAndDepth(absl::string_view file, const dom::element& element, int depth,
                               const std::string& path) {
  if (depth > kMaxJsonDepth) {
    return CheckpointInvalid(
        absl::StrCat(file, ": not valid JSON: ", Explain(simdjson::DEPTH_ERROR)));
  }
  dom::object object;
  if (!element.get(object)) return CheckObject(file, object, depth, path);
  dom::array array;
  if (element.get(array)) return absl::OkStatus();
  size_t index = 0;
  for (const dom::element value : array) {
    if (value.is_object() || value.is_array()) {
      HEED_RETURN_IF_ERROR(
          CheckKeysAndDepth(file, value, depth + 1, absl::StrCat(path, "[", index, "]")));
    }
    ++index;
  }
  return absl::OkStatus();
}

}  // namespace

std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 160;
  const absl::string_view shown = CutUtf8(text, kLongest);
  return absl::StrCat("\"", absl::Utf8SafeCEscape(shown), shown.size() < text.size() ? "..." : "",
                      "\"");
}

bool JsonValue::IsNull() const {
  return ToElement(handle_).is_null();
}
bool JsonValue::IsString() const {
  return ToElement(handle_).is_string();
}
bool JsonValue::IsArray() const {
  return ToElement(handle_).is_array();
}
bool JsonValue::IsObject() const {
  return ToElement(handle_).is_object();
}

absl::StatusOr<bool> JsonValue::Bool() const {
  bool value = false;
  if (ToElement(handle_).get(value)) return Unexpected("true or false");
  return value;
}

absl::StatusOr<int64_t> JsonValue::Int() const {
  int64_t value = 0;
  if (ToElement(handle_).get(value)) return Unexpected("an integer below 2^63");
  return value;
}

absl::StatusOr<double> JsonValue::Double() const {
  double value = 0;
  if (ToElement(handle_).get(value)) return Unexpected("a number");
  return value;
}

absl::StatusOr<absl::string_view> JsonValue::String() const {
  std::string_view value;
  if (ToElement(handle_).get(value)) return Unexpected("a string");
  return absl::string_view(value.data(), value.size());
}

absl::StatusOr<std::vector<JsonValue>> JsonValue::Array() const {
  dom::array array;
  if (ToElement(handle_).get(array)) return Unexpected("a list");
  std::vector<JsonValue> values;
  for (const dom::element value : array) values.push_back(Element(ToHandle(value), values.size()));
  return values;
}

absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> JsonValue::Object() const {
  dom::object object;
  if (ToElement(handle_).get(object)) return Unexpected("an object");
  std::vector<std::pair<absl::string_view, JsonValue>> members;
  for (const auto& [key, value] : object) {
    const absl::string_view name(key.data(), key.size());
    members.emplace_back(name, Member(ToHandle(value), name));
  }
  return members;
}

std::optional<JsonValue> JsonValue::Find(absl::string_view key) const {
  dom::object object;
  dom::element value;
  if (ToElement(handle_).get(object)) return std::nullopt;
  if (object.at_key(std::string_view(key.data(), key.size())).get(value)) return std::nullopt;
  return Member(ToHandle(value), key);
}

absl::StatusOr<JsonValue> JsonValue::Get(absl::string_view key) const {
  if (!IsObject()) return Unexpected("an object");
  auto value = Find(key);
  if (value) return *std::move(value);
  return CheckpointInvalid(
      absl::StrCat(Where(), path_.empty() ? ": " : " ", "has no key ", Quoted(key)));
}

std::string JsonValue::ToString() const {
  if (IsString()) return Quoted(*String());
  if (IsObject()) return "an object";
  constexpr size_t kLongest = 80;
  const std::string text = simdjson::minify(ToElement(handle_));
  return text.size() <= kLongest ? text : absl::StrCat(CutUtf8(text, kLongest), "...");
}

absl::Status JsonValue::Unexpected(absl::string_view expected) const {
  return CheckpointInvalid(absl::StrCat(Where(), " is ", ToString(), "; it must be ", expected));
}

std::string JsonValue::Where() const {
  return heed::Where(*file_, path_);
}

JsonValue JsonValue::Member(Handle handle, absl::string_view key) const {
  return JsonValue(handle, file_, JoinPath(path_, key));
}

JsonValue JsonValue::Element(Handle handle, size_t index) const {
  return JsonValue(handle, file_, absl::StrCat(path_, "[", index, "]"));
}

struct JsonDocument::Parsed {
  std::string file;
  dom::parser parser;
  dom::element root;
};

absl::StatusOr<JsonDocument> JsonDocument::Parse(absl::string_view file, absl::string_view text) {
  // Newer libraries skip a byte-order mark, older ones do not, and it is not JSON.
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) {
    return CheckpointInvalid(absl::StrCat(
        file, ": not valid JSON: the file begins with a byte-order mark; save it without one"));
  }
  auto parsed = std::make_unique<Parsed>();
  parsed->file = std::string(file);
  // The exact limit is checked below; this one bounds the library's own stack.
  simdjson::error_code error =
      parsed->parser.allocate(std::max<size_t>(text.size(), 64), 2 * kMaxJsonDepth);
  if (!error) error = parsed->parser.parse(text.data(), text.size()).get(parsed->root);
  if (error) {
    return CheckpointInvalid(absl::StrCat(file, ": not valid JSON: ", Explain(error)));
  }
  HEED_RETURN_IF_ERROR(CheckKeysAndDepth(file, parsed->root, 1, ""));
  return JsonDocument(std::move(parsed));
}

JsonDocument::JsonDocument(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonValue JsonDocument::root() const {
  return JsonValue(ToHandle(parsed_->root), &parsed_->file, "");
}

}  // namespace heed
