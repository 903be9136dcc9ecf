#include "model/base/aligned_buffer.h"

#include <algorithm>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace heed {

void* AllocateAligned(int64_t bytes) {
  constexpr int64_t kLine = 64, kHugePage = int64_t{2} << 20;
  const int64_t alignment = bytes < kHugePage ? kLine : kHugePage;
  const int64_t lines = (std::max<int64_t>(bytes, 1) + kLine - 1) / kLine;
  void* memory = nullptr;
  if (posix_memalign(&memory, static_cast<size_t>(alignment), static_cast<size_t>(lines * kLine)) !=
      0) {
    throw std::bad_alloc();
  }
#if defined(__linux__)
  // Only advice: where it is not taken, nothing is different but the speed.
  if (bytes >= kHugePage) {
    madvise(memory, static_cast<size_t>(bytes / kHugePage * kHugePage), MADV_HUGEPAGE);
  }
#endif
  return memory;
}

}  // namespace heed
