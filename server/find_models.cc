#include "server/find_models.h"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/folder_check.h"
#include "model/checkpoint/gguf_files.h"
#include "server/engine/registry.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

bool HasOneOf(const std::string& folder, std::initializer_list<const char*> files) {
  return std::any_of(files.begin(), files.end(),
                     [&](const char* file) { return PathExists(absl::StrCat(folder, "/", file)); });
}

absl::Status Add(const std::string& path, const std::string& name_path,
                 std::vector<ModelSource>* found) {
  std::string name = ModelNameOf(name_path);
  if (name.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": no name for a model can be made of this; rename it, or give it one: --model=name=",
        path));
  }
  found->push_back({std::move(name), path});
  return absl::OkStatus();
}

absl::Status AddFolder(const std::string& folder, absl::Span<const std::string> names,
                       std::vector<ModelSource>* found) {
  const std::vector<std::string> ggufs = GgufModelsAmong(names);
  if (HasSafetensors(folder) || ggufs.empty()) {
    // A model, or what is left of one.
    return HasOneOf(folder, {kConfigFile, kWeightsFile, kIndexFile, "tokenizer.json"})
               ? Add(folder, folder, found)
               : absl::OkStatus();
  }
  if (ggufs.size() == 1) return Add(folder, folder, found);
  for (const std::string& file : ggufs) {
    HEED_RETURN_IF_ERROR(Add(absl::StrCat(folder, "/", file), file, found));
  }
  return absl::OkStatus();
}

// The default model first, then the ladder from its lowest rung, then all others.
size_t ShippedOrder(absl::string_view name) {
  constexpr absl::string_view kOrder[] = {"decoder",   "last-word",     "average", "weighted",
                                          "attention", "attention-pos", "encoder"};
  return std::find(std::begin(kOrder), std::end(kOrder), name) - std::begin(kOrder);
}

std::string WhyNone(const std::string& models_dir, const absl::Status& listed) {
  if (listed.ok()) return "a model is a folder with a config.json, or a GGUF file";
  const bool is_other = PathExists(models_dir) && !IsFolder(models_dir);
  return is_other ? "it is not a folder" : std::string(listed.message());
}

}  // namespace

std::string ModelNameOf(const std::string& path) {
  fs::path last = fs::path(path).lexically_normal();
  if (!last.has_filename()) last = last.parent_path();
  std::string name = last.filename().string();
  if (IsGgufName(name)) {
    const std::optional<GgufPartName> part = ParseGgufPartName(name);
    name = part ? part->prefix : name.substr(0, name.size() - absl::string_view(".gguf").size());
  }
  absl::AsciiStrToLower(&name);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '_') c = '-';
  }
  name.erase(0, std::min(name.find_first_not_of("-._"), name.size()));
  name = name.substr(0, 64);
  name.erase(name.find_last_not_of("-._") + 1);
  return name;
}

absl::StatusOr<std::vector<ModelSource>> FindModels(const std::string& models_dir,
                                                    std::vector<std::string>* warnings) {
  const absl::StatusOr<std::vector<std::string>> listed = ListFolder(models_dir);
  const std::vector<std::string> names = listed.value_or(std::vector<std::string>());
  std::vector<ModelSource> found;
  for (const std::string& name : names) {
    const std::string path = (fs::path(models_dir) / name).string();
    if (name[0] == '.' || !IsFolder(path)) continue;
    const absl::StatusOr<std::vector<std::string>> files = ListFolder(path);
    if (files.ok()) {
      HEED_RETURN_IF_ERROR(AddFolder(path, *files, &found));
    } else {
      warnings->push_back(absl::StrCat(path, ": ", files.status().message()));
    }
  }
  for (const std::string& file : GgufModelsAmong(names)) {
    const std::string path = (fs::path(models_dir) / file).string();
    if (file[0] == '.' || IsFolder(path)) continue;
    HEED_RETURN_IF_ERROR(Add(path, file, &found));
  }
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no model in ", models_dir, ": ",
                     warnings->empty() ? WhyNone(models_dir, listed.status()) : warnings->front()));
  }
  HEED_RETURN_IF_ERROR(CheckDistinctNames(found));
  std::sort(found.begin(), found.end(), [](const ModelSource& a, const ModelSource& b) {
    return std::pair(ShippedOrder(a.name), a.name) < std::pair(ShippedOrder(b.name), b.name);
  });
  return found;
}

absl::Status CheckDistinctNames(absl::Span<const ModelSource> models) {
  std::map<absl::string_view, absl::string_view> paths;
  for (const ModelSource& model : models) {
    const auto [other, is_new] = paths.emplace(model.name, model.folder);
    if (is_new) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "two models are called \"", model.name, "\": ", other->second, " and ", model.folder,
        "; rename one of them, or serve them by names of their own: --model=other=", model.folder));
  }
  return absl::OkStatus();
}

std::string ShippedModelsDir() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path candidates[] = {program.parent_path().parent_path() / "share" / "heed" / "zoo",
                                 HEED_ZOO_DIR};
  for (const fs::path& folder : candidates) {
    if (fs::is_directory(folder, error)) return folder.string();
  }
  return "";
}

}  // namespace heed
