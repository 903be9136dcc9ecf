#include "model/checkpoint/config_reader.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {

absl::StatusOr<int64_t> IntInRange(const JsonValue& value, IntRange range) {
  const absl::StatusOr<int64_t> number = value.Int();
  if (number.ok() && *number >= range.min && *number <= range.max) return *number;
  return value.Unexpected(absl::StrCat("an integer from ", range.min, " to ", range.max));
}

absl::Status UnsupportedValue(const JsonValue& value, absl::string_view supported) {
  return CheckpointUnsupported(
      absl::StrCat(value.Where(), " is ", value.ToString(), "; heed supports ", supported));
}

absl::StatusOr<std::optional<JsonValue>> ConfigReader::Find(Keys keys) const {
  std::optional<JsonValue> found;
  for (const absl::string_view key : keys) {
    const std::optional<JsonValue> value = object_.Find(key);
    if (!value) continue;
    if (found && found->ToString() != value->ToString()) {
      return CheckpointInvalid(absl::StrCat(found->Where(), " is ", found->ToString(), ", but ",
                                            key, " is ", value->ToString(),
                                            "; they name the same fact and must agree"));
    }
    if (!found) found = value;
  }
  return found;
}

std::optional<JsonValue> ConfigReader::FindNonNull(absl::string_view key) const {
  std::optional<JsonValue> value = object_.Find(key);
  if (value && value->IsNull()) value.reset();
  return value;
}

absl::StatusOr<int64_t> ConfigReader::Int(Keys keys, int64_t fallback, IntRange range) const {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, Find(keys));
  if (!value) return fallback;
  return IntInRange(*value, range);
}

absl::StatusOr<std::optional<int64_t>> ConfigReader::OptionalInt(Keys keys, IntRange range) const {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, Find(keys));
  if (!value || value->IsNull()) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(const int64_t number, IntInRange(*value, range));
  return number;
}

absl::StatusOr<double> ConfigReader::Double(Keys keys, double fallback, DoubleRange range) const {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, Find(keys));
  if (!value) return fallback;
  const absl::StatusOr<double> number = value->Double();
  if (number.ok() && *number >= range.min && *number <= range.max) return *number;
  return value->Unexpected(absl::StrFormat("a number from %g to %g", range.min, range.max));
}

absl::StatusOr<bool> ConfigReader::Bool(absl::string_view key, bool fallback) const {
  const std::optional<JsonValue> value = FindNonNull(key);
  if (!value) return fallback;
  return value->Bool();
}

absl::StatusOr<std::string> ConfigReader::String(Keys keys, absl::string_view fallback) const {
  HEED_ASSIGN_OR_RETURN(const std::optional<JsonValue> value, Find(keys));
  if (!value || value->IsNull()) return std::string(fallback);
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, value->String());
  return std::string(text);
}

}  // namespace heed
