#include "model/checkpoint/pooling.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/config_reader.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/file.h"

namespace heed {
namespace {

constexpr char kModulesFile[] = "modules.json";
constexpr int64_t kMaxFileBytes = int64_t{1} << 20;
constexpr char kKnownModes[] = "\"mean\", \"cls\" and \"lasttoken\"";

struct NamedMode {
  absl::string_view key;   // of the switch that older files have
  absl::string_view name;  // the value of pooling_mode in newer ones
  PoolingKind kind;
};

constexpr NamedMode kModes[] = {
    {"pooling_mode_mean_tokens", "mean", PoolingKind::kMean},
    {"pooling_mode_cls_token", "cls", PoolingKind::kFirst},
    {"pooling_mode_lasttoken", "lasttoken", PoolingKind::kLast},
};

absl::StatusOr<JsonDocument> ReadJson(const std::string& folder, const std::string& name) {
  HEED_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        File::Open(absl::StrCat(folder, "/", name), name));
  HEED_ASSIGN_OR_RETURN(const std::string text, file->ReadAll(kMaxFileBytes));
  return JsonDocument::Parse(name, text);
}

// "Pooling" of "sentence_transformers.models.Pooling": releases differ in what stands before it.
absl::StatusOr<absl::string_view> ModuleType(const JsonValue& module) {
  HEED_ASSIGN_OR_RETURN(const JsonValue type, module.Get("type"));
  HEED_ASSIGN_OR_RETURN(const absl::string_view text, type.String());
  return text.substr(text.rfind('.') + 1);
}

// OK when the module at `index` is what heed computes there.
absl::Status CheckModule(const JsonValue& module, size_t index) {
  constexpr absl::string_view kOrder[] = {"Transformer", "Pooling", "Normalize"};
  HEED_ASSIGN_OR_RETURN(const absl::string_view type, ModuleType(module));
  if (index < std::size(kOrder) && type == kOrder[index]) return absl::OkStatus();
  return UnsupportedValue(*module.Find("type"),
                          "a Transformer, a Pooling and a Normalize module, in this order");
}

// The list is untrusted, so a module may only be a folder of this one.
absl::StatusOr<std::string> ModuleFolder(const JsonValue& module) {
  HEED_ASSIGN_OR_RETURN(const JsonValue path, module.Get("path"));
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, path.String());
  const bool is_plain = name.find_first_of(absl::string_view("/\\\0", 3)) == name.npos &&
                        !absl::StrContains(name, "..") && !name.empty() && name != ".";
  if (is_plain) return std::string(name);
  return path.Unexpected("the plain name of a folder beside it, without a path or \"..\"");
}

absl::StatusOr<PoolingKind> ReadNamedMode(const JsonValue& value) {
  HEED_ASSIGN_OR_RETURN(const absl::string_view name, value.String());
  for (const NamedMode& mode : kModes) {
    if (mode.name == name) return mode.kind;
  }
  return UnsupportedValue(value, kKnownModes);
}

std::optional<PoolingKind> KindOfSwitch(absl::string_view key) {
  for (const NamedMode& mode : kModes) {
    if (mode.key == key) return mode.kind;
  }
  return std::nullopt;
}

// The switches "pooling_mode_...", of which one must be on: several would make one long vector of
// several ways of pooling.
absl::StatusOr<PoolingKind> ReadSwitches(const JsonValue& config) {
  HEED_ASSIGN_OR_RETURN(const auto members, config.Object());
  std::optional<PoolingKind> kind;
  for (const auto& [key, value] : members) {
    if (!absl::StartsWith(key, "pooling_mode_")) continue;
    HEED_ASSIGN_OR_RETURN(const bool is_on, value.Bool());
    if (!is_on) continue;
    const std::optional<PoolingKind> known = KindOfSwitch(key);
    if (!known.has_value() || kind.has_value()) {
      return UnsupportedValue(value,
                              "exactly one of pooling_mode_mean_tokens, pooling_mode_cls_token "
                              "and pooling_mode_lasttoken");
    }
    kind = known;
  }
  if (kind.has_value()) return *kind;
  return CheckpointInvalid(
      absl::StrCat(config.Where(),
                   ": says no way of pooling; one of pooling_mode_mean_tokens, "
                   "pooling_mode_cls_token and pooling_mode_lasttoken must be "
                   "true"));
}

absl::StatusOr<PoolingKind> ReadPoolingModule(const std::string& folder, const JsonValue& module,
                                              int64_t width) {
  HEED_ASSIGN_OR_RETURN(const std::string name, ModuleFolder(module));
  HEED_ASSIGN_OR_RETURN(const JsonDocument document,
                        ReadJson(folder, absl::StrCat(name, "/config.json")));
  const ConfigReader config(document.root());
  HEED_RETURN_IF_ERROR(document.root().Object().status());
  HEED_RETURN_IF_ERROR(
      config
          .OptionalInt({"word_embedding_dimension", "embedding_dimension"}, IntRange{width, width})
          .status());
  const std::optional<JsonValue> mode = config.FindNonNull("pooling_mode");
  return mode.has_value() ? ReadNamedMode(*mode) : ReadSwitches(document.root());
}

}  // namespace

absl::StatusOr<std::optional<PoolingConfig>> ReadPoolingConfig(const std::string& folder,
                                                               int64_t width) {
  if (!PathExists(absl::StrCat(folder, "/", kModulesFile))) return std::nullopt;
  HEED_ASSIGN_OR_RETURN(const JsonDocument document, ReadJson(folder, kModulesFile));
  HEED_ASSIGN_OR_RETURN(const std::vector<JsonValue> modules, document.root().Array());
  for (size_t i = 0; i < modules.size(); ++i) {
    HEED_RETURN_IF_ERROR(CheckModule(modules[i], i));
  }
  if (modules.size() < 2) {
    return CheckpointInvalid(absl::StrCat(kModulesFile, ": lists ", modules.size(),
                                          " modules; a Transformer and a Pooling module must be "
                                          "there"));
  }
  HEED_ASSIGN_OR_RETURN(const PoolingKind kind, ReadPoolingModule(folder, modules[1], width));
  return PoolingConfig{kind, modules.size() > 2};
}

}  // namespace heed
