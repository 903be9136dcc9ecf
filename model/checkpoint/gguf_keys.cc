#include "model/checkpoint/gguf_keys.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

constexpr DoubleRange kAnyDouble{-1e300, 1e300};

}  // namespace

std::string GgufKeys::FullName(absl::string_view key) const {
  return absl::StrCat(architecture_, ".", key);
}

std::optional<GgufValue> GgufKeys::Find(absl::string_view key) {
  const std::string name = FullName(key);
  std::optional<GgufValue> value = header_.Find(name);
  asked_.insert(name);
  return value;
}

absl::StatusOr<GgufValue> GgufKeys::Get(absl::string_view key) {
  asked_.insert(FullName(key));
  return header_.Get(FullName(key));
}

absl::StatusOr<int64_t> GgufKeys::Int(absl::string_view key, IntRange range,
                                      std::optional<int64_t> fallback) {
  if (fallback && !Find(key)) return *fallback;
  HEED_ASSIGN_OR_RETURN(const GgufValue value, Get(key));
  return value.Int(range);
}

absl::StatusOr<double> GgufKeys::Double(absl::string_view key, DoubleRange range,
                                        std::optional<double> fallback) {
  if (fallback && !Find(key)) return *fallback;
  HEED_ASSIGN_OR_RETURN(const GgufValue value, Get(key));
  return value.Double(range);
}

absl::StatusOr<bool> GgufKeys::Bool(absl::string_view key, bool fallback) {
  const std::optional<GgufValue> value = Find(key);
  return value ? value->Bool() : fallback;
}

absl::StatusOr<int64_t> GgufKeys::IntForAllLayers(absl::string_view key, IntRange range,
                                                  int64_t n_layers,
                                                  std::optional<int64_t> fallback) {
  const std::optional<GgufValue> value = Find(key);
  if (!value || !value->IsArray()) return Int(key, range, fallback);
  HEED_ASSIGN_OR_RETURN(const std::vector<int64_t> values, value->Ints(range));
  if (static_cast<int64_t>(values.size()) != n_layers) {
    return value->Unexpected(
        absl::StrCat("one number, or one for each of the ", n_layers, " layers"));
  }
  const auto other = std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>());
  if (other != values.end()) return value->Unsupported("the same number for all layers");
  return values.front();
}

absl::Status GgufKeys::RequireInt(absl::string_view key, int64_t only) {
  const std::optional<GgufValue> value = Find(key);
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const int64_t number, value->Int({INT64_MIN, INT64_MAX}));
  return number == only ? absl::OkStatus() : value->Unsupported(absl::StrCat(only));
}

absl::Status GgufKeys::RequireDouble(absl::string_view key, double only) {
  const std::optional<GgufValue> value = Find(key);
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const double number, value->Double(kAnyDouble));
  return number == only ? absl::OkStatus() : value->Unsupported(absl::StrCat(only));
}

absl::Status GgufKeys::RequireBool(absl::string_view key, bool only) {
  const std::optional<GgufValue> value = Find(key);
  if (!value) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const bool is_set, value->Bool());
  return is_set == only ? absl::OkStatus() : value->Unsupported(only ? "true" : "false");
}

absl::Status GgufKeys::RefuseTheRest() const {
  for (int64_t i = 0; i < header_.value_count(); ++i) {
    const GgufValue value = header_.value(i);
    const std::string key(value.key());
    if (!absl::StartsWith(key, FullName("")) || asked_.contains(key)) continue;
    return CheckpointUnsupported(absl::StrCat(value.Where(), " is ", value.ToString(),
                                              "; heed does not know this key, which may change the "
                                              "answers"));
  }
  return absl::OkStatus();
}

}  // namespace heed
