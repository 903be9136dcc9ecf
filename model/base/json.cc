#include "model/base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/base/utf8.h"

namespace heed {

namespace dom = simdjson::dom;

struct ParsedJson {
  std::string file;
  dom::parser parser;
  dom::element root;
};

namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;

using Handle = std::array<uintptr_t, 2>;

static_assert(sizeof(dom::element) == sizeof(Handle));

dom::element ToElement(const Handle& handle) {
  return std::bit_cast<dom::element>(handle);
}
Handle ToHandle(const dom::element& element) {
  return std::bit_cast<Handle>(element);
}

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status Invalid(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID", message);
}

// The longest prefix of `text` of at most `size` bytes that does not cut a character.
absl::string_view CutUtf8(absl::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

// A key as a path shows it.
std::string PathKey(absl::string_view key) {
  constexpr size_t kLongest = 80;
  const absl::string_view shown = CutUtf8(key, kLongest);
  return absl::StrCat(absl::Utf8SafeCEscape(shown), shown.size() < key.size() ? "..." : "");
}

// Looks for `target` in `element` and puts the way to it, from its end, in `steps`. No deeper than
// the library's own limit.
bool FindPath(const dom::element& element, const Handle& target, std::vector<std::string>* steps) {
  if (ToHandle(element) == target) return true;
  dom::object object;
  if (!element.get(object)) {
    for (const auto& [key, value] : object) {
      if (!FindPath(value, target, steps)) continue;
      steps->push_back(absl::StrCat(".", PathKey(View(key))));
      return true;
    }
  }
  dom::array array;
  if (element.get(array)) return false;
  size_t index = 0;
  for (const dom::element value : array) {
    if (FindPath(value, target, steps)) {
      steps->push_back(absl::StrCat("[", index, "]"));
      return true;
    }
    ++index;
  }
  return false;
}

// "rope_parameters.factor", "eos_token_id[1]"; empty for the root.
std::string PathOf(const ParsedJson& document, const Handle& handle) {
  std::vector<std::string> steps;
  FindPath(document.root, handle, &steps);
  std::string path;
  for (size_t i = steps.size(); i-- > 0;) path += steps[i];
  return absl::StartsWith(path, ".") ? path.substr(1) : path;
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

// A key that an object has more than once.
std::optional<absl::string_view> RepeatedKey(const dom::object& object) {
  constexpr size_t kFew = 64;
  std::vector<absl::string_view> keys;
  for (const auto& [key, value] : object) keys.push_back(View(key));
  if (keys.size() > kFew) {
    absl::flat_hash_set<absl::string_view> seen;
    seen.reserve(keys.size());
    for (const absl::string_view key : keys) {
      if (!seen.insert(key).second) return key;
    }
    return std::nullopt;
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return std::nullopt;
  return *twice;
}

class Checker {
 public:
  explicit Checker(const ParsedJson& document) : document_(document) {}

  absl::Status CheckKeysAndDepth(const dom::element& element, int depth) const {
    if (depth > kMaxJsonDepth) {
      return Invalid(
          absl::StrCat(document_.file, ": not valid JSON: ", Explain(simdjson::DEPTH_ERROR)));
    }
    dom::object object;
    if (!element.get(object)) return CheckObject(element, object, depth);
    dom::array array;
    if (element.get(array)) return absl::OkStatus();
    for (const dom::element value : array) HEED_RETURN_IF_ERROR(CheckInner(value, depth));
    return absl::OkStatus();
  }

 private:
  absl::Status CheckInner(const dom::element& value, int depth) const {
    if (!value.is_object() && !value.is_array()) return absl::OkStatus();
    return CheckKeysAndDepth(value, depth + 1);
  }

  absl::Status CheckObject(const dom::element& element, const dom::object& object,
                           int depth) const {
    for (const auto& [key, value] : object) HEED_RETURN_IF_ERROR(CheckInner(value, depth));
    const std::optional<absl::string_view> twice = RepeatedKey(object);
    if (!twice.has_value()) return absl::OkStatus();
    const std::string path = PathOf(document_, ToHandle(element));
    return Invalid(absl::StrCat(document_.file, ": ", path, path.empty() ? "" : " ", "has the key ",
                                Quoted(*twice), " more than once; every key must be unique"));
  }

  const ParsedJson& document_;
};

}  // namespace

std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 160;
  const absl::string_view shown = CutUtf8(text, kLongest);
  const std::string escaped =
      IsValidUtf8(shown) ? absl::Utf8SafeCEscape(shown) : absl::CEscape(shown);
  return absl::StrCat("\"", escaped, shown.size() < text.size() ? "..." : "", "\"");
}

std::string QuoteJson(absl::string_view text) {
  std::string out(1, '"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<int>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

bool JsonValue::IsNull() const {
  return ToElement(handle_).is_null();
}
bool JsonValue::IsString() const {
  return ToElement(handle_).is_string();
}
bool JsonValue::IsNumber() const {
  return ToElement(handle_).is_number();
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

absl::StatusOr<int64_t> JsonValue::Int(int64_t min, int64_t max) const {
  int64_t value = 0;
  if (ToElement(handle_).get(value) || value < min || value > max) {
    return Unexpected(absl::StrCat("an integer from ", min, " to ", max));
  }
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
  return View(value);
}

absl::StatusOr<std::vector<JsonValue>> JsonValue::Array() const {
  std::vector<JsonValue> values;
  HEED_RETURN_IF_ERROR(ForEachElement([&values](int64_t, const JsonValue& value) {
    values.push_back(value);
    return absl::OkStatus();
  }));
  return values;
}

absl::StatusOr<std::vector<std::pair<absl::string_view, JsonValue>>> JsonValue::Object() const {
  std::vector<std::pair<absl::string_view, JsonValue>> members;
  HEED_RETURN_IF_ERROR(ForEachMember([&members](absl::string_view key, const JsonValue& value) {
    members.emplace_back(key, value);
    return absl::OkStatus();
  }));
  return members;
}

absl::Status JsonValue::ForEachMember(
    absl::FunctionRef<absl::Status(absl::string_view key, const JsonValue& value)> visit) const {
  dom::object object;
  if (ToElement(handle_).get(object)) return Unexpected("an object");
  for (const auto& [key, value] : object) {
    HEED_RETURN_IF_ERROR(visit(View(key), JsonValue(ToHandle(value), document_)));
  }
  return absl::OkStatus();
}

absl::Status JsonValue::ForEachElement(
    absl::FunctionRef<absl::Status(int64_t index, const JsonValue& value)> visit) const {
  dom::array array;
  if (ToElement(handle_).get(array)) return Unexpected("a list");
  int64_t index = 0;
  for (const dom::element value : array) {
    HEED_RETURN_IF_ERROR(visit(index++, JsonValue(ToHandle(value), document_)));
  }
  return absl::OkStatus();
}

std::optional<JsonValue> JsonValue::Find(absl::string_view key) const {
  dom::object object;
  dom::element value;
  if (ToElement(handle_).get(object)) return std::nullopt;
  if (object.at_key(std::string_view(key.data(), key.size())).get(value)) return std::nullopt;
  return JsonValue(ToHandle(value), document_);
}

absl::StatusOr<JsonValue> JsonValue::Get(absl::string_view key) const {
  if (!IsObject()) return Unexpected("an object");
  const std::optional<JsonValue> value = Find(key);
  if (value.has_value()) return *value;
  const std::string path = PathOf(*document_, handle_);
  return Invalid(absl::StrCat(document_->file, ": ", path, path.empty() ? "" : " ", "has no key ",
                              Quoted(key)));
}

absl::StatusOr<bool> JsonValue::BoolAt(absl::string_view key) const {
  HEED_ASSIGN_OR_RETURN(const JsonValue value, Get(key));
  return value.Bool();
}

absl::StatusOr<absl::string_view> JsonValue::StringAt(absl::string_view key) const {
  HEED_ASSIGN_OR_RETURN(const JsonValue value, Get(key));
  return value.String();
}

absl::StatusOr<bool> JsonValue::BoolOr(absl::string_view key, bool absent) const {
  const std::optional<JsonValue> value = Find(key);
  if (!value.has_value() || value->IsNull()) return absent;
  return value->Bool();
}

absl::StatusOr<std::string> JsonValue::StringOr(absl::string_view key,
                                                absl::string_view absent) const {
  const std::optional<JsonValue> value = Find(key);
  if (!value.has_value() || value->IsNull()) return std::string(absent);
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, value->String());
  return std::string(text);
}

std::string JsonValue::ToString() const {
  if (IsString()) return Quoted(*String());
  if (IsObject()) return "an object";
  constexpr size_t kLongest = 80;
  const std::string text = simdjson::minify(ToElement(handle_));
  return text.size() <= kLongest ? text : absl::StrCat(CutUtf8(text, kLongest), "...");
}

absl::Status JsonValue::Unexpected(absl::string_view expected) const {
  return Invalid(absl::StrCat(Where(), " is ", ToString(), "; it must be ", expected));
}

absl::Status JsonValue::Error(absl::string_view problem) const {
  return Invalid(absl::StrCat(Where(), ": ", problem));
}

absl::Status JsonValue::Unsupported(absl::string_view problem) const {
  return MakeError(absl::StatusCode::kUnimplemented, "CHECKPOINT_UNSUPPORTED",
                   absl::StrCat(Where(), ": ", problem));
}

std::string JsonValue::Where() const {
  const std::string path = PathOf(*document_, handle_);
  return path.empty() ? document_->file : absl::StrCat(document_->file, ": ", path);
}

absl::StatusOr<JsonDocument> JsonDocument::Parse(absl::string_view file, absl::string_view text) {
  // Newer libraries skip a byte-order mark, older ones do not, and it is not JSON.
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) {
    return Invalid(absl::StrCat(
        file, ": not valid JSON: the file begins with a byte-order mark; save it without one"));
  }
  if (text.size() > kMaxBytes) {
    return Invalid(absl::StrCat(file, ": has ", text.size(), " bytes; at most ", kMaxBytes,
                                " bytes of JSON are read"));
  }
  auto parsed = std::make_unique<ParsedJson>();
  parsed->file = std::string(file);
  // The exact limit is checked below; this one bounds the library's own stack.
  simdjson::error_code error =
      parsed->parser.allocate(std::max<size_t>(text.size(), 64), 2 * kMaxJsonDepth);
  if (!error) error = parsed->parser.parse(text.data(), text.size()).get(parsed->root);
  if (error) return Invalid(absl::StrCat(file, ": not valid JSON: ", Explain(error)));
  HEED_RETURN_IF_ERROR(Checker(*parsed).CheckKeysAndDepth(parsed->root, 1));
  return JsonDocument(std::move(parsed));
}

JsonDocument::JsonDocument(std::unique_ptr<ParsedJson> parsed) : parsed_(std::move(parsed)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonValue JsonDocument::root() const {
  return JsonValue(ToHandle(parsed_->root), parsed_.get());
}

}  // namespace heed
