#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/folder_check.h"
#include "model/checkpoint/gguf_files.h"

namespace heed {
namespace {

bool IsFolder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool HasSafetensors(const std::string& folder) {
  return PathExists(absl::StrCat(folder, "/", kWeightsFile)) ||
         PathExists(absl::StrCat(folder, "/", kIndexFile));
}

// The GGUF models of a folder, each by its only file or its first part.
std::vector<std::string> ListGgufModels(const std::string& folder) {
  std::vector<std::string> models;
  for (const std::string& name : ListFolder(folder)) {
    if (!IsGgufName(name)) continue;
    const std::optional<GgufPartName> part = ParseGgufPartName(name);
    const std::string first = part ? part->Of(1) : name;
    if (std::find(models.begin(), models.end(), first) == models.end()) models.push_back(first);
  }
  return models;
}

std::string QuotedList(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, Quoted(name));
  });
}

}  // namespace

absl::StatusOr<CheckpointPath> FindCheckpoint(const std::string& path) {
  if (!IsFolder(path)) return CheckpointPath{path, IsGgufName(path)};
  if (HasSafetensors(path)) return CheckpointPath{path, false};
  const std::vector<std::string> models = ListGgufModels(path);
  if (models.empty()) return CheckpointPath{path, false};
  if (models.size() == 1) return CheckpointPath{absl::StrCat(path, "/", models.front()), true};
  return CheckpointInvalid(absl::StrCat("the folder has ", models.size(), " GGUF models: ",
                                        QuotedList(models), "; give the path of one of them"));
}

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(const std::string& path,
                                                           const OpenOptions& options) {
  HEED_ASSIGN_OR_RETURN(const CheckpointPath found, FindCheckpoint(path));
  return found.is_gguf ? OpenGguf(found.path, options) : OpenHuggingFaceFolder(found.path, options);
}

}  // namespace heed
