// Whether the system gives memory before it is used where it is asked to.
#ifndef HEED_TESTS_BASE_POPULATES_H_
#define HEED_TESTS_BASE_POPULATES_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace heed {

// Linux does from 5.14 on. Asked of the system itself: what is tested must not say whether it is.
inline bool SystemPopulates() {
#if defined(MADV_POPULATE_WRITE)
  const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  const bool populates = madvise(memory, bytes, MADV_POPULATE_WRITE) == 0;
  munmap(memory, bytes);
  return populates;
#else
  return false;
#endif
}

}  // namespace heed

#endif  // HEED_TESTS_BASE_POPULATES_H_
