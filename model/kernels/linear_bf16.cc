#include "model/kernels/linear_bf16.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "model/base/aligned_buffer.h"
#include "model/kernels/int_kernels.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Tiles of features that all rows pass by in one go: the weights and the activations of some rows
// stay in the first-level cache.
constexpr int64_t kDepth = 8;

// Pairs of row tiles that pass by the same weights one after the other.
constexpr int64_t kPairsTogether = 2;

// Most panels whose weights are widened at once: they stay in the second-level cache.
constexpr int64_t kMaxStripPanels = 4;

// Rows up to which weights come from memory slower than they are used.
constexpr int64_t kStreamingRows = 64;

// Products of tiles below which waking a team costs more than it saves: 20 us.
constexpr int64_t kTeamProducts = 1024;

// Elements of activations worth rounding on several threads.
constexpr int64_t kTeamElements = 64 * 1024;

// Of a row's features that are made where they are rounded, as many at once: they stay in the
// first-level cache.
constexpr int64_t kMadeFeatures = 32 * kTileFeatures;

constexpr int64_t kPairRows = 2 * kTileSide;

// Memory for `count` 16-bit numbers.
uint16_t* Bf16Memory(AlignedBuffer& buffer, int64_t count) {
  buffer.Grow(CeilDiv(count, 2));
  return reinterpret_cast<uint16_t*>(buffer.data());
}

class Product {
 public:
  Product(const IntMatrix& weight, absl::Span<const float> bias, const Bf16Kernels& kernels,
          MatrixRef y, Linear::Write write)
      : weight_(weight),
        bias_(bias),
        kernels_(kernels),
        y_(y),
        accumulate_(write == Linear::Write::kAccumulate ? 1 : 0),
        factor_(std::ldexp(weight.unit(), kBf16WeightShift - kBf16ActivationShift)),
        n_tiles_(CeilDiv(weight.cols(), kTileFeatures)) {}

  void Run(ConstMatrixRef x) {
    RunRounded([&](int64_t r, uint16_t* out) { kernels_.round(x.Row(r).data(), x.cols, out); });
  }

  void Run(RowMaker make) {
    RunRounded([&](int64_t r, uint16_t* out) {
      alignas(64) float made[kMadeFeatures];
      for (int64_t begin = 0; begin < weight_.cols(); begin += kMadeFeatures) {
        const int64_t end = std::min(weight_.cols(), begin + kMadeFeatures);
        make(r, begin, end, made);
        kernels_.round(made, end - begin, out + begin / kTileFeatures * kTileNumbers);
      }
    });
  }

 private:
  // round_row(r, out) rounds a row, as Bf16Kernels::round does.
  template <typename RoundRow>
  void RunRounded(const RoundRow& round_row) {
    thread_local AlignedBuffer rounded;
    Round(round_row, rounded);
    const int64_t n_panels = weight_.n_panels();
    const int64_t products = CeilDiv(y_.rows, kTileSide) * n_tiles_ * n_panels * kPanelTiles;
    const int64_t threads = products < kTeamProducts ? 1 : MaxThreads();
    const int64_t n_strips = CountStrips(threads);
    ParallelFor(n_strips, threads > 1, [&](int64_t s) {
      const int64_t begin = n_panels * s / n_strips, end = n_panels * (s + 1) / n_strips;
      kernels_.enter(std::min(y_.rows, kTileSide));
      if (y_.rows <= kTileSide) {
        for (int64_t p = begin; p < end; ++p) RunPanel(p);
      } else {
        RunStrip(begin, end);
      }
      kernels_.leave();
    });
  }

  // The rows as tiles: [rows / kTileSide, n_tiles, kTileSide, kTileFeatures]. Rows that there are
  // not are what was there before.
  template <typename RoundRow>
  void Round(const RoundRow& round_row, AlignedBuffer& memory) {
    const int64_t row_tiles = CeilDiv(y_.rows, kPairRows) * 2;
    uint16_t* const out = Bf16Memory(memory, row_tiles * n_tiles_ * kTileNumbers);
    const int64_t grain = std::max<int64_t>(1, kTeamElements / weight_.cols());
    ParallelBlocks(y_.rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        round_row(r, out + r / kTileSide * n_tiles_ * kTileNumbers + r % kTileSide * kTileFeatures);
      }
    });
    x_ = out;
  }

  // Few rows read all weights once. With many, strips are as long as their sums fit a cache, since
  // each reads all activations, and as many for one thread as for the other.
  int64_t CountStrips(int64_t threads) const {
    const int64_t n_panels = weight_.n_panels();
    if (y_.rows <= kStreamingRows) return threads > 1 ? n_panels : 1;
    const int64_t own = CeilDiv(n_panels, threads);
    return std::min(n_panels, CeilDiv(own, kMaxStripPanels) * threads);
  }

  int64_t ColsOf(int64_t panel) const {
    return std::min(kPanelCols, weight_.rows() - panel * kPanelCols);
  }
  const uint16_t* RowTiles(int64_t row_tile, int64_t first) const {
    return x_ + (row_tile * n_tiles_ + first) * kTileNumbers;
  }

  void RunPanel(int64_t panel) const {
    kernels_.panel({.x = x_,
                    .rows = y_.rows,
                    .w = weight_.panel(panel),
                    .w_scale = weight_.scales(panel),
                    .group = weight_.group(),
                    .n_tiles = n_tiles_,
                    .bits = weight_.bits(),
                    .factor = factor_,
                    .bias = bias_.data() + panel * kPanelCols,
                    .y = y_.data + panel * kPanelCols,
                    .y_stride = y_.stride,
                    .cols = ColsOf(panel),
                    .accumulate = accumulate_});
  }

  // All rows pass by some features of panels [begin, end), then by the next ones.
  void RunStrip(int64_t begin, int64_t end) const {
    thread_local AlignedBuffer weights, sums;
    constexpr int64_t kPanelNumbers = kDepth * kPanelTiles * kTileNumbers;
    const int64_t panels = end - begin, row_pairs = CeilDiv(y_.rows, kPairRows);
    uint16_t* const w = Bf16Memory(weights, panels * kPanelNumbers);
    sums.Grow(panels * row_pairs * 2 * kPanelTiles * kTileSumCount);
    const auto widen = weight_.bits() == 8 ? kernels_.widen8 : kernels_.widen4;
    for (int64_t first = 0; first < n_tiles_; first += kDepth) {
      const int64_t depth = std::min(kDepth, n_tiles_ - first);
      for (int64_t p = 0; p < panels; ++p) {
        widen(weight_.panel(begin + p), weight_.scales(begin + p), weight_.group(), first, depth,
              w + p * kPanelNumbers, kDepth * kTileNumbers);
      }
      for (int64_t pair = 0; pair < row_pairs; pair += kPairsTogether) {
        const int64_t last = std::min(row_pairs, pair + kPairsTogether);
        for (int64_t c = 0; c < panels * kPanelTiles; c += 2) {
          for (int64_t i = pair; i < last; ++i) {
            float* const pair_sums =
                Sums(sums, c / kPanelTiles, row_pairs, 2 * i) + c % kPanelTiles * kTileSumCount;
            AddPair(i, first, depth, w + c * kDepth * kTileNumbers, pair_sums);
            if (first + depth == n_tiles_) FinishPair(begin, c, i, pair_sums);
          }
        }
      }
    }
  }

  // The sums of a panel and a row tile: [kPanelTiles, kTileSide, kTileSide].
  static float* Sums(AlignedBuffer& sums, int64_t panel, int64_t row_pairs, int64_t row_tile) {
    return sums.data() + (panel * 2 * row_pairs + row_tile) * kPanelTiles * kTileSumCount;
  }

  void AddPair(int64_t pair, int64_t first, int64_t depth, const uint16_t* w, float* sums) const {
    float* const below = sums + kPanelTiles * kTileSumCount;
    kernels_.add_pair({.x = {RowTiles(2 * pair, first), RowTiles(2 * pair + 1, first)},
                       .w = {w, w + kDepth * kTileNumbers},
                       .n_tiles = depth,
                       .is_first = first == 0 ? 1 : 0,
                       .total = {sums, sums + kTileSumCount, below, below + kTileSumCount}});
  }

  // Two row tiles, and the column tiles c and c + 1 of the strip that begins with panel `begin`.
  void FinishPair(int64_t begin, int64_t c, int64_t pair, const float* sums) const {
    const int64_t panel = begin + c / kPanelTiles, col = c % kPanelTiles * kTileSide;
    const int64_t cols = std::min<int64_t>(2 * kTileSide, ColsOf(panel) - col);
    if (cols <= 0) return;
    for (int64_t t = 0; t < 2; ++t) {
      const int64_t row = pair * kPairRows + t * kTileSide;
      if (row >= y_.rows) return;
      kernels_.finish({.total = sums + t * kPanelTiles * kTileSumCount,
                       .rows = std::min(kTileSide, y_.rows - row),
                       .factor = factor_,
                       .bias = bias_.data() + panel * kPanelCols + col,
                       .y = y_.Row(row).data() + panel * kPanelCols + col,
                       .y_stride = y_.stride,
                       .cols = cols,
                       .accumulate = accumulate_});
    }
  }

  const IntMatrix& weight_;
  const absl::Span<const float> bias_;
  const Bf16Kernels& kernels_;
  const MatrixRef y_;
  const int accumulate_;
  const float factor_;
  const int64_t n_tiles_;
  const uint16_t* x_ = nullptr;
};

}  // namespace

void MultiplyInBf16(const IntMatrix& weight, absl::Span<const float> bias,
                    const Bf16Kernels& kernels, ConstMatrixRef x, MatrixRef y,
                    Linear::Write write) {
  Product(weight, bias, kernels, y, write).Run(x);
}

void MultiplyMadeInBf16(const IntMatrix& weight, absl::Span<const float> bias,
                        const Bf16Kernels& kernels, RowMaker make, MatrixRef y,
                        Linear::Write write) {
  Product(weight, bias, kernels, y, write).Run(make);
}

}  // namespace heed
