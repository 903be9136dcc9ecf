// Whether the system gives memory before it is used where it is asked to, and whether it has.
#ifndef HEED_TESTS_BASE_POPULATES_H_
#define HEED_TESTS_BASE_POPULATES_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace heed {

// Whether the system has given memory for what is at `address`.
inline bool IsResident(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  const uintptr_t page = at - at % static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char state = 0;
  return mincore(reinterpret_cast<void*>(page), 1, &state) == 0 && (state & 1) != 0;
}

// Linux does from 5.14 on; emulators may say so and do nothing. Asked of the system itself: what is
// tested must not say whether it is.
inline bool SystemPopulates() {
#if defined(MADV_POPULATE_WRITE)
  const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  const bool populates = madvise(memory, bytes, MADV_POPULATE_WRITE) == 0 && IsResident(memory);
  munmap(memory, bytes);
  return populates;
#else
  return false;
#endif
}

}  // namespace heed

#endif  // HEED_TESTS_BASE_POPULATES_H_
