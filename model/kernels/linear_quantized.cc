#include "model/kernels/linear_quantized.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/kernels/int_matrix.h"
#include "model/kernels/linear_bf16.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Weights that stay in the first-level cache while the rows of a large batch pass by.
constexpr int64_t kCacheBytes = 24 * 1024;

// Multiply-adds below which waking a team costs more than it saves.
constexpr int64_t kTeamWork = 1024 * 1024;

// Elements of activations worth rounding on several threads.
constexpr int64_t kTeamElements = 16 * 1024;

// Whether groups that could be spread are: what is multiplied in bfloat16 has no need of it.
bool MaySpread(const IntKernels& kernels) {
  return kernels.bf16 == nullptr;
}

// Activations, rounded: for each tile of kMaxIntTileRows rows what IntTileArgs says. The places of
// rows that there are not hold anything.
struct RoundedRows {
  std::vector<int8_t> q;       // [tiles, steps, kMaxIntTileRows, kDotWidth]
  std::vector<float> scale;    // [tiles, n_groups, kMaxIntTileRows]
  std::vector<int32_t> start;  // as scale
};

template <typename T>
void Grow(std::vector<T>& storage, int64_t count) {
  storage.resize(std::max<size_t>(storage.size(), count));
}

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
              .has_bias = !bias.empty()} {
    std::copy(bias.begin(), bias.end(), bias_.begin());
  }

  // Its storage has yet to be filled.
  QuantizedLinear(const LinearForm& form, const IntKernels* kernels)
      : QuantizedLinear(IntMatrix(form.rows, form.cols, form.bits, form.group, MaySpread(*kernels)),
                        {}, kernels) {
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
    if (UsesBf16()) return MultiplyInBf16(weight_, bias_, *kernels_.bf16, x, y, write);
    ApplyRounded([&](int64_t r) { return x.Row(r).data(); }, y, write);
  }

  bool ApplyMade(RowMaker make, MatrixRef y, Write write) const override {
    if (y.rows == 0) return true;
    if (UsesBf16()) {
      MultiplyMadeInBf16(weight_, bias_, *kernels_.bf16, make, y, write);
      return true;
    }
    const auto made_row = [&](int64_t r) {
      thread_local std::vector<float> made;
      Grow(made, weight_.cols());
      make(r, 0, weight_.cols(), made.data());
      return made.data();
    };
    ApplyRounded(made_row, y, write);
    return true;
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    if (UsesBf16()) {
      weight_.CopyRowInBf16(row, out);
    } else {
      weight_.CopyRow(row, out);
    }
  }

 private:
  bool UsesBf16() const { return kernels_.bf16 != nullptr && SuitsBf16(weight_); }

  // row_of(r): where row r lies, until the same thread asks for another.
  template <typename RowOf>
  void ApplyRounded(const RowOf& row_of, MatrixRef y, Write write) const {
    thread_local RoundedRows rounded;
    Round(row_of, y.rows, rounded);
    const int64_t work = y.rows * weight_.cols() * weight_.rows();
    const RoundedRows& shared = rounded;
    ParallelFor(weight_.n_panels(), work >= kTeamWork,
                [&](int64_t panel) { RunTiles(shared, panel, y, write); });
  }

  template <typename RowOf>
  void Round(const RowOf& row_of, int64_t rows, RoundedRows& out) const {
    const int64_t tiles = CeilDiv(rows, kMaxIntTileRows);
    Grow(out.q, tiles * TileBytes());
    Grow(out.scale, tiles * TileGroups());
    Grow(out.start, tiles * TileGroups());
    const int64_t tile_elements = weight_.cols() * kMaxIntTileRows;
    ParallelBlocks(tiles, std::max<int64_t>(1, kTeamElements / tile_elements),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t tile = begin; tile < end; ++tile) {
                       RoundTile(row_of, tile, rows, out);
                     }
                   });
  }

  // The rows of one tile, each by itself.
  template <typename RowOf>
  void RoundTile(const RowOf& row_of, int64_t tile, int64_t rows, RoundedRows& out) const {
    const int64_t first = tile * kMaxIntTileRows;
    for (int64_t r = 0; r < std::min(kMaxIntTileRows, rows - first); ++r) {
      const float* const row = row_of(first + r);
      kernels_.quantize(weight_.spreads() ? Spread(row) : row, weight_.cols(), weight_.group(),
                        weight_.zero(), out.q.data() + tile * TileBytes() + r * kDotWidth,
                        out.scale.data() + tile * TileGroups() + r,
                        out.start.data() + tile * TileGroups() + r);
    }
  }

  // The row, spread, until the same thread asks for another.
  const float* Spread(const float* row) const {
    thread_local std::vector<float> spread;
    Grow(spread, weight_.cols());
    kernels_.spread(row, weight_.cols(), spread.data());
    return spread.data();
  }

  // Of one tile of activations.
  int64_t TileBytes() const { return weight_.n_groups() * weight_.group() * kMaxIntTileRows; }
  int64_t TileGroups() const { return weight_.n_groups() * kMaxIntTileRows; }

  int64_t GroupBytes() const { return weight_.group() * kPanelCols * weight_.bits() / 8; }
  int64_t ColsOf(int64_t panel) const {
    return std::min(kPanelCols, weight_.rows() - panel * kPanelCols);
  }

  // Many rows pass by a part of the panel that fits in the cache, then by the next one.
  void RunTiles(const RoundedRows& x, int64_t panel, MatrixRef y, Write write) const {
    thread_local AlignedBuffer totals;
    totals.Grow(y.rows * kPanelCols);
    IntTileArgs args{};
    args.w = weight_.panel(panel);
    args.w_scale = weight_.scales(panel);
    args.unit = weight_.unit();
    args.bias = bias_.data() + panel * kPanelCols;
    args.y_stride = y.stride;
    args.cols = ColsOf(panel);
    args.n_groups = weight_.n_groups();
    args.group = weight_.group();
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    const auto run = weight_.bits() == 4 ? kernels_.tile4 : kernels_.tile8;
    const int64_t chunk = y.rows <= kMaxIntTileRows ? args.n_groups : ChunkGroups();
    // Several tiles each ask for their share of the next chunk, or of the next panel; one alone
    // reads from memory all the time anyway.
    args.ahead = args.w + chunk * GroupBytes();
    const int64_t n_tiles = CeilDiv(y.rows, kMaxIntTileRows);
    const int64_t share = n_tiles > 1 ? CeilDiv(chunk * GroupBytes(), n_tiles) : 0;
    for (args.begin_group = 0; args.begin_group < args.n_groups;
         args.begin_group = args.end_group) {
      args.end_group = std::min(args.n_groups, args.begin_group + chunk);
      for (int64_t r = 0; r < y.rows; r += kMaxIntTileRows) {
        args.rows = std::min(kMaxIntTileRows, y.rows - r);
        args.is_warm = r > 0 ? 1 : 0;
        args.ahead_bytes = share;
        const int64_t tile = r / kMaxIntTileRows;
        args.x = x.q.data() + tile * TileBytes();
        args.x_scale = x.scale.data() + tile * TileGroups();
        args.x_start = x.start.data() + tile * TileGroups();
        args.y = y.Row(r).data() + panel * kPanelCols;
        args.total = totals.data() + r * kPanelCols;
        run(args);
        args.ahead += args.ahead_bytes;
      }
    }
  }

  // Groups that fit in the cache together, in parts of the panel that are alike.
  int64_t ChunkGroups() const {
    const int64_t most = std::max<int64_t>(1, kCacheBytes / GroupBytes());
    return CeilDiv(weight_.n_groups(), CeilDiv(weight_.n_groups(), most));
  }

  IntMatrix weight_;
  const IntKernels& kernels_;
  std::vector<float> bias_;  // [n_panels * kPanelCols]
  LinearForm form_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackQuantizedLinear(const WeightRows& weight,
                                                            absl::Span<const float> bias,
                                                            const QuantizedFormat& format,
                                                            const IntKernels* kernels,
                                                            double* relative_error) {
  IntMatrix rounded(weight.rows, weight.cols, format.bits, format.group, MaySpread(*kernels));
  HEED_ASSIGN_OR_RETURN(const double error, rounded.SetRounded(weight, *kernels));
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

std::string IntPacking(const IntKernels& kernels) {
  return absl::StrCat("integers ", kIntStorageVersion, MaySpread(kernels) ? " spread" : "");
}

const IntKernels* IntKernelsFor(Isa isa) {
#if defined(__x86_64__)
  static const CpuFacts& facts = *new CpuFacts(DetectCpu());
  if (isa == Isa::kAvx512 && facts.amx) return &AmxIntKernels();
  if (isa == Isa::kAvx512 && facts.avx512_vnni) return &VnniIntKernels();
  if (isa != Isa::kPortable) return facts.avx_vnni ? &AvxVnniIntKernels() : &Avx2IntKernels();
#endif
  return &PortableIntKernels();
}

}  // namespace heed
