#include "model/kernels/few_rows.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "model/base/aligned_buffer.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

// Multiply-adds below which waking a team costs more than it saves.
constexpr int64_t kTeamWork = 512 * 1024;

constexpr int64_t kFeaturesAhead = 32;

// Output features of a panel at most.
constexpr int64_t kMostCols = 64;

// Rows that are tried. The kernels of more and of fewer are all among those of so many.
constexpr int64_t kTriedRows = 16;

// How many features oneDNN has been seen to add in one go, besides all of them.
constexpr int64_t kKnownChunks[] = {1024, 512, 256, 128, 64, 2048, 4096};

void FillRandomly(std::mt19937* random, float* values, int64_t n) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int64_t i = 0; i < n; ++i) values[i] = uniform(*random);
}

}  // namespace

// Where, from a chunk's weights on, those lie that are to be brought near beside the tile at `col`.
// A tile of the panel's whole width: some features on. Of two tiles: beside the first, what the
// second reads; beside that, the first one of the next chunk.
int64_t FewRows::Ahead(int64_t col, int64_t tile_cols, int64_t features) const {
  if (tile_cols == panels_.cols) return kFeaturesAhead * panels_.cols;
  return col + tile_cols < panels_.cols ? col + tile_cols : features * panels_.cols;
}

// Rows of a product as the kernels take them: chunk by chunk of the features, and in each tile by
// tile of the rows, [features, rows] each. One row is so already. The memory is the calling
// thread's.
class FewRows::RowTiles {
 public:
  RowTiles(ConstMatrixRef x, int64_t chunk, int64_t max_rows)
      : rows_(x.rows), in_(x.cols), chunk_(chunk), count_((x.rows + max_rows - 1) / max_rows) {
    values_ = x.rows == 1 ? x.data : LayOut(x);
  }

  int64_t rows() const { return rows_; }
  int64_t chunks() const { return (in_ + chunk_ - 1) / chunk_; }
  int64_t Features(int64_t chunk) const { return std::min(chunk_, in_ - chunk * chunk_); }
  int64_t count() const { return count_; }
  int64_t First(int64_t tile) const { return rows_ * tile / count_; }
  const float* Values(int64_t chunk, int64_t tile) const {
    return values_ + rows_ * chunk * chunk_ + First(tile) * Features(chunk);
  }

 private:
  const float* LayOut(ConstMatrixRef x) {
    thread_local AlignedBuffer buffer;
    buffer.Grow(rows_ * in_);
    values_ = buffer.data();
    for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
      for (int64_t tile = 0; tile < count_; ++tile) {
        float* const to = buffer.data() + (Values(chunk, tile) - values_);
        const int64_t row = First(tile), rows = First(tile + 1) - row;
        for (int64_t r = 0; r < rows; ++r) {
          const float* const from = x.data + (row + r) * x.stride + chunk * chunk_;
          for (int64_t k = 0; k < Features(chunk); ++k) to[k * rows + r] = from[k];
        }
      }
    }
    return values_;
  }

  const int64_t rows_, in_, chunk_, count_;
  const float* values_ = nullptr;
};

std::optional<FewRows> FewRows::Imitate(const FloatPanels& panels, const FloatKernels* kernels,
                                        const Multiply& multiply) {
  if (panels.cols > kMostCols || panels.cols % (2 * kernels->panel_cols) != 0) return std::nullopt;
  using Key = std::tuple<int64_t, int64_t, int64_t, const FloatKernels*>;
  static absl::Mutex mutex(absl::kConstInit);
  static auto* const known = new std::map<Key, int64_t>();  // the chunk; 0: none
  const Key key(panels.in, panels.out, panels.cols, kernels);
  absl::MutexLock lock(&mutex);
  auto it = known->find(key);
  if (it == known->end()) it = known->emplace(key, FindChunk(panels, kernels, multiply)).first;
  if (it->second == 0) return std::nullopt;
  return FewRows(panels, kernels, it->second);
}

// 0: none.
int64_t FewRows::FindChunk(const FloatPanels& panels, const FloatKernels* kernels,
                           const Multiply& multiply) {
  std::mt19937 random(1);
  const int64_t last = (panels.out - 1) / panels.cols;
  FillRandomly(&random, panels.weights, panels.in * panels.cols);
  FillRandomly(&random, panels.weights + last * panels.stride, panels.in * panels.cols);
  std::vector<float> x(kTriedRows * panels.in), wanted(kTriedRows * panels.out);
  FillRandomly(&random, x.data(), kTriedRows * panels.in);
  const ConstMatrixRef rows(x.data(), kTriedRows, panels.in);
  multiply(rows, {wanted.data(), kTriedRows, panels.out});

  std::vector<float> got(wanted.size());
  const MatrixRef y(got.data(), kTriedRows, panels.out);
  const auto reproduces = [&](int64_t chunk) {
    const FewRows tried(panels, kernels, chunk);
    const RowTiles tiles(rows, chunk, kernels->max_rows);
    for (int64_t panel : {int64_t{0}, last}) {
      tried.RunPanel(panel, tiles, nullptr, y, Linear::Write::kOverwrite);
      const int64_t first = panel * panels.cols;
      const auto cols = static_cast<size_t>(std::min(panels.cols, panels.out - first));
      for (int64_t r = 0; r < kTriedRows; ++r) {
        const float* const row = wanted.data() + r * panels.out + first;
        if (std::memcmp(y.Row(r).data() + first, row, cols * sizeof(float)) != 0) return false;
      }
    }
    return true;
  };
  if (reproduces(panels.in)) return panels.in;
  for (int64_t chunk : kKnownChunks) {
    if (chunk < panels.in && reproduces(chunk)) return chunk;
  }
  return 0;
}

FewRows::FewRows(const FloatPanels& panels, const FloatKernels* kernels, int64_t chunk)
    : panels_(panels), kernels_(kernels), chunk_(chunk) {}

void FewRows::Apply(ConstMatrixRef x, const float* bias, MatrixRef y, Linear::Write write) const {
  if (x.rows == 0) return;
  const RowTiles tiles(x, chunk_, kernels_->max_rows);
  const int64_t n_panels = (panels_.out + panels_.cols - 1) / panels_.cols;
  const int64_t work = x.rows * panels_.in * panels_.out;
  ParallelFor(n_panels, work >= kTeamWork,
              [&](int64_t panel) { RunPanel(panel, tiles, bias, y, write); });
}

void FewRows::RunPanel(int64_t panel, const RowTiles& tiles, const float* bias, MatrixRef y,
                       Linear::Write write) const {
  const bool is_wide = tiles.rows() <= kernels_->max_wide_rows;
  const auto run = is_wide ? kernels_->wide_tile32 : kernels_->tile32;
  const int64_t tile_cols = kernels_->panel_cols * (is_wide ? 2 : 1);
  const int64_t first = panel * panels_.cols;
  const int64_t cols = std::min(panels_.cols, panels_.out - first);
  const float* const weights = panels_.weights + panel * panels_.stride;
  alignas(64) float totals[kMost * kMostCols];
  alignas(64) float panel_bias[kMostCols] = {};
  if (bias != nullptr) std::copy_n(bias + first, cols, panel_bias);
  FloatTileArgs args{};
  args.w_stride = panels_.cols;
  args.y_stride = y.stride;
  args.accumulate = write == Linear::Write::kAccumulate ? 1 : 0;
  args.ahead_step = panels_.cols * static_cast<int64_t>(sizeof(float));
  for (int64_t chunk = 0; chunk < tiles.chunks(); ++chunk) {
    args.features = tiles.Features(chunk);
    args.is_first = chunk == 0 ? 1 : 0;
    args.is_last = chunk + 1 == tiles.chunks() ? 1 : 0;
    const float* const w = weights + chunk * chunk_ * panels_.cols;
    for (int64_t col = 0; col < cols; col += tile_cols) {
      args.w = w + col;
      args.cols = std::min(tile_cols, cols - col);
      args.bias = panel_bias + col;
      args.ahead = reinterpret_cast<const char*>(w + Ahead(col, tile_cols, args.features));
      for (int64_t tile = 0; tile < tiles.count(); ++tile) {
        const int64_t row = tiles.First(tile);
        args.rows = tiles.First(tile + 1) - row;
        args.x = tiles.Values(chunk, tile);
        args.total = totals + (col * kMost + row * tile_cols);
        args.y = y.data + row * y.stride + first + col;
        run(args);
      }
    }
  }
}

}  // namespace heed
