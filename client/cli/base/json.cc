#include "client/cli/base/json.h"

#include <utf8proc.h>

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace heed::cli {
namespace {

template <typename T>
std::string ShortestNumber(T value) {
  if (!std::isfinite(value)) return "null";
  char buffer[32];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, result.ptr);
}

// The escaped form of a character that needs one; empty for the others.
std::string Escaped(utf8proc_int32_t code) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      break;
  }
  const bool escape = code < 0x20 || code == 0x7F || code == '<' || code == '>' || code == '&' ||
                      code == 0x2028 || code == 0x2029;
  return escape ? absl::StrFormat("\\u%04x", static_cast<int>(code)) : "";
}

}  // namespace

std::string JsonString(absl::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                         static_cast<utf8proc_ssize_t>(text.size()), &code);
    const std::string escaped = length > 0 ? Escaped(code) : "\xEF\xBF\xBD";
    const size_t consumed = length > 0 ? length : 1;
    absl::StrAppend(&result, escaped.empty() ? text.substr(0, consumed) : escaped);
    text.remove_prefix(consumed);
  }
  return result + "\"";
}

std::string JsonNumber(double value) {
  return ShortestNumber(value);
}

void JsonWriter::BeforeValue() {
  if (!after_key_ && needs_comma_.back()) out_ << ",";
  needs_comma_.back() = true;
  after_key_ = false;
}

JsonWriter& JsonWriter::BeginObject() {
  BeforeValue();
  needs_comma_.push_back(false);
  out_ << "{";
  return *this;
}

JsonWriter& JsonWriter::EndObject() {
  needs_comma_.pop_back();
  out_ << "}";
  return *this;
}

JsonWriter& JsonWriter::BeginArray() {
  BeforeValue();
  needs_comma_.push_back(false);
  out_ << "[";
  return *this;
}

JsonWriter& JsonWriter::EndArray() {
  needs_comma_.pop_back();
  out_ << "]";
  return *this;
}

JsonWriter& JsonWriter::Key(absl::string_view key) {
  BeforeValue();
  after_key_ = true;
  out_ << JsonString(key) << ":";
  return *this;
}

JsonWriter& JsonWriter::String(absl::string_view value) {
  BeforeValue();
  out_ << JsonString(value);
  return *this;
}

JsonWriter& JsonWriter::Number(double value) {
  BeforeValue();
  out_ << ShortestNumber(value);
  return *this;
}

JsonWriter& JsonWriter::Float(float value) {
  BeforeValue();
  out_ << ShortestNumber(value);
  return *this;
}

JsonWriter& JsonWriter::Int(int64_t value) {
  BeforeValue();
  out_ << value;
  return *this;
}

JsonWriter& JsonWriter::Bool(bool value) {
  BeforeValue();
  out_ << (value ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::Null() {
  BeforeValue();
  out_ << "null";
  return *this;
}

JsonWriter& JsonWriter::Raw(absl::string_view json) {
  BeforeValue();
  out_ << absl::StrReplaceAll(json, {{"<", "\\u003c"}});
  return *this;
}

void JsonWriter::EndLine() {
  out_ << "\n";
  needs_comma_.back() = false;
}

}  // namespace heed::cli
