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

std::string QuotedList(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const std::string& name) {
    absl::StrAppend(out, Quoted(name));
  });
}

}  // namespace

absl::StatusOr<CheckpointPath> FindCheckpoint(const std::string& path) {
  if (!IsFolder(path)) return CheckpointPath{path, IsGgufName(path)};
  if (HasSafetensors(path)) return CheckpointPath{path, false};
  HEED_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(path));
  const std::vector<std::string> models = GgufModelsAmong(names);
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
