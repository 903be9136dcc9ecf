#include "client/cli/base/output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace heed::cli {
namespace {

absl::Status CannotWrite(const std::string& path, const std::string& why) {
  return absl::UnknownError(absl::StrCat("cannot write ", path, ": ", why));
}

// Why a write failed that the stream only knows to have failed: the system's word for it, where it
// is about the disk, or `otherwise`.
std::string WhyNotWritten(int error, absl::string_view otherwise) {
  const bool is_of_disk = error == ENOSPC || error == EDQUOT || error == EFBIG || error == EIO;
  return is_of_disk ? std::strerror(error) : std::string(otherwise);
}

// A pipe, a device or a symbolic link is not to be replaced by a finished file; it is written
// straight.
bool IsPlainTarget(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::symlink_status(path, error);
  return status.type() == std::filesystem::file_type::not_found ||
         status.type() == std::filesystem::file_type::regular;
}

}  // namespace

absl::Status WriteOutputFile(const Session& session, const std::string& path,
                             const std::string& what,
                             absl::FunctionRef<absl::Status(std::ostream&)> write) {
  if (path.empty()) return UsageError("the file to write has no name.");
  if (path == "-") return write(session.out());
  const bool plain = IsPlainTarget(path);
  const std::string target = plain ? path + ".part" : path;
  std::ofstream file(target, std::ios::binary | std::ios::trunc);
  if (!file) return CannotWrite(path, std::strerror(errno));
  errno = 0;
  absl::Status status = write(file);
  file.close();
  if (status.ok() && !file) status = absl::DataLossError("not everything could be written");
  if (absl::IsDataLoss(status)) {
    status = absl::DataLossError(WhyNotWritten(errno, status.message()));
  }
  if (status.ok() && plain && std::rename(target.c_str(), path.c_str()) != 0) {
    status = absl::UnknownError(std::strerror(errno));
  }
  if (!status.ok()) {
    if (plain) std::remove(target.c_str());
    return CannotWrite(path, std::string(status.message()));
  }
  session.err() << "heed: wrote " << path << " (" << what << ")\n";
  return absl::OkStatus();
}

}  // namespace heed::cli
