#include "client/cli/verbs/describe_path.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace heed::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kServer[] = "heed-server";
// Where it is from this program's folder: installed, and in a build tree.
constexpr const char* kPlaces[] = {"heed-server", "../../server/heed-server"};

// The folder of this program; empty when it cannot be told.
fs::path OwnFolder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

}  // namespace

bool IsPlainlyAPath(const std::string& argument) {
  return absl::StrContains(argument, '/') || absl::EndsWithIgnoreCase(argument, ".gguf") ||
         absl::EndsWithIgnoreCase(argument, ".safetensors");
}

bool ExistsOnDisk(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::Status DescribePath(const std::string& path, bool json) {
  const std::string describe = absl::StrCat("--describe=", path);
  std::vector<const char*> words = {kServer, describe.c_str()};
  if (json) words.push_back("--json");
  words.push_back(nullptr);
  char* const* arguments = const_cast<char* const*>(words.data());
  const fs::path folder = OwnFolder();
  for (const char* const place : kPlaces) {
    if (!folder.empty()) execv((folder / place).c_str(), arguments);
  }
  execvp(kServer, arguments);
  return absl::NotFoundError(absl::StrCat(
      "describing a model on disk takes ", kServer, ", which is neither beside heed",
      folder.empty() ? "" : absl::StrCat(", in ", folder.string(), ","), " nor in PATH"));
}

}  // namespace heed::cli
