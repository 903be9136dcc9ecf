// Views of row-major f32 matrices. They borrow; whoever made the memory keeps it alive.
#ifndef HEED_MODEL_BASE_MATRIX_H_
#define HEED_MODEL_BASE_MATRIX_H_

#include <cstdint>

#include "absl/types/span.h"

namespace heed {

// Read-only view of [rows, cols]; row r begins at data + r * stride.
struct ConstMatrixRef {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, at least cols

  ConstMatrixRef() = default;
  ConstMatrixRef(const float* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  ConstMatrixRef(const float* d, int64_t r, int64_t c, int64_t s)
      : data(d), rows(r), cols(c), stride(s) {}

  absl::Span<const float> Row(int64_t r) const {
    return {data + r * stride, static_cast<size_t>(cols)};
  }
  ConstMatrixRef Rows(int64_t begin, int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
};

// Writable view of [rows, cols].
struct MatrixRef {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MatrixRef() = default;
  MatrixRef(float* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  MatrixRef(float* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}

  absl::Span<float> Row(int64_t r) const { return {data + r * stride, static_cast<size_t>(cols)}; }
  MatrixRef Rows(int64_t begin, int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
  // The same rows, columns [begin, begin + count) only.
  MatrixRef Columns(int64_t begin, int64_t count) const {
    return {data + begin, rows, count, stride};
  }
  operator ConstMatrixRef() const { return {data, rows, cols, stride}; }  // NOLINT: views convert
};

}  // namespace heed

#endif  // HEED_MODEL_BASE_MATRIX_H_
