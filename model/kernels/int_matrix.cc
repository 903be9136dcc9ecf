#include "model/kernels/int_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "model/kernels/half.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

uint8_t* Allocate(int64_t size) {
  auto* const p = static_cast<uint8_t*>(std::aligned_alloc(64, CeilDiv(size, 64) * 64));
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

float LargestOf(absl::Span<const float> weights) {
  float largest = 0;
  for (float w : weights) {
    if (std::fabs(w) > std::fabs(largest)) largest = w;
  }
  return largest;
}

// The scale that brings the largest weight to the end of the range: for 4 bits to -8, which has no
// positive counterpart, so the scale takes the sign.
float GroupScale(float largest, int bits) {
  return bits == 8 ? std::fabs(largest) / 127 : largest / -8;
}

// The values of one block without their scale, as unsigned numbers.
void ReadBlock(const char* block, int bits, int* q) {
  constexpr int64_t kHalf = BlockMatrix::kBlockValues / 2;
  const auto* bytes = reinterpret_cast<const uint8_t*>(block + 2);
  for (int64_t i = 0; i < BlockMatrix::kBlockValues; ++i) {
    if (bits == 8) {
      q[i] = static_cast<int8_t>(bytes[i]) + 128;
    } else {
      q[i] = i < kHalf ? bytes[i] & 15 : bytes[i - kHalf] >> 4;
    }
  }
}

}  // namespace

IntMatrix::IntMatrix(int64_t rows, int64_t cols, int bits, int64_t group)
    : rows_(rows),
      cols_(cols),
      bits_(bits),
      group_(std::min(group, CeilDiv(cols, 16) * 16)),
      n_groups_(CeilDiv(cols, group_)),
      n_panels_(CeilDiv(rows, kPanelCols)),
      panel_bytes_(n_groups_ * group_ * kPanelCols * bits / 8),
      weights_(Allocate(n_panels_ * panel_bytes_ + kIntPaddingBytes)),
      scales_(n_panels_ * n_groups_ * kPanelCols) {
  const int zeros = bits == 8 ? zero() : zero() | zero() << 4;
  ParallelFor(n_panels_, true, [&](int64_t p) {
    std::memset(weights_.get() + p * panel_bytes_, zeros, panel_bytes_);
  });
  std::memset(weights_.get() + n_panels_ * panel_bytes_, zeros, kIntPaddingBytes);
}

int64_t IntMatrix::bytes() const {
  return n_panels_ * panel_bytes_ + static_cast<int64_t>(scales_.size() * sizeof(uint16_t));
}

// Where the weights of a step of kDotWidth columns lie. Two steps of 4 bits share their bytes.
uint8_t* IntMatrix::Place(int64_t row, int64_t step) const {
  const int64_t steps_before = bits_ == 8 ? step : step / 2;
  return weights_.get() + row / kPanelCols * panel_bytes_ +
         (steps_before * kPanelCols + row % kPanelCols) * kDotWidth;
}

void IntMatrix::SetGroup(int64_t row, int64_t g, const int* q) {
  const int64_t first = g * group_ / kDotWidth;
  for (int64_t step = 0; step < group_ / kDotWidth; ++step, q += kDotWidth) {
    uint8_t* const place = Place(row, first + step);
    const bool is_high = bits_ == 4 && (first + step) % 2 == 1;
    for (int64_t i = 0; i < kDotWidth; ++i) {
      const int kept = bits_ == 8 ? 0 : place[i] & (is_high ? 0x0f : 0xf0);
      place[i] = static_cast<uint8_t>(kept | q[i] << (is_high ? 4 : 0));
    }
  }
}

void IntMatrix::FindUnit(ConstMatrixRef weight) {
  float largest = 0;
  for (int64_t r = 0; r < rows_; ++r) {
    for (float w : weight.Row(r)) largest = std::max(largest, std::fabs(w));
  }
  if (largest > 0) unit_ = std::ldexp(1.0f, std::ilogb(largest / (bits_ == 8 ? 127.0f : 8.0f)));
}

IntMatrix::Error IntMatrix::RoundGroup(absl::Span<const float> weights, int64_t row, int64_t g) {
  const float largest = LargestOf(weights);
  const uint16_t half = FloatToHalf(GroupScale(largest, bits_) / unit_);
  const float scale = HalfToFloat(half) * unit_;
  scales_[ScaleIndex(row / kPanelCols, g, row % kPanelCols)] = half;
  const int least = bits_ == 8 ? -127 : -8, most = bits_ == 8 ? 127 : 7;
  std::vector<int> q(group_, zero());
  Error error;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int rounded =
        scale == 0 ? 0 : std::clamp(static_cast<int>(std::lrint(weights[i] / scale)), least, most);
    q[i] = rounded + zero();
    if (weights[i] == 0) continue;
    error.sum += std::min(1.0f, std::fabs(scale * static_cast<float>(rounded) / weights[i] - 1));
    error.count += 1;
  }
  SetGroup(row, g, q.data());
  return error;
}

double IntMatrix::SetRounded(ConstMatrixRef weight) {
  FindUnit(weight);
  std::vector<Error> errors(n_panels_);
  ParallelFor(n_panels_, true, [&](int64_t panel) {
    const int64_t end = std::min(rows_, (panel + 1) * kPanelCols);
    for (int64_t row = panel * kPanelCols; row < end; ++row) {
      for (int64_t g = 0; g < n_groups_; ++g) {
        const int64_t begin = g * group_, count = std::min(group_, cols_ - begin);
        const Error error = RoundGroup(weight.Row(row).subspan(begin, count), row, g);
        errors[panel].sum += error.sum;
        errors[panel].count += error.count;
      }
    }
  });
  Error all;
  for (const Error& error : errors) all.sum += error.sum, all.count += error.count;
  return all.count > 0 ? all.sum / all.count : 0;
}

absl::Status IntMatrix::SetBlocks(const BlockMatrix& blocks) {
  const int64_t block_bytes = BlockMatrix::BlockBytes(bits_);
  std::vector<absl::Status> statuses(n_panels_);
  ParallelFor(n_panels_, true, [&](int64_t panel) {
    const int64_t end = std::min(rows_, (panel + 1) * kPanelCols);
    for (int64_t row = panel * kPanelCols; row < end; ++row) {
      const char* block = blocks.blocks.data() + row * blocks.row_bytes();
      for (int64_t g = 0; g < n_groups_; ++g, block += block_bytes) {
        uint16_t half = 0;
        std::memcpy(&half, block, sizeof half);
        if (!std::isfinite(HalfToFloat(half))) {
          statuses[panel] = absl::InvalidArgumentError(
              absl::StrCat("the scale of block ", g, " in row ", row, " is ", HalfToFloat(half)));
          return;
        }
        scales_[ScaleIndex(panel, g, row % kPanelCols)] = half;
        int q[BlockMatrix::kBlockValues];
        ReadBlock(block, bits_, q);
        SetGroup(row, g, q);
      }
    }
  });
  for (absl::Status& status : statuses) {
    if (!status.ok()) return std::move(status);
  }
  return absl::OkStatus();
}

void IntMatrix::CopyRow(int64_t row, absl::Span<float> out) const {
  const int64_t panel = row / kPanelCols, col = row % kPanelCols;
  for (int64_t k = 0; k < cols_; ++k) {
    const int64_t step = k / kDotWidth;
    const int shift = bits_ == 4 && step % 2 == 1 ? 4 : 0;
    const int q = Place(row, step)[k % kDotWidth] >> shift & (bits_ == 8 ? 255 : 15);
    out[k] = HalfToFloat(scales_[ScaleIndex(panel, k / group_, col)]) * unit_ *
             static_cast<float>(q - zero());
  }
}

}  // namespace heed
