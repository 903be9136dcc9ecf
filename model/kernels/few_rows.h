// Products of few rows with float weights that another library has packed, in our own kernels, bit
// for bit what that library gives for many: it takes memory from the heap for each product, and
// longer to begin than a small one lasts.
#ifndef HEED_MODEL_KERNELS_FEW_ROWS_H_
#define HEED_MODEL_KERNELS_FEW_ROWS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/kernels/float_kernels.h"

namespace heed {

// Packed weights of a layer [out, in]: the weight of output feature n and input feature k is at
// weights[n / cols * stride + k * cols + n % cols]. Memory of the last panel's missing features is
// readable.
struct FloatPanels {
  float* weights = nullptr;
  int64_t in = 0, out = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // from one panel to the next
};

class FewRows {
 public:
  // Most rows of a product.
  static constexpr int64_t kMost = 4 * kMostTileRows;

  // A product of `rows` rows [rows, in] with the panels as they are, without a bias, by whoever
  // packed them.
  using Multiply = std::function<void(ConstMatrixRef x, MatrixRef y)>;

  // nullopt: `multiply` adds in an order that these kernels do not know, or the panels are of a
  // size that they do not take. Overwrites the first and the last panel to find out. What is found
  // is remembered, and holds for every layer of the same size and `kernels`, which live for ever.
  static std::optional<FewRows> Imitate(const FloatPanels& panels, const FloatKernels* kernels,
                                        const Multiply& multiply);

  // y [rows, out] = or += x [rows, in] times the weights, plus `bias` [out] unless it is null. At
  // most kMost rows. Thread-safe; runs on the calling thread's team, and takes nothing from
  // the heap once a thread has seen as many rows.
  void Apply(ConstMatrixRef x, const float* bias, MatrixRef y, Linear::Write write) const;

 private:
  class RowTiles;

  FewRows(const FloatPanels& panels, const FloatKernels* kernels, int64_t chunk);

  static int64_t FindChunk(const FloatPanels& panels, const FloatKernels* kernels,
                           const Multiply& multiply);

  int64_t Ahead(int64_t col, int64_t tile_cols, int64_t features) const;

  void RunPanel(int64_t panel, const RowTiles& tiles, const float* bias, MatrixRef y,
                Linear::Write write) const;

  FloatPanels panels_;
  const FloatKernels* kernels_;
  // Input features whose products are added one after the other; the sums of such chunks are added
  // up afterwards.
  int64_t chunk_;
};

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_FEW_ROWS_H_
