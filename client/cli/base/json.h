// Writes JSON, as much of it as the command line needs.
#ifndef HEED_CLIENT_CLI_BASE_JSON_H_
#define HEED_CLIENT_CLI_BASE_JSON_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace heed::cli {

// `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; `<`, `>` and `&`
// are escaped, so that the result may stand inside an HTML script element.
std::string JsonString(absl::string_view text);

// The shortest number that reads back as `value`; null for infinities and NaN, which JSON does not
// have.
std::string JsonNumber(double value);

// Writes one value, piece by piece, on one line. The caller opens and closes objects and arrays in
// pairs and gives a key before each value of an object.
class JsonWriter {
 public:
  explicit JsonWriter(std::ostream& out) : out_(out) {}

  JsonWriter& BeginObject();
  JsonWriter& EndObject();
  JsonWriter& BeginArray();
  JsonWriter& EndArray();
  JsonWriter& Key(absl::string_view key);
  JsonWriter& String(absl::string_view value);
  JsonWriter& Number(double value);
  JsonWriter& Float(float value);  // shortest digits that read back as the same float
  JsonWriter& Int(int64_t value);
  JsonWriter& Bool(bool value);
  JsonWriter& Null();
  // A value that is JSON already. `<`, which only texts hold, is escaped as in JsonString.
  JsonWriter& Raw(absl::string_view json);

  // A line feed after a whole value.
  void EndLine();

 private:
  void BeforeValue();

  std::ostream& out_;
  std::vector<bool> needs_comma_ = {false};  // for each open object or array
  bool after_key_ = false;
};

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_JSON_H_
