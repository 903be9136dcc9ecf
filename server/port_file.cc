#include "server/port_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

absl::Status CannotWrite(const std::string& path, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot write --port-file=", path, ": ", why));
}

// Anything but a file, or the place for one, must not be replaced by a file.
bool IsWrittenStraight(const std::string& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  return type != fs::file_type::regular && type != fs::file_type::not_found;
}

std::string UnfinishedFile(const std::string& path) {
  return IsWrittenStraight(path) ? path : path + ".tmp";
}

absl::Status WriteTo(const std::string& target, const std::string& path, absl::string_view text) {
  errno = 0;
  std::ofstream file(target);
  file << text;
  file.close();
  return file.fail() ? CannotWrite(path, std::strerror(errno)) : absl::OkStatus();
}

}  // namespace

absl::Status CheckPortFile(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return CannotWrite(path, "it is a folder; it must be the path of a file");
  }
  if (IsWrittenStraight(path)) return absl::OkStatus();
  const std::string unfinished = UnfinishedFile(path);
  HEED_RETURN_IF_ERROR(WriteTo(unfinished, path, ""));
  std::remove(unfinished.c_str());
  return absl::OkStatus();
}

absl::Status WritePortFile(const std::string& path, int port) {
  if (path.empty()) return absl::OkStatus();
  const std::string target = UnfinishedFile(path);
  HEED_RETURN_IF_ERROR(WriteTo(target, path, absl::StrCat(port, "\n")));
  if (target != path && std::rename(target.c_str(), path.c_str()) != 0) {
    return CannotWrite(path, std::strerror(errno));
  }
  return absl::OkStatus();
}

}  // namespace heed
