// Regular files read into memory that heed owns. Nothing is mapped: a mapped file that somebody
// cuts kills the process.
#ifndef HEED_MODEL_CHECKPOINT_FILE_H_
#define HEED_MODEL_CHECKPOINT_FILE_H_

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace heed {

// Whether anything at all has this path, be it a symbolic link to nothing.
bool PathExists(const std::string& path);

// A regular file, open for reading until destroyed. Thread-safe.
class File {
 public:
  // `name` stands for the file in messages. Symbolic links to regular files are followed. NOT_FOUND
  // when there is nothing, INVALID_ARGUMENT for a folder, device, pipe or socket (which are not
  // opened at all).
  static absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path,
                                                    absl::string_view name);

  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  const std::string& name() const { return name_; }
  int64_t size() const { return size_; }  // bytes, when it was opened
  // What changes when the file is written to or another takes its place: name, size, times of
  // change and place on the disk, as they were when it was opened.
  const std::string& stamp() const { return stamp_; }

  // Fills `out` from `offset`, which must lie inside the file, as must the end. DATA_LOSS when the
  // file has become shorter.
  absl::Status Read(int64_t offset, absl::Span<char> out) const;

  // The whole file. INVALID_ARGUMENT when it has more than `max_bytes`.
  absl::StatusOr<std::string> ReadAll(int64_t max_bytes) const;

  // DATA_LOSS when the file's size or modification time is not what it was when it was opened.
  absl::Status CheckUnchanged() const;

 private:
  File(int descriptor, absl::string_view name, const struct stat& status);

  const int descriptor_;
  const std::string name_;
  const int64_t size_;
  const struct timespec modified_;
  const std::string stamp_;
};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_FILE_H_
