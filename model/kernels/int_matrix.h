// A weight matrix of 8-bit or 4-bit integers with a scale for each group, in the layout of
// int_kernels.h.
#ifndef HEED_MODEL_KERNELS_INT_MATRIX_H_
#define HEED_MODEL_KERNELS_INT_MATRIX_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/kernels/int_kernels.h"

namespace heed {

// Part of Backend::packing: to be raised when what IntMatrix::storage holds changes its meaning.
inline constexpr int kIntStorageVersion = 2;

inline int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

class IntMatrix {
 public:
  // All weights are 0 until they are set. `group` is a multiple of 16 and at most 65536; a matrix
  // with fewer columns has one group of no more of them than it needs. `may_spread`: spreads() with
  // 8 bits and groups of kSpreadGroup. With 4 bits the weights cost so much that it does not show.
  IntMatrix(int64_t rows, int64_t cols, int bits, int64_t group, bool may_spread = false);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int bits() const { return bits_; }
  int zero() const { return bits_ == 8 ? 128 : 8; }
  int64_t group() const { return group_; }
  int64_t n_groups() const { return n_groups_; }
  int64_t n_panels() const { return n_panels_; }
  int64_t panel_bytes() const { return panel_bytes_; }
  // Whether the integers are those of rows as IntKernels::spread makes them: to be multiplied with
  // activations that are spread too.
  bool spreads() const { return spreads_; }
  int64_t bytes() const;

  // [n_groups, bytes of a group]; some bytes more may be read.
  const uint8_t* panel(int64_t p) const { return weights_.get() + p * panel_bytes_; }
  // [n_groups, kPanelCols], half precision, to be multiplied by unit().
  const uint16_t* scales(int64_t p) const { return scales_.data() + ScaleIndex(p, 0, 0); }
  float unit() const { return unit_; }

  // Rounds `weight` [rows, cols]; INVALID_ARGUMENT for a value that is not finite, or of one that
  // spreads() so large that sums of it could overflow, naming its place. Returns the mean of min(1,
  // |rounded - weight| / |weight|) over the weights that are not 0: near 1 where a few are so large
  // that the others round to nothing. Of one that spreads(), what it would be if it did not, which
  // machines agree upon.
  absl::StatusOr<double> SetRounded(const WeightRows& weight, const IntKernels& kernels);

  // The very weights of `blocks`, of the same shape and bits; the matrix has groups of
  // BlockRows::kBlockValues. INVALID_ARGUMENT for a scale that is not finite, naming its place.
  absl::Status SetBlocks(const BlockRows& blocks);

  // All that it consists of, as Linear::storage says.
  std::vector<absl::Span<char>> storage();

  // Row `row` as it is held; of one that spreads(), gathered again.
  void CopyRow(int64_t row, absl::Span<float> out) const;

  // Row `row` as Bf16Kernels multiply it.
  void CopyRowInBf16(int64_t row, absl::Span<float> out) const;

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  // As WeightsRounded, of more weights.
  struct Rounding {
    double error = 0;
    int64_t count = 0;
    float largest = 0;  // of their amounts
  };

  int64_t ScaleIndex(int64_t panel, int64_t group, int64_t col) const {
    return (panel * n_groups_ + group) * kPanelCols + col;
  }
  uint8_t* Place(int64_t row, int64_t step) const;
  void CenterScales();
  void SetGroup(int64_t row, int64_t g, const uint8_t* q);
  template <typename WeightOf>
  void CopyGroup(int64_t row, int64_t g, absl::Span<float> out, const WeightOf& weight_of) const;
  template <typename WeightOf>
  void CopyWeights(int64_t row, absl::Span<float> out, const WeightOf& weight_of) const;
  bool SuitsUnit(float largest) const;
  absl::StatusOr<Rounding> RoundAll(const WeightRows& weight, const IntKernels& kernels);
  absl::Status RoundStrip(int64_t first, ConstMatrixRef rows, const IntKernels& kernels,
                          Rounding& result);
  WeightsRounded RoundGroup(absl::Span<const float> weights, float largest, int64_t row, int64_t g,
                            const IntKernels& kernels, bool measures, uint8_t* q);

  const int64_t rows_, cols_;
  const int bits_;
  const int64_t group_, n_groups_, n_panels_, panel_bytes_;
  const bool spreads_;
  // Scales are kept divided by a power of two: half precision has little room for small ones.
  float unit_;
  std::unique_ptr<uint8_t, Free> weights_;
  std::vector<uint16_t> scales_;  // [n_panels, n_groups, kPanelCols]
};

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_MATRIX_H_
