#include "model/kernels/linear_quantized.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/status_macros.h"
#include "model/kernels/int_matrix.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Weights that stay in the first-level cache while the rows of a large batch pass by.
constexpr int64_t kCacheBytes = 24 * 1024;

// Rows for which unpacking 4-bit weights once pays.
constexpr int64_t kUnpackRows = 4 * kMaxIntTileRows;

// Multiply-adds below which waking a team costs more than it saves.
constexpr int64_t kTeamWork = 1024 * 1024;

// Elements of activations worth rounding on several threads.
constexpr int64_t kTeamElements = 64 * 1024;

// Activations of some rows, rounded.
struct RoundedRows {
  std::vector<int8_t> q;     // [rows, stride], and as many rows more as a block may read
  std::vector<float> scale;  // [rows, n_groups]
  std::vector<int32_t> sum;  // [rows, n_groups]
};

// Where one thread works on a panel.
class PanelScratch {
 public:
  // [rows, kPanelCols], aligned to 64 bytes.
  float* Totals(int64_t rows) { return Aligned(totals_, rows * kPanelCols); }
  uint8_t* Unpacked(int64_t bytes) { return Aligned(unpacked_, bytes); }

 private:
  template <typename T>
  static T* Aligned(std::vector<T>& storage, int64_t count) {
    storage.resize(std::max<size_t>(storage.size(), count + 64 / sizeof(T)));
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) / 64 * 64);
  }
  std::vector<float> totals_;
  std::vector<uint8_t> unpacked_;
};

class QuantizedLinear : public Linear {
 public:
  QuantizedLinear(IntMatrix weight, absl::Span<const float> bias, const IntKernels* kernels)
      : weight_(std::move(weight)),
        kernels_(*kernels),
        bias_(weight_.n_panels() * kPanelCols),
        x_stride_((CeilDiv(weight_.n_groups() * weight_.group(), 64) | 1) * 64) {
    std::copy(bias.begin(), bias.end(), bias_.begin());
  }

  int64_t in_features() const override { return weight_.cols(); }
  int64_t out_features() const override { return weight_.rows(); }
  int64_t weight_bytes() const override {
    return weight_.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float));
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    if (x.rows == 0) return;
    thread_local RoundedRows rounded;
    Round(x, rounded);
    const int64_t work = x.rows * weight_.cols() * weight_.rows();
    const int64_t n_panels = weight_.n_panels();
    const int64_t blocks = std::min(n_panels, work < kTeamWork ? 1 : MaxThreads());
    const RoundedRows& shared = rounded;
    ParallelFor(blocks, blocks > 1, [&](int64_t b) {
      for (int64_t p = n_panels * b / blocks; p < n_panels * (b + 1) / blocks; ++p) {
        RunPanel(shared, p, y, write);
      }
    });
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    weight_.CopyRow(row, out);
  }

 private:
  void Round(ConstMatrixRef x, RoundedRows& out) const {
    const int64_t in = weight_.cols(), group = weight_.group(), n_groups = weight_.n_groups();
    out.q.resize((x.rows + kMaxIntBlockRows) * x_stride_);
    out.scale.resize(x.rows * n_groups);
    out.sum.resize(x.rows * n_groups);
    ParallelBlocks(
        x.rows, std::max<int64_t>(1, kTeamElements / in), [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            for (int64_t g = 0; g < n_groups; ++g) {
              const int64_t index = r * n_groups + g;
              kernels_.quantize(x.Row(r).data() + g * group, std::min(group, in - g * group), group,
                                out.q.data() + r * x_stride_ + g * group, &out.scale[index],
                                &out.sum[index]);
              out.scale[index] *= weight_.unit();
            }
          }
        });
  }

  // Many rows pass by a part of the panel that fits in the cache, then by the next one.
  void RunPanel(const RoundedRows& x, int64_t panel, MatrixRef y, Write write) const {
    thread_local PanelScratch scratch;
    IntTileArgs args{};
    args.x_stride = x_stride_;
    args.w = weight_.panel(panel);
    args.w_scale = weight_.scales(panel);
    args.bias = bias_.data() + panel * kPanelCols;
    args.y_stride = y.stride;
    args.cols = std::min(kPanelCols, weight_.rows() - panel * kPanelCols);
    args.n_groups = weight_.n_groups();
    args.group = weight_.group();
    args.zero = weight_.zero();
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    float* const totals = scratch.Totals(y.rows);
    const bool unpacks = weight_.bits() == 4 && y.rows >= kUnpackRows;
    if (unpacks) args.w = Unpack(args.w, scratch);
    const Piece piece = PieceFor(y.rows, unpacks);
    const int64_t chunk = y.rows <= piece.rows ? args.n_groups : piece.groups;
    if (piece.is_block) kernels_.enter_blocks();
    for (args.begin_group = 0; args.begin_group < args.n_groups;
         args.begin_group = args.end_group) {
      args.end_group = std::min(args.n_groups, args.begin_group + chunk);
      for (int64_t r = 0; r < y.rows; r += piece.rows) {
        args.rows = std::min(piece.rows, y.rows - r);
        args.x = x.q.data() + r * args.x_stride;
        args.x_scale = x.scale.data() + r * args.n_groups;
        args.x_sum = x.sum.data() + r * args.n_groups;
        args.y = y.Row(r).data() + panel * kPanelCols;
        args.total = totals + r * kPanelCols;
        piece.run(args);
      }
    }
    if (piece.is_block) kernels_.leave_blocks();
  }

  // How the rows of a batch are cut, and what runs a piece of them.
  struct Piece {
    void (*run)(const IntTileArgs& args);
    int64_t rows;
    int64_t groups;  // that fit in the cache together
    bool is_block;
  };
  Piece PieceFor(int64_t rows, bool unpacked) const {
    const int bits = unpacked ? 8 : weight_.bits();
    const int64_t group = weight_.group();
    const bool is_block =
        kernels_.block8 != nullptr && bits == 8 && group % 64 == 0 && rows > kMaxIntTileRows;
    if (is_block) return {kernels_.block8, kMaxIntBlockRows, weight_.n_groups(), true};
    const int64_t groups = std::max<int64_t>(1, kCacheBytes / (group * kPanelCols * bits / 8));
    return {bits == 8 ? kernels_.tile8 : kernels_.tile4, kMaxIntTileRows, groups, false};
  }

  // A panel of 4-bit weights as one of 8-bit weights.
  const uint8_t* Unpack(const uint8_t* panel, PanelScratch& scratch) const {
    uint8_t* const unpacked = scratch.Unpacked(2 * weight_.panel_bytes() + kIntPaddingBytes);
    kernels_.unpack4(panel, weight_.panel_bytes(), unpacked);
    return unpacked;
  }

  const IntMatrix weight_;
  const IntKernels& kernels_;
  std::vector<float> bias_;  // [n_panels * kPanelCols]
  // Of the rows of activations: odd multiples of 64 bytes, so that rows do not compete for the same
  // few sets of a cache.
  const int64_t x_stride_;
};

absl::Status CheckFinite(ConstMatrixRef weight) {
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t k = 0; k < weight.cols; ++k) {
      if (std::isfinite(weight.Row(r)[k])) continue;
      return absl::InvalidArgumentError(absl::StrCat("the weight at [", r, ", ", k, "] is ",
                                                     weight.Row(r)[k],
                                                     "; only finite weights can be quantised"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackQuantizedLinear(ConstMatrixRef weight,
                                                            absl::Span<const float> bias,
                                                            const QuantizedFormat& format,
                                                            const IntKernels* kernels,
                                                            double* relative_error) {
  HEED_RETURN_IF_ERROR(CheckFinite(weight));
  IntMatrix rounded(weight.rows, weight.cols, format.bits, format.group);
  const double error = rounded.SetRounded(weight);
  if (relative_error != nullptr) *relative_error = error;
  return std::make_unique<QuantizedLinear>(std::move(rounded), bias, kernels);
}

absl::StatusOr<std::unique_ptr<Linear>> PackBlockLinear(const BlockMatrix& blocks,
                                                        absl::Span<const float> bias,
                                                        const IntKernels* kernels) {
  IntMatrix weight(blocks.rows, blocks.cols, blocks.bits, BlockMatrix::kBlockValues);
  HEED_RETURN_IF_ERROR(weight.SetBlocks(blocks));
  return std::make_unique<QuantizedLinear>(std::move(weight), bias, kernels);
}

const IntKernels* IntKernelsFor(Isa isa) {
#if defined(__x86_64__)
  static const CpuFacts& facts = *new CpuFacts(DetectCpu());
  if (isa == Isa::kAvx512 && facts.amx_int8) return &AmxIntKernels();
  if (isa == Isa::kAvx512 && facts.avx512_vnni) return &VnniIntKernels();
  if (isa != Isa::kPortable) return &Avx2IntKernels();
#endif
  return &PortableIntKernels();
}

}  // namespace heed
