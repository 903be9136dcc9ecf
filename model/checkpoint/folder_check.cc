#include "model/checkpoint/folder_check.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "model/base/json.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"
#include "model/checkpoint/file.h"
#include "model/checkpoint/gguf_files.h"

namespace heed {
namespace {

std::string Contents(absl::Span<const std::string> names) {
  constexpr size_t kMost = 8;
  const std::string list = absl::StrJoin(
      names.subspan(0, kMost), ", ",
      [](std::string* out, const std::string& name) { absl::StrAppend(out, Quoted(name)); });
  return names.size() > kMost ? absl::StrCat(list, " and ", names.size() - kMost, " more") : list;
}

bool IsPickle(absl::string_view name) {
  constexpr absl::string_view kEndings[] = {".bin", ".pt", ".pth", ".ckpt", ".pkl"};
  return std::any_of(std::begin(kEndings), std::end(kEndings), [name](absl::string_view ending) {
    return absl::EndsWithIgnoreCase(name, ending);
  });
}

bool IsSafetensors(absl::string_view name) {
  return absl::EndsWithIgnoreCase(name, ".safetensors");
}

// The first file with weights in a format that heed does not read.
std::optional<std::string> FindOtherWeights(absl::Span<const std::string> names) {
  const auto found = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return IsPickle(name) || IsGgufName(name);
  });
  if (found == names.end()) return std::nullopt;
  return *found;
}

std::string Advice(absl::string_view name) {
  if (IsPickle(name)) {
    return absl::StrCat(Quoted(name),
                        " is a pickle, which can run code when it is read, so heed does not read "
                        "it; convert it to safetensors, for example with transformers: "
                        "AutoModelForCausalLM.from_pretrained(\"OLD\").save_pretrained(\"NEW\")");
  }
  if (IsSafetensors(name)) {
    return absl::StrCat(Quoted(name), " holds weights alone; give the folder's path");
  }
  return absl::StrCat(Quoted(name), " is a GGUF file; give its own path instead of the folder's");
}

std::string AdviceSentence(const std::optional<std::string>& name) {
  return name ? absl::StrCat(". ", Advice(*name)) : "";
}

absl::Status NotAFolder(absl::string_view path) {
  const std::string name(path.substr(path.rfind('/') + 1));
  const bool has_other_weights = IsPickle(name) || IsGgufName(name) || IsSafetensors(name);
  return CheckpointInvalid(
      absl::StrCat("is not a folder; it must be a Hugging Face folder with ", kConfigFile, " and ",
                   kWeightsFile, ", or a file whose name ends in .gguf",
                   AdviceSentence(has_other_weights ? std::optional(name) : std::nullopt)));
}

absl::Status ListError(const std::string& folder, int error) {
  if (error == ENOTDIR && PathExists(folder)) return NotAFolder(folder);
  if (error == ENOENT || error == ENOTDIR) return CheckpointNotFound("there is no such folder");
  return absl::ErrnoToStatus(error, "the folder cannot be read");
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const entries = opendir(folder.c_str());
  if (entries == nullptr) return ListError(folder, errno);
  while (const dirent* entry = readdir(entries)) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  closedir(entries);
  std::sort(names.begin(), names.end());
  return names;
}

bool IsFolder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool HasSafetensors(const std::string& folder) {
  return PathExists(absl::StrCat(folder, "/", kWeightsFile)) ||
         PathExists(absl::StrCat(folder, "/", kIndexFile));
}

std::vector<std::string> GgufModelsAmong(absl::Span<const std::string> names) {
  std::vector<std::string> models;
  for (const std::string& name : names) {
    if (!IsGgufName(name)) continue;
    const std::optional<GgufPartName> part = ParseGgufPartName(name);
    const std::string first = part ? part->Of(1) : name;
    if (std::find(models.begin(), models.end(), first) == models.end()) models.push_back(first);
  }
  return models;
}

absl::Status CheckFolder(const std::string& folder) {
  if (PathExists(absl::StrCat(folder, "/", kConfigFile))) return absl::OkStatus();
  HEED_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  if (names.empty()) return CheckpointNotFound("the folder is empty");
  return CheckpointNotFound(absl::StrCat("there is no ", kConfigFile,
                                         ", which a Hugging Face folder must have, among ",
                                         Contents(names), AdviceSentence(FindOtherWeights(names))));
}

absl::Status ExplainMissingWeights(const std::string& folder) {
  HEED_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(folder));
  if (const std::optional<std::string> other = FindOtherWeights(names)) {
    return CheckpointUnsupported(absl::StrCat("there is no ", kWeightsFile, AdviceSentence(other)));
  }
  return CheckpointNotFound(absl::StrCat("there is neither ", kWeightsFile, " nor ", kIndexFile,
                                         " among ", Contents(names)));
}

}  // namespace heed
