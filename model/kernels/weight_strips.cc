#include "model/kernels/weight_strips.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>
#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Calls run(strip, buffer) for the strips [0, n), with a buffer of the thread's own.
absl::Status RunStrips(int64_t n, int64_t buffer_floats,
                       absl::FunctionRef<absl::Status(int64_t strip, float* buffer)> run) {
  std::vector<absl::Status> statuses(n);
  std::vector<AlignedBuffer> buffers(MaxThreads());  // any thread may come, also to few strips
  std::atomic<int64_t> failed{n};
  ParallelFor(n, true, [&](int64_t strip) {
    if (strip > failed) return;
    try {
      AlignedBuffer& buffer = buffers[ThreadIndex()];
      buffer.Grow(buffer_floats);
      statuses[strip] = run(strip, buffer.data());
    } catch (const std::bad_alloc&) {
      statuses[strip] = absl::ResourceExhaustedError("out of memory");
    }
    if (!statuses[strip].ok()) failed = strip;
  });
  for (absl::Status& status : statuses) {
    if (!status.ok()) return std::move(status);
  }
  return absl::OkStatus();
}

absl::Status RunStripsSafely(int64_t n, int64_t buffer_floats,
                             absl::FunctionRef<absl::Status(int64_t strip, float* buffer)> run) {
  try {
    return RunStrips(n, buffer_floats, run);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  }
}

}  // namespace

absl::Status ForEachStrip(const WeightRows& weight, int64_t strip,
                          absl::FunctionRef<absl::Status(int64_t first, ConstMatrixRef rows)> use) {
  return RunStripsSafely(
      (weight.rows + strip - 1) / strip, strip * weight.cols, [&](int64_t index, float* buffer) {
        const int64_t first = index * strip;
        const MatrixRef rows(buffer, std::min(strip, weight.rows - first), weight.cols);
        const absl::Status status =
            weight.read(first, {buffer, static_cast<size_t>(rows.rows * rows.cols)});
        return status.ok() ? use(first, rows) : status;
      });
}

absl::Status ForEachStrip(
    const BlockRows& blocks, int64_t strip,
    absl::FunctionRef<absl::Status(int64_t first, absl::Span<const char> rows)> use) {
  const int64_t row_bytes = blocks.row_bytes();
  const auto floats = static_cast<int64_t>(strip * row_bytes / sizeof(float)) + 1;
  return RunStripsSafely(
      (blocks.rows + strip - 1) / strip, floats, [&](int64_t index, float* buffer) {
        const int64_t first = index * strip;
        const absl::Span<char> rows(
            reinterpret_cast<char*>(buffer),
            static_cast<size_t>(std::min(strip, blocks.rows - first) * row_bytes));
        const absl::Status status = blocks.read(first, rows);
        return status.ok() ? use(first, rows) : status;
      });
}

}  // namespace heed
