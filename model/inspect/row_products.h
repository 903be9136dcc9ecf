// Dot products of a few rows with others, all at once.
#ifndef HEED_MODEL_INSPECT_ROW_PRODUCTS_H_
#define HEED_MODEL_INSPECT_ROW_PRODUCTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/kernels/double_rows.h"

namespace heed {

// In double precision, summed in the order of the elements, so that equal rows give equal bits.
class RowProducts {
 public:
  // Copies `count` rows of `width` floats, those of row_at(0), row_at(1), ..., and puts their first
  // elements side by side, and so on.
  template <typename Fn>
  RowProducts(int64_t count, int64_t width, const Fn& row_at)
      : count_(count), width_(width), columns_(count * width) {
    for (int64_t r = 0; r < count; ++r) {
      const absl::Span<const float> row = row_at(r);
      for (int64_t i = 0; i < width; ++i) columns_[i * count + r] = row[i];
    }
  }

  // products[r] = x . row r. x [width].
  void With(absl::Span<const double> x, double* products) const {
    BestDoubleRows().mix(columns_.data(), width_, count_, x.data(), products);
  }

 private:
  const int64_t count_, width_;
  std::vector<float> columns_;  // [width, count]
};

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_ROW_PRODUCTS_H_
