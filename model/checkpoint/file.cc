#include "model/checkpoint/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/errors.h"

namespace heed {
namespace {

absl::string_view KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "a special file";
}

absl::Status SystemError(absl::string_view name, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat(name, ": cannot be read"));
}

absl::Status OpenError(const std::string& path, absl::string_view name, int error) {
  if (error != ENOENT && error != ENOTDIR) return SystemError(name, error);
  return CheckpointNotFound(absl::StrCat(
      name, PathExists(path) ? ": is a symbolic link to a file that does not exist; download it"
                             : ": there is no such file"));
}

absl::Status CheckRegular(absl::string_view name, const struct stat& status) {
  if (S_ISREG(status.st_mode)) return absl::OkStatus();
  return CheckpointInvalid(
      absl::StrCat(name, ": is ", KindName(status.st_mode), "; it must be a regular file"));
}

std::string StampOf(absl::string_view name, const struct stat& status) {
  return absl::StrCat(name, absl::string_view("\0", 1), status.st_size, " ", status.st_dev, " ",
                      status.st_ino, " ", status.st_mtim.tv_sec, ".", status.st_mtim.tv_nsec, " ",
                      status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec, "\n");
}

}  // namespace

bool PathExists(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0;
}

absl::StatusOr<std::unique_ptr<File>> File::Open(const std::string& path, absl::string_view name) {
  struct stat status;
  // Opening a device can already do something to it, so look first.
  if (stat(path.c_str(), &status) != 0) return OpenError(path, name, errno);
  HEED_RETURN_IF_ERROR(CheckRegular(name, status));
  // O_NONBLOCK: should it have become a pipe just now, do not wait for its writer.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return OpenError(path, name, errno);
  if (fstat(descriptor, &status) != 0) {
    const int error = errno;
    close(descriptor);
    return SystemError(name, error);
  }
  std::unique_ptr<File> file(new File(descriptor, name, status));
  HEED_RETURN_IF_ERROR(CheckRegular(name, status));
  return file;
}

File::File(int descriptor, absl::string_view name, const struct stat& status)
    : descriptor_(descriptor),
      name_(name),
      size_(status.st_size),
      modified_(status.st_mtim),
      stamp_(StampOf(name, status)) {}

File::~File() {
  close(descriptor_);
}

absl::Status File::Read(int64_t offset, absl::Span<char> out) const {
  constexpr size_t kAtOnce = size_t{1} << 30;  // the kernel's own limit is just under 2 GiB
  while (!out.empty()) {
    const ssize_t n = pread(descriptor_, out.data(), std::min(out.size(), kAtOnce), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(name_, errno);
    if (n == 0) {
      return CheckpointDataLoss(absl::StrCat(name_, ": ends at byte ", offset, ", but it had ",
                                             size_, " bytes when it was opened"));
    }
    offset += n;
    out.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> File::ReadAll(int64_t max_bytes) const {
  if (size_ > max_bytes) {
    return CheckpointInvalid(
        absl::StrCat(name_, ": has ", size_, " bytes; at most ", max_bytes, " are allowed"));
  }
  std::string bytes(static_cast<size_t>(size_), '\0');
  HEED_RETURN_IF_ERROR(Read(0, absl::MakeSpan(bytes)));
  HEED_RETURN_IF_ERROR(CheckUnchanged());
  return bytes;
}

absl::Status File::CheckUnchanged() const {
  struct stat now;
  if (fstat(descriptor_, &now) != 0) return SystemError(name_, errno);
  if (now.st_size == size_ && now.st_mtim.tv_sec == modified_.tv_sec &&
      now.st_mtim.tv_nsec == modified_.tv_nsec) {
    return absl::OkStatus();
  }
  return CheckpointDataLoss(absl::StrCat(name_, ": was changed while heed was reading it (", size_,
                                         " bytes before, ", static_cast<int64_t>(now.st_size),
                                         " now); load it again when it is no longer written to"));
}

}  // namespace heed
