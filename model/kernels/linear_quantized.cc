#include "model/kernels/linear_quantized.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/kernels/half.h"
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

// Kernels may ask for weights this far behind the end.
constexpr int64_t kPaddingBytes = 4096;

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Owns bytes aligned to 64, zeroed.
class Bytes {
 public:
  explicit Bytes(int64_t size) : data_(Allocate(size)) {}
  uint8_t* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  static uint8_t* Allocate(int64_t size) {
    const size_t bytes = static_cast<size_t>(CeilDiv(size, 64) * 64);
    auto* const p = static_cast<uint8_t*>(std::aligned_alloc(64, bytes));
    if (p == nullptr) throw std::bad_alloc();
    std::fill_n(p, bytes, uint8_t{0});
    return p;
  }
  std::unique_ptr<uint8_t, Free> data_;
};

// The scale that brings the largest weight to the end of the range: for 4 bits to -8, which has no
// positive counterpart, so the scale takes the sign.
float GroupScale(absl::Span<const float> weights, int bits) {
  float largest = 0;
  for (float w : weights) {
    if (std::fabs(w) > std::fabs(largest)) largest = w;
  }
  return bits == 8 ? std::fabs(largest) / 127 : largest / -8;
}

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
  QuantizedLinear(ConstMatrixRef weight, absl::Span<const float> bias,
                  const QuantizedFormat& format, const IntKernels* kernels)
      : in_(weight.cols),
        out_(weight.rows),
        bits_(format.bits),
        group_(std::min(format.group, CeilDiv(weight.cols, 16) * 16)),
        n_groups_(CeilDiv(in_, group_)),
        n_panels_(CeilDiv(out_, kPanelCols)),
        panel_bytes_(n_groups_ * group_ * kPanelCols * bits_ / 8),
        kernels_(*kernels),
        weights_(n_panels_ * panel_bytes_ + kPaddingBytes),
        scales_(n_panels_ * n_groups_ * kPanelCols),
        bias_(n_panels_ * kPanelCols) {
    std::copy(bias.begin(), bias.end(), bias_.begin());
    FindExponent(weight);
    ParallelFor(n_panels_, true, [&](int64_t panel) { PackPanel(weight, panel); });
  }

  int64_t in_features() const override { return in_; }
  int64_t out_features() const override { return out_; }
  int64_t weight_bytes() const override {
    return n_panels_ * panel_bytes_ + static_cast<int64_t>(scales_.size()) * 2 +
           static_cast<int64_t>(bias_.size()) * 4;
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    if (x.rows == 0) return;
    thread_local RoundedRows rounded;
    Round(x, rounded);
    const int64_t threads = x.rows * in_ * out_ < kTeamWork ? 1 : MaxThreads();
    const int64_t blocks = std::min(n_panels_, threads);
    const RoundedRows& shared = rounded;
    ParallelFor(blocks, blocks > 1, [&](int64_t b) {
      for (int64_t p = n_panels_ * b / blocks; p < n_panels_ * (b + 1) / blocks; ++p) {
        RunPanel(shared, p, y, write);
      }
    });
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    const int64_t panel = row / kPanelCols, col = row % kPanelCols;
    for (int64_t k = 0; k < in_; ++k) {
      const float scale = HalfToFloat(scales_[ScaleIndex(panel, k / group_, col)]);
      out[k] = std::ldexp(scale, -exponent_) * static_cast<float>(Weight(panel, k, col) - zero());
    }
  }

 private:
  int zero() const { return bits_ == 8 ? 128 : 8; }
  // Of the rows of activations: odd multiples of 64 bytes, so that rows do not compete for the same
  // few sets of a cache.
  int64_t x_stride() const { return (CeilDiv(n_groups_ * group_, 64) | 1) * 64; }
  int64_t ScaleIndex(int64_t panel, int64_t group, int64_t col) const {
    return (panel * n_groups_ + group) * kPanelCols + col;
  }

  // Scales are kept times a power of two that brings the largest near 1: half precision has little
  // room for small ones.
  void FindExponent(ConstMatrixRef weight) {
    float largest = 0;
    for (int64_t r = 0; r < out_; ++r) {
      for (float w : weight.Row(r)) largest = std::max(largest, std::fabs(w));
    }
    if (largest > 0) exponent_ = -std::ilogb(largest / (bits_ == 8 ? 127.0f : 8.0f));
  }

  // Byte and half of the weight at (k, col) of a panel.
  int64_t ByteOf(int64_t panel, int64_t k, int64_t col) const {
    const int64_t step = k / kDotWidth / (bits_ == 8 ? 1 : 2);
    return panel * panel_bytes_ + (step * kPanelCols + col) * kDotWidth + k % kDotWidth;
  }
  int ShiftOf(int64_t k) const { return bits_ == 4 && k / kDotWidth % 2 == 1 ? 4 : 0; }

  int Weight(int64_t panel, int64_t k, int64_t col) const {
    return weights_.data()[ByteOf(panel, k, col)] >> ShiftOf(k) & (bits_ == 8 ? 255 : 15);
  }
  void SetWeight(int64_t panel, int64_t k, int64_t col, int q) {
    weights_.data()[ByteOf(panel, k, col)] |= static_cast<uint8_t>(q << ShiftOf(k));
  }

  void PackPanel(ConstMatrixRef weight, int64_t panel) {
    for (int64_t col = 0; col < kPanelCols; ++col) {
      const int64_t row = panel * kPanelCols + col;
      if (row >= out_) return;
      for (int64_t g = 0; g < n_groups_; ++g) {
        const int64_t begin = g * group_, count = std::min(group_, in_ - begin);
        PackGroup(weight.Row(row).subspan(begin, count), panel, g, col);
      }
    }
  }

  void PackGroup(absl::Span<const float> weights, int64_t panel, int64_t g, int64_t col) {
    const uint16_t half = FloatToHalf(std::ldexp(GroupScale(weights, bits_), exponent_));
    const float scale = std::ldexp(HalfToFloat(half), -exponent_);
    scales_[ScaleIndex(panel, g, col)] = half;
    const int least = bits_ == 8 ? -127 : -8, most = bits_ == 8 ? 127 : 7;
    for (int64_t i = 0; i < group_; ++i) {
      const bool is_weight = i < static_cast<int64_t>(weights.size()) && scale != 0;
      const int q = is_weight ? static_cast<int>(std::lrint(weights[i] / scale)) : 0;
      SetWeight(panel, g * group_ + i, col, std::clamp(q, least, most) + zero());
    }
  }

  void Round(ConstMatrixRef x, RoundedRows& out) const {
    const int64_t stride = x_stride();
    out.q.resize((x.rows + kMaxIntBlockRows) * stride);
    out.scale.resize(x.rows * n_groups_);
    out.sum.resize(x.rows * n_groups_);
    const float unit = std::ldexp(1.0f, -exponent_);
    ParallelBlocks(
        x.rows, std::max<int64_t>(1, kTeamElements / in_), [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            for (int64_t g = 0; g < n_groups_; ++g) {
              const int64_t index = r * n_groups_ + g;
              kernels_.quantize(x.Row(r).data() + g * group_, std::min(group_, in_ - g * group_),
                                group_, out.q.data() + r * stride + g * group_, &out.scale[index],
                                &out.sum[index]);
              out.scale[index] *= unit;
            }
          }
        });
  }

  // Many rows pass by a part of the panel that fits in the cache, then by the next one.
  void RunPanel(const RoundedRows& x, int64_t panel, MatrixRef y, Write write) const {
    thread_local PanelScratch scratch;
    IntTileArgs args{};
    args.x_stride = x_stride();
    args.w = weights_.data() + panel * panel_bytes_;
    args.w_scale = scales_.data() + ScaleIndex(panel, 0, 0);
    args.bias = bias_.data() + panel * kPanelCols;
    args.y_stride = y.stride;
    args.cols = std::min(kPanelCols, out_ - panel * kPanelCols);
    args.n_groups = n_groups_;
    args.group = group_;
    args.zero = zero();
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    float* const totals = scratch.Totals(y.rows);
    const bool unpacks = bits_ == 4 && y.rows >= kUnpackRows;
    if (unpacks) args.w = Unpack(args.w, scratch);
    const Piece piece = PieceFor(y.rows, unpacks);
    const int64_t chunk = y.rows <= piece.rows ? n_groups_ : piece.groups;
    if (piece.is_block) kernels_.enter_blocks();
    for (args.begin_group = 0; args.begin_group < n_groups_; args.begin_group = args.end_group) {
      args.end_group = std::min(n_groups_, args.begin_group + chunk);
      for (int64_t r = 0; r < y.rows; r += piece.rows) {
        args.rows = std::min(piece.rows, y.rows - r);
        args.x = x.q.data() + r * args.x_stride;
        args.x_scale = x.scale.data() + r * n_groups_;
        args.x_sum = x.sum.data() + r * n_groups_;
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
    const int bits = unpacked ? 8 : bits_;
    const bool is_block =
        kernels_.block8 != nullptr && bits == 8 && group_ % 64 == 0 && rows > kMaxIntTileRows;
    const int64_t groups = std::max<int64_t>(1, kCacheBytes / (group_ * kPanelCols * bits / 8));
    if (is_block) return {kernels_.block8, kMaxIntBlockRows, n_groups_, true};
    return {bits == 8 ? kernels_.tile8 : kernels_.tile4, kMaxIntTileRows, groups, false};
  }

  // A panel of 4-bit weights as one of 8-bit weights.
  const uint8_t* Unpack(const uint8_t* panel, PanelScratch& scratch) const {
    uint8_t* const unpacked = scratch.Unpacked(2 * panel_bytes_ + kPaddingBytes);
    kernels_.unpack4(panel, panel_bytes_, unpacked);
    return unpacked;
  }

  const int64_t in_, out_;
  const int bits_;
  const int64_t group_, n_groups_, n_panels_, panel_bytes_;
  const IntKernels& kernels_;
  int exponent_ = 0;
  Bytes weights_;  // [n_panels, n_groups, bytes of a group]
  std::vector<uint16_t>
      scales_;               // half precision times 2^exponent, [n_panels, n_groups, kPanelCols]
  std::vector<float> bias_;  // [n_panels * kPanelCols]
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
                                                            const IntKernels* kernels) {
  if (absl::Status status = CheckFinite(weight); !status.ok()) return status;
  return std::make_unique<QuantizedLinear>(weight, bias, format, kernels);
}

}  // namespace heed
