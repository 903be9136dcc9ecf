#include "model/base/layer_names.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace heed {
namespace {

constexpr std::pair<absl::string_view, WeightFormat> kWeightFormats[] = {
    {"auto", WeightFormat::kAsStored},
    {"f32", WeightFormat::kF32},
    {"f16", WeightFormat::kF16},
    {"int8", WeightFormat::kInt8},
    {"int4", WeightFormat::kInt4}};

constexpr std::pair<absl::string_view, KvType> kKvTypes[] = {
    {"f32", KvType::kF32}, {"f16", KvType::kF16}, {"int8", KvType::kInt8}};

}  // namespace

absl::StatusOr<WeightFormat> ParseWeightFormat(absl::string_view text) {
  for (const auto& [name, format] : kWeightFormats) {
    if (text == name) return format;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not one of auto, f32, f16, int8, int4"));
}

absl::string_view KvTypeName(KvType type) {
  for (const auto& [name, known] : kKvTypes) {
    if (type == known) return name;
  }
  return "";
}

absl::StatusOr<KvType> ParseKvType(absl::string_view text) {
  for (const auto& [name, type] : kKvTypes) {
    if (text == name) return type;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not one of f32, f16, int8"));
}

}  // namespace heed
