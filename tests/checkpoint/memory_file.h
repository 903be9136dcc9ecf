// A file in memory, since tens of thousands of files on a disk take long.
#ifndef HEED_TESTS_CHECKPOINT_MEMORY_FILE_H_
#define HEED_TESTS_CHECKPOINT_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace heed {

class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("m", MFD_CLOEXEC)) { EXPECT_GE(descriptor_, 0); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(descriptor_); }

  std::string path() const { return absl::StrCat("/proc/self/fd/", descriptor_); }

  void Write(absl::string_view bytes) {
    EXPECT_EQ(ftruncate(descriptor_, 0), 0);
    EXPECT_EQ(pwrite(descriptor_, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

 private:
  const int descriptor_;
};

}  // namespace heed

#endif  // HEED_TESTS_CHECKPOINT_MEMORY_FILE_H_
