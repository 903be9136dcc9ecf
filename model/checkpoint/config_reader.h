// Typed, ranged lookups in config.json, where the same fact has several names.
#ifndef HEED_MODEL_CHECKPOINT_CONFIG_READER_H_
#define HEED_MODEL_CHECKPOINT_CONFIG_READER_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"

namespace heed {

struct IntRange {
  int64_t min = 1;
  int64_t max = 1;
};

struct DoubleRange {
  double min = 0;
  double max = 0;
};

// Lookups are by a list of names for one fact. Names that are both present must agree. Absent keys
// take the default; values of the wrong type or outside the range, null included, are
// INVALID_ARGUMENT.
class ConfigReader {
 public:
  using Keys = std::initializer_list<absl::string_view>;

  // `object` is borrowed from its document.
  explicit ConfigReader(JsonValue object) : object_(std::move(object)) {}

  const JsonValue& object() const { return object_; }

  absl::StatusOr<int64_t> Int(Keys keys, int64_t fallback, IntRange range) const;
  // Null counts as absent.
  absl::StatusOr<std::optional<int64_t>> OptionalInt(Keys keys, IntRange range) const;
  absl::StatusOr<double> Double(Keys keys, double fallback, DoubleRange range) const;
  // Null counts as absent here and below: transformers writes it for "not set".
  absl::StatusOr<bool> Bool(absl::string_view key, bool fallback) const;
  absl::StatusOr<std::string> String(Keys keys, absl::string_view fallback) const;

  // The value of the first name that is present, null or not.
  absl::StatusOr<std::optional<JsonValue>> Find(Keys keys) const;
  // The value of `key` unless it is absent or null.
  std::optional<JsonValue> FindNonNull(absl::string_view key) const;

 private:
  JsonValue object_;
};

// `value` as an integer in `range`.
absl::StatusOr<int64_t> IntInRange(const JsonValue& value, IntRange range);

// UNIMPLEMENTED "FILE: PATH is VALUE; heed supports SUPPORTED".
absl::Status UnsupportedValue(const JsonValue& value, absl::string_view supported);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_CONFIG_READER_H_
