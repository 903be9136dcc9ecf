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

// Input features of which a block's rows and one of its tiles' columns stay there together.
constexpr int64_t kBlockFeatures = 1024;

// Most panels that the rows of a large batch pass by in one go: they come from the third-level
// cache.
constexpr int64_t kMaxStripPanels = 4;

// Rows up to which weights come from memory slower than they are used: a panel at a time, with the
// next bytes on their way.
constexpr int64_t kStreamingRows = 64;

// Rows up to which tiles are faster than a block, which takes as long for few rows as for 16.
constexpr int64_t kMostTiledRows = 2 * kMaxIntTileRows;

// Rows for which unpacking 4-bit weights once pays.
constexpr int64_t kUnpackRows = 4 * kMaxIntTileRows;

// Multiply-adds below which waking a team costs more than it saves.
constexpr int64_t kTeamWork = 1024 * 1024;

// Elements of activations worth rounding on several threads.
constexpr int64_t kTeamElements = 64 * 1024;

// Activations of some rows, rounded, for blocks or for tiles.
struct RoundedRows {
  bool for_blocks = false;
  std::vector<int8_t> q;     // [rows, stride]; of blocks, of as many rows as these read
  std::vector<float> scale;  // [rows, n_groups]; of blocks, [rows / kIntBlockRows, n_groups,
                             // kIntBlockRows] with zeros for rows that there are not
  std::vector<int32_t> sum;  // [rows, n_groups]; not of blocks
};

// Where one thread works.
class Scratch {
 public:
  float* Totals(int64_t count) { return Aligned(totals_, count); }
  uint8_t* Weights(int64_t bytes) { return Aligned(weights_, bytes); }

 private:
  template <typename T>
  static T* Aligned(std::vector<T>& storage, int64_t count) {
    storage.resize(std::max<size_t>(storage.size(), count + 64 / sizeof(T)));
    return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) / 64 * 64);
  }
  std::vector<float> totals_;
  std::vector<uint8_t> weights_;
};

// Consecutive panels.
struct Strip {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

class QuantizedLinear : public Linear {
 public:
  QuantizedLinear(IntMatrix weight, absl::Span<const float> bias, const IntKernels* kernels)
      : weight_(std::move(weight)),
        kernels_(*kernels),
        bias_(weight_.n_panels() * kPanelCols),
        form_{.rows = weight_.rows(),
              .cols = weight_.cols(),
              .bits = weight_.bits(),
              .group = weight_.group(),
              .has_bias = !bias.empty()},
        x_stride_((CeilDiv(weight_.n_groups() * weight_.group(), 64) | 1) * 64) {
    std::copy(bias.begin(), bias.end(), bias_.begin());
  }

  // Its storage has yet to be filled.
  QuantizedLinear(const LinearForm& form, const IntKernels* kernels)
      : QuantizedLinear(IntMatrix(form.rows, form.cols, form.bits, form.group), {}, kernels) {
    form_.has_bias = form.has_bias;
  }

  int64_t in_features() const override { return weight_.cols(); }
  int64_t out_features() const override { return weight_.rows(); }
  int64_t weight_bytes() const override {
    return weight_.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float));
  }

  const LinearForm& form() const override { return form_; }
  std::vector<absl::Span<char>> storage() override {
    std::vector<absl::Span<char>> spans = weight_.storage();
    if (form_.has_bias) {
      spans.push_back({reinterpret_cast<char*>(bias_.data()), bias_.size() * sizeof(float)});
    }
    return spans;
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    if (x.rows == 0) return;
    thread_local RoundedRows rounded;
    rounded.for_blocks =
        kernels_.block != nullptr && weight_.group() % 32 == 0 && x.rows > kMostTiledRows;
    Round(x, rounded);
    const int64_t work = x.rows * weight_.cols() * weight_.rows();
    const int64_t threads = work < kTeamWork ? 1 : MaxThreads();
    const int64_t n_strips = CountStrips(x.rows, threads, rounded.for_blocks);
    const int64_t n_panels = weight_.n_panels();
    const RoundedRows& shared = rounded;
    ParallelFor(n_strips, threads > 1, [&](int64_t s) {
      const Strip strip = {n_panels * s / n_strips, n_panels * (s + 1) / n_strips};
      if (shared.for_blocks) {
        RunBlocks(shared, strip, y, write);
      } else {
        for (int64_t p = strip.begin; p < strip.end; ++p) RunTiles(shared, p, y, write);
      }
    });
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    weight_.CopyRow(row, out);
  }

 private:
  void Round(ConstMatrixRef x, RoundedRows& out) const {
    const int64_t n_groups = weight_.n_groups();
    const int64_t rows = out.for_blocks ? CeilDiv(x.rows, kIntBlockRows) * kIntBlockRows : x.rows;
    out.q.resize(std::max<size_t>(out.q.size(), rows * x_stride_));
    out.scale.resize(std::max<size_t>(out.scale.size(), rows * n_groups));
    out.sum.resize(std::max<size_t>(out.sum.size(), out.for_blocks ? 0 : rows * n_groups));
    if (rows > x.rows) {
      std::fill_n(out.scale.data() + (rows - kIntBlockRows) * n_groups, kIntBlockRows * n_groups,
                  0.0f);
    }
    ParallelBlocks(x.rows, std::max<int64_t>(1, kTeamElements / weight_.cols()),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t r = begin; r < end; ++r) RoundRow(x.Row(r), r, out);
                   });
  }

  void RoundRow(absl::Span<const float> x, int64_t r, RoundedRows& out) const {
    const int64_t n_groups = weight_.n_groups();
    int8_t* const q = out.q.data() + r * x_stride_;
    if (out.for_blocks) {
      const int64_t in_block = r % kIntBlockRows;
      float* const scale = out.scale.data() + (r - in_block) * n_groups + in_block;
      kernels_.quantize(x.data(), weight_.cols(), weight_.group(), q, scale, kIntBlockRows,
                        nullptr);
    } else {
      kernels_.quantize(x.data(), weight_.cols(), weight_.group(), q,
                        out.scale.data() + r * n_groups, 1, out.sum.data() + r * n_groups);
    }
  }

  // A strip's weights are read once, so few rows want long ones; with many rows, strips are as
  // short as to share the work out evenly.
  int64_t CountStrips(int64_t rows, int64_t threads, bool for_blocks) const {
    const int64_t n_panels = weight_.n_panels();
    if (!for_blocks) return std::min(n_panels, threads);
    if (rows <= kStreamingRows) return n_panels;
    const int64_t panels = std::clamp<int64_t>(n_panels / (4 * threads), 1, kMaxStripPanels);
    return CeilDiv(n_panels, panels);
  }

  int64_t GroupBytes() const { return weight_.group() * kPanelCols * weight_.bits() / 8; }
  int64_t ColsOf(int64_t panel) const {
    return std::min(kPanelCols, weight_.rows() - panel * kPanelCols);
  }

  // All rows pass by some groups of the strip's panels, then by the next ones.
  void RunBlocks(const RoundedRows& x, Strip strip, MatrixRef y, Write write) const {
    thread_local Scratch scratch;
    const int64_t group = weight_.group(), n_groups = weight_.n_groups();
    const int64_t chunk = std::min(n_groups, std::max<int64_t>(1, kBlockFeatures / group));
    const int64_t widened_bytes = chunk * group * kPanelCols;
    const int64_t row_blocks = CeilDiv(y.rows, kIntBlockRows);
    constexpr int64_t kTotals = kIntBlockRows * kPanelCols;
    auto* const widened = reinterpret_cast<int8_t*>(scratch.Weights(strip.size() * widened_bytes));
    float* const totals = scratch.Totals(strip.size() * row_blocks * kTotals);
    IntBlockArgs args{};
    args.x_stride = x_stride_;
    args.group = group;
    args.y_stride = y.stride;
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    kernels_.enter_blocks();
    for (int64_t g = 0; g < n_groups; g += chunk) {
      args.n_groups = std::min(chunk, n_groups - g);
      args.is_first = g == 0 ? 1 : 0;
      args.is_last = g + chunk >= n_groups ? 1 : 0;
      for (int64_t i = 0; i < strip.size(); ++i) {
        const auto widen = weight_.bits() == 8 ? kernels_.widen8 : kernels_.widen4;
        widen(weight_.panel(strip.begin + i) + g * GroupBytes(), args.n_groups * group,
              widened + i * widened_bytes);
      }
      for (int64_t b = 0; b < row_blocks; ++b) {
        const int64_t row = b * kIntBlockRows;
        args.rows = std::min(kIntBlockRows, y.rows - row);
        args.x = x.q.data() + row * x_stride_ + g * group;
        args.x_scale = x.scale.data() + row * n_groups + g * kIntBlockRows;
        for (int64_t i = 0; i < strip.size(); ++i) {
          const int64_t panel = strip.begin + i;
          args.w = widened + i * widened_bytes;
          args.w_scale = weight_.scales(panel) + g * kPanelCols;
          args.unit = weight_.unit();
          args.bias = bias_.data() + panel * kPanelCols;
          args.y = y.Row(row).data() + panel * kPanelCols;
          args.cols = ColsOf(panel);
          args.total = totals + (i * row_blocks + b) * kTotals;
          args.ahead = weight_.panel(panel) + (g + args.n_groups) * GroupBytes();
          args.ahead_lines = y.rows <= kStreamingRows && b == 0 ? GroupBytes() / 4 / 64 : 0;
          kernels_.block(args);
        }
      }
    }
    kernels_.leave_blocks();
  }

  // Many rows pass by a part of the panel that fits in the cache, then by the next one.
  void RunTiles(const RoundedRows& x, int64_t panel, MatrixRef y, Write write) const {
    thread_local Scratch scratch;
    IntTileArgs args{};
    args.x_stride = x_stride_;
    args.w = weight_.panel(panel);
    args.w_scale = weight_.scales(panel);
    args.unit = weight_.unit();
    args.bias = bias_.data() + panel * kPanelCols;
    args.y_stride = y.stride;
    args.cols = ColsOf(panel);
    args.n_groups = weight_.n_groups();
    args.group = weight_.group();
    args.zero = weight_.zero();
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    float* const totals = scratch.Totals(y.rows * kPanelCols);
    const bool unpacks = weight_.bits() == 4 && y.rows >= kUnpackRows;
    if (unpacks) args.w = Unpack(args.w, scratch);
    const int64_t group_bytes = unpacks ? 2 * GroupBytes() : GroupBytes();
    const auto run = weight_.bits() == 4 && !unpacks ? kernels_.tile4 : kernels_.tile8;
    const int64_t chunk =
        y.rows <= kMaxIntTileRows ? args.n_groups : std::max<int64_t>(1, kCacheBytes / group_bytes);
    for (args.begin_group = 0; args.begin_group < args.n_groups;
         args.begin_group = args.end_group) {
      args.end_group = std::min(args.n_groups, args.begin_group + chunk);
      for (int64_t r = 0; r < y.rows; r += kMaxIntTileRows) {
        args.rows = std::min(kMaxIntTileRows, y.rows - r);
        args.x = x.q.data() + r * args.x_stride;
        args.x_scale = x.scale.data() + r * args.n_groups;
        args.x_sum = x.sum.data() + r * args.n_groups;
        args.y = y.Row(r).data() + panel * kPanelCols;
        args.total = totals + r * kPanelCols;
        run(args);
      }
    }
  }

  // A panel of 4-bit weights as one of 8-bit weights.
  const uint8_t* Unpack(const uint8_t* panel, Scratch& scratch) const {
    uint8_t* const unpacked = scratch.Weights(2 * weight_.panel_bytes() + kIntPaddingBytes);
    kernels_.unpack4(panel, weight_.panel_bytes(), unpacked);
    return unpacked;
  }

  IntMatrix weight_;
  const IntKernels& kernels_;
  std::vector<float> bias_;  // [n_panels * kPanelCols]
  LinearForm form_;
  // Of the rows of activations: odd multiples of 64 bytes, so that rows do not compete for the same
  // few sets of a cache.
  const int64_t x_stride_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackQuantizedLinear(const WeightRows& weight,
                                                            absl::Span<const float> bias,
                                                            const QuantizedFormat& format,
                                                            const IntKernels* kernels,
                                                            double* relative_error) {
  IntMatrix rounded(weight.rows, weight.cols, format.bits, format.group);
  HEED_ASSIGN_OR_RETURN(const double error, rounded.SetRounded(weight));
  if (relative_error != nullptr) *relative_error = error;
  return std::make_unique<QuantizedLinear>(std::move(rounded), bias, kernels);
}

absl::StatusOr<std::unique_ptr<Linear>> PackBlockLinear(const BlockRows& blocks,
                                                        absl::Span<const float> bias,
                                                        const IntKernels* kernels) {
  IntMatrix weight(blocks.rows, blocks.cols, blocks.bits, BlockRows::kBlockValues);
  HEED_RETURN_IF_ERROR(weight.SetBlocks(blocks));
  return std::make_unique<QuantizedLinear>(std::move(weight), bias, kernels);
}

absl::StatusOr<std::unique_ptr<Linear>> NewQuantizedLinear(const LinearForm& form,
                                                           const IntKernels* kernels) {
  if ((form.bits != 8 && form.bits != 4) || form.rows < 1 || form.cols < 1 || form.group < 16 ||
      form.group % 16 != 0 || form.group > kMostGroup) {
    return absl::InvalidArgumentError(absl::StrCat("no linear layer has ", form.rows, " x ",
                                                   form.cols, " weights of ", form.bits,
                                                   " bits in groups of ", form.group));
  }
  return std::make_unique<QuantizedLinear>(form, kernels);
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
