#include "tests/checkpoint/allocation_peak.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> live_bytes{0}, peak_bytes{0};

void Raise(std::atomic<int64_t>& peak, int64_t now) {
  int64_t seen = peak;
  while (seen < now && !peak.compare_exchange_weak(seen, now)) {
  }
}

}  // namespace

void* operator new(size_t size) {
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  const auto bytes = static_cast<int64_t>(malloc_usable_size(memory));
  Raise(peak_bytes, live_bytes.fetch_add(bytes) + bytes);
  return memory;
}

// Sanitizers bring one of their own, which the operator below could not free.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return operator new(size);
}

void operator delete(void* memory) noexcept {
  if (memory != nullptr) live_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept {
  operator delete(memory);
}

namespace heed {

AllocationPeak::AllocationPeak() : before_(live_bytes) {
  peak_bytes = before_;
}

int64_t AllocationPeak::bytes() const {
  return peak_bytes - before_;
}

}  // namespace heed
