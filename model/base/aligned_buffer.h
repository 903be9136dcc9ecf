// Uninitialised f32 memory on a cache-line boundary, for weights, caches and scratch.
#ifndef HEED_MODEL_BASE_ALIGNED_BUFFER_H_
#define HEED_MODEL_BASE_ALIGNED_BUFFER_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/types/span.h"

namespace heed {

// At least `bytes` bytes aligned to 64, to be given to std::free. Large ones lie in huge pages
// where the system has them, as far as they fill them: that spares most of the page faults of
// filling them, and address translation while computing. Throws std::bad_alloc.
void* AllocateAligned(int64_t bytes);

// Owns `size` floats aligned to 64 bytes. The values are indeterminate until written. Move-only.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws std::bad_alloc when the memory is not to be had. Nothing in model/ catches it: whoever
  // gives work to a model does, as the server around each step and call.
  explicit AlignedBuffer(int64_t size)
      : data_(static_cast<float*>(AllocateAligned(size * static_cast<int64_t>(sizeof(float))))),
        size_(size) {}

  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  absl::Span<float> span() { return {data_.get(), static_cast<size_t>(size_)}; }
  absl::Span<const float> span() const { return {data_.get(), static_cast<size_t>(size_)}; }

  // Makes room for at least `size` floats; the old values are lost when it has to grow.
  void Grow(int64_t size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };

  std::unique_ptr<float, Free> data_;
  int64_t size_ = 0;
};

}  // namespace heed

#endif  // HEED_MODEL_BASE_ALIGNED_BUFFER_H_
