#include "model/kernels/linear_float.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/kernels/parallel.h"
#include "model/kernels/weight_strips.h"

namespace heed {
namespace {

// Rows up to which weights come from memory slower than they are used: a panel at a time.
constexpr int64_t kStreamingRows = 64;

// Most panels that the rows of a large batch pass by in one go. A chunk of them stays in the
// second-level cache.
constexpr int64_t kMaxStripPanels = 8;

// Blocks up to which 16-bit weights are widened anew for each.
constexpr int64_t kWideningBlocks = 4;

// Multiply-adds below which waking a team costs more than it saves.
constexpr int64_t kTeamWork = 512 * 1024;

// Activations worth laying out on several threads.
constexpr int64_t kTeamElements = 64 * 1024;

// Input features of a panel that are packed at a time.
constexpr int64_t kPackFeatures = 16;

int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Consecutive panels.
struct Strip {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// What rounding has made of some weights.
struct Rounding {
  double error = 0;   // the sum of min(1, |rounded - weight| / |weight|)
  int64_t count = 0;  // of weights that are not 0

  void Add(const Rounding& other) { error += other.error, count += other.count; }
};

// Weights from here on are infinite in half precision.
constexpr float kBeyondHalf = 65520;

// An infinite error where a weight has become infinite.
Rounding CompareRounded(const float* weights, const float* rounded, int64_t n) {
  float error = 0;
  int32_t count = 0;
#pragma omp simd reduction(+ : error, count)
  for (int64_t i = 0; i < n; ++i) {
    const float amount = std::fabs(weights[i]);
    const float lost = std::fabs(rounded[i] - weights[i]) / (amount > 0 ? amount : 1.0f);
    error += lost < 1 ? lost : 1.0f;
    error += amount < kBeyondHalf ? 0 : std::numeric_limits<float>::infinity();
    count += amount > 0 ? 1 : 0;
  }
  return {error, count};
}

// The rows of a batch as tiles take them: in blocks of about as many rows each.
class RowBlocks {
 public:
  RowBlocks(int64_t rows, int64_t most) : rows_(rows), count_(CeilDiv(rows, most)) {}
  int64_t count() const { return count_; }
  int64_t First(int64_t block) const { return rows_ * block / count_; }

 private:
  const int64_t rows_, count_;
};

class FloatLinear : public Linear {
 public:
  // Its memory has yet to be filled.
  FloatLinear(const LinearForm& form, const FloatKernels* kernels)
      : form_(form),
        kernels_(*kernels),
        panel_cols_(kernels->panel_cols),
        n_panels_(CeilDiv(form.rows, panel_cols_)),
        panel_bytes_(form.cols * panel_cols_ * form.bits / 8),
        weights_(CeilDiv(n_panels_ * panel_bytes_, sizeof(float))),
        bias_(n_panels_ * panel_cols_) {}

  absl::StatusOr<Rounding> Fill(const WeightRows& weight, absl::Span<const float> bias) {
    std::copy(bias.begin(), bias.end(), bias_.begin());
    std::vector<Rounding> panels(n_panels_);
    HEED_RETURN_IF_ERROR(
        ForEachStrip(weight, panel_cols_, [&](int64_t first, ConstMatrixRef rows) -> absl::Status {
          if (form_.bits == 16) HEED_RETURN_IF_ERROR(CheckFinite(first, rows));
          panels[first / panel_cols_] = FillPanel(first / panel_cols_, rows);
          return absl::OkStatus();
        }));
    Rounding all;
    for (const Rounding& panel : panels) all.Add(panel);
    return all;
  }

  const LinearForm& form() const override { return form_; }
  std::vector<absl::Span<char>> storage() override {
    std::vector<absl::Span<char>> spans = {
        {reinterpret_cast<char*>(weights_.data()), static_cast<size_t>(n_panels_ * panel_bytes_)}};
    if (form_.has_bias) {
      spans.push_back({reinterpret_cast<char*>(bias_.data()), bias_.size() * sizeof(float)});
    }
    return spans;
  }

  int64_t in_features() const override { return form_.cols; }
  int64_t out_features() const override { return form_.rows; }
  int64_t weight_bytes() const override {
    return n_panels_ * panel_bytes_ + static_cast<int64_t>(bias_.size() * sizeof(float));
  }

  void Apply(ConstMatrixRef x, MatrixRef y, Write write) const override {
    if (x.rows == 0) return;
    const RowBlocks blocks(x.rows, kernels_.max_rows);
    const float* const tiles = LayOut(x, blocks);
    const int64_t work = x.rows * form_.cols * form_.rows;
    const int64_t threads = work < kTeamWork ? 1 : MaxThreads();
    const int64_t n_strips = CountStrips(x.rows, threads);
    ParallelFor(n_strips, threads > 1, [&](int64_t s) {
      const Strip strip = {n_panels_ * s / n_strips, n_panels_ * (s + 1) / n_strips};
      if (blocks.count() == 1) {
        for (int64_t p = strip.begin; p < strip.end; ++p) {
          RunStrip(tiles, blocks, {p, p + 1}, y, write);
        }
      } else {
        RunStrip(tiles, blocks, strip, y, write);
      }
    });
  }

  void CopyWeightRow(int64_t row, absl::Span<float> out) const override {
    const char* const panel = Panel(row / panel_cols_);
    const int64_t col = row % panel_cols_;
    if (form_.bits == 32) {
      const float* const from = reinterpret_cast<const float*>(panel) + col;
      for (int64_t k = 0; k < form_.cols; ++k) out[k] = from[k * panel_cols_];
      return;
    }
    constexpr int64_t kStep = 64;
    const uint16_t* const from = reinterpret_cast<const uint16_t*>(panel) + col;
    for (int64_t begin = 0; begin < form_.cols; begin += kStep) {
      const int64_t count = std::min(kStep, form_.cols - begin);
      uint16_t halves[kStep] = {};
      float values[kStep];
      for (int64_t k = 0; k < count; ++k) halves[k] = from[(begin + k) * panel_cols_];
      kernels_.widen(halves, kStep, values);
      std::copy_n(values, count, out.begin() + begin);
    }
  }

 private:
  char* Panel(int64_t p) { return reinterpret_cast<char*>(weights_.data()) + p * panel_bytes_; }
  const char* Panel(int64_t p) const {
    return reinterpret_cast<const char*>(weights_.data()) + p * panel_bytes_;
  }

  static absl::Status CheckFinite(int64_t first, ConstMatrixRef rows) {
    for (int64_t r = 0; r < rows.rows; ++r) {
      const absl::Span<const float> row = rows.Row(r);
      uint32_t most = 0;  // of the amounts' bits: infinity is above all numbers, and NaN above that
      for (float w : row) most = std::max(most, std::bit_cast<uint32_t>(std::fabs(w)));
      if (std::isfinite(std::bit_cast<float>(most))) continue;
      const auto k =
          std::find_if(row.begin(), row.end(), [](float w) { return !std::isfinite(w); });
      return absl::InvalidArgumentError(absl::StrCat("the weight at [", first + r, ", ",
                                                     k - row.begin(), "] is ", *k,
                                                     "; only finite weights can be rounded"));
    }
    return absl::OkStatus();
  }

  // Some features at a time, so that what is written of them stays in the cache.
  Rounding FillPanel(int64_t p, ConstMatrixRef rows) {
    float values[kPackFeatures * kMostPanelCols] = {};
    Rounding rounding;
    for (int64_t k = 0; k < form_.cols; k += kPackFeatures) {
      const int64_t features = std::min(kPackFeatures, form_.cols - k);
      for (int64_t r = 0; r < rows.rows; ++r) {
        const float* const from = rows.data + r * rows.stride + k;
        for (int64_t i = 0; i < features; ++i) values[i * panel_cols_ + r] = from[i];
      }
      char* const to = Panel(p) + k * panel_cols_ * form_.bits / 8;
      rounding.Add(Store(values, features * panel_cols_, to));
    }
    return rounding;
  }

  Rounding Store(const float* values, int64_t n, char* to) const {
    if (form_.bits == 32) {
      std::memcpy(to, values, n * sizeof(float));
      return {};
    }
    auto* const halves = reinterpret_cast<uint16_t*>(to);
    float rounded[kPackFeatures * kMostPanelCols];
    kernels_.narrow(values, n, halves);
    kernels_.widen(halves, n, rounded);
    return CompareRounded(values, rounded, n);
  }

  // x as tiles take it: chunk by chunk, and in each the blocks, [features, rows] each. One row is
  // so already. The memory is the calling thread's.
  const float* LayOut(ConstMatrixRef x, const RowBlocks& blocks) const {
    if (x.rows == 1) return x.data;
    thread_local AlignedBuffer buffer;
    buffer.Grow(x.rows * form_.cols);
    float* const to = buffer.data();
    const int64_t n_chunks = CeilDiv(form_.cols, kFloatChunk);
    const int64_t pieces = n_chunks * blocks.count();
    ParallelBlocks(pieces, CeilDiv(kTeamElements * pieces, x.rows * form_.cols),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       LayOutBlock(x, blocks, i / blocks.count(), i % blocks.count(), to);
                     }
                   });
    return to;
  }

  void LayOutBlock(ConstMatrixRef x, const RowBlocks& blocks, int64_t chunk, int64_t block,
                   float* tiles) const {
    const int64_t k0 = chunk * kFloatChunk, features = Features(chunk);
    const int64_t row = blocks.First(block), rows = blocks.First(block + 1) - row;
    float* const to = tiles + x.rows * k0 + row * features;
    for (int64_t r = 0; r < rows; ++r) {
      const float* const from = x.data + (row + r) * x.stride + k0;
      for (int64_t k = 0; k < features; ++k) to[k * rows + r] = from[k];
    }
  }

  int64_t Features(int64_t chunk) const {
    return std::min(kFloatChunk, form_.cols - chunk * kFloatChunk);
  }

  // A strip's weights are read once, so few rows want long ones; with many rows, strips are as
  // short as to share the work out evenly.
  int64_t CountStrips(int64_t rows, int64_t threads) const {
    if (rows <= kernels_.max_rows) return std::min(n_panels_, threads);
    if (rows <= kStreamingRows) return n_panels_;
    return CeilDiv(n_panels_, std::clamp<int64_t>(n_panels_ / (4 * threads), 1, kMaxStripPanels));
  }

  // All rows pass by a chunk of the strip's panels, then by the next one.
  void RunStrip(const float* x, const RowBlocks& blocks, Strip strip, MatrixRef y,
                Write write) const {
    thread_local AlignedBuffer totals, widened;
    const int64_t chunk_floats = kFloatChunk * panel_cols_;
    const bool widens = form_.bits == 16 && blocks.count() > kWideningBlocks;
    totals.Grow(strip.size() * y.rows * panel_cols_);
    if (widens) widened.Grow(strip.size() * chunk_floats);
    const auto run = form_.bits == 16 && !widens ? kernels_.tile16 : kernels_.tile32;
    FloatTileArgs args{};
    args.w_stride = panel_cols_;
    args.y_stride = y.stride;
    args.accumulate = write == Write::kAccumulate ? 1 : 0;
    const int64_t n_chunks = CeilDiv(form_.cols, kFloatChunk);
    // Each block asks for its share of the panel's next chunk.
    const int64_t chunk_bytes = chunk_floats * form_.bits / 8;
    args.ahead_step = CeilDiv(chunk_bytes / kFloatChunk, blocks.count());
    const int64_t ahead_bytes = args.ahead_step * kFloatChunk;
    for (int64_t chunk = 0; chunk < n_chunks; ++chunk) {
      args.features = Features(chunk);
      args.is_first = chunk == 0 ? 1 : 0;
      args.is_last = chunk + 1 == n_chunks ? 1 : 0;
      const int64_t offset = chunk * chunk_bytes;
      for (int64_t i = 0; widens && i < strip.size(); ++i) {
        kernels_.widen(reinterpret_cast<const uint16_t*>(Panel(strip.begin + i) + offset),
                       args.features * panel_cols_, widened.data() + i * chunk_floats);
      }
      for (int64_t block = 0; block < blocks.count(); ++block) {
        const int64_t row = blocks.First(block);
        args.rows = blocks.First(block + 1) - row;
        args.x = x + y.rows * chunk * kFloatChunk + row * args.features;
        for (int64_t i = 0; i < strip.size(); ++i) {
          const int64_t col = (strip.begin + i) * panel_cols_;
          args.w = widens ? static_cast<const void*>(widened.data() + i * chunk_floats)
                          : Panel(strip.begin + i) + offset;
          args.cols = std::min(panel_cols_, form_.rows - col);
          args.total = totals.data() + (i * y.rows + row) * panel_cols_;
          args.bias = bias_.data() + col;
          args.y = y.data + row * y.stride + col;
          args.ahead = Panel(strip.begin + i) + offset + chunk_bytes + block * ahead_bytes;
          run(args);
        }
      }
    }
  }

  const LinearForm form_;
  const FloatKernels& kernels_;
  const int64_t panel_cols_, n_panels_, panel_bytes_;
  AlignedBuffer weights_;
  std::vector<float> bias_;  // [n_panels * panel_cols]
};

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> PackFloatLinear(const WeightRows& weight,
                                                        absl::Span<const float> bias, int bits,
                                                        const FloatKernels* kernels,
                                                        double* relative_error) {
  const LinearForm form{
      .rows = weight.rows, .cols = weight.cols, .bits = bits, .has_bias = !bias.empty()};
  auto linear = std::make_unique<FloatLinear>(form, kernels);
  HEED_ASSIGN_OR_RETURN(const Rounding rounding, linear->Fill(weight, bias));
  if (relative_error != nullptr) {
    *relative_error = rounding.count > 0 ? rounding.error / static_cast<double>(rounding.count) : 0;
  }
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> NewFloatLinear(const LinearForm& form,
                                                       const FloatKernels* kernels) {
  if ((form.bits != 32 && form.bits != 16) || form.rows < 1 || form.cols < 1 || form.group != 0) {
    return absl::InvalidArgumentError(absl::StrCat("no linear layer has ", form.rows, " x ",
                                                   form.cols, " weights of ", form.bits,
                                                   " bits in groups of ", form.group));
  }
  return std::make_unique<FloatLinear>(form, kernels);
}

const FloatKernels* FloatKernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return &Avx512FloatKernels();
  if (isa == Isa::kAvx2) return &Avx2FloatKernels();
#endif
  return &PortableFloatKernels();
}

}  // namespace heed
