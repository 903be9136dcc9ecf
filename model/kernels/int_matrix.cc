#include "model/kernels/int_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/base/casts.h"
#include "absl/strings/str_cat.h"
#include "model/base/aligned_buffer.h"
#include "model/base/status_macros.h"
#include "model/kernels/bf16.h"
#include "model/kernels/half.h"
#include "model/kernels/int_kernels_spread.h"
#include "model/kernels/parallel.h"
#include "model/kernels/weight_strips.h"

namespace heed {
namespace {

constexpr float kLargestHalf = 65504;

// Scales from it to kMostScale keep the full precision of most weights, and none times 127 exceeds
// half precision's range, which Bf16Kernels need.
constexpr float kLeastScale = 0x1p-10f, kMostScale = 0x1p9f;

// Until weights are seen that it does not suit.
float UsualUnit(int bits) {
  return std::ldexp(1.0f, bits == 8 ? -12 : -8);
}

// What brings a largest weight to the end of the range: for 4 bits to -8, which has no positive
// counterpart, so the scale takes the sign.
float GroupScale(float largest, int bits) {
  return bits == 8 ? std::fabs(largest) / 127 : largest / -8;
}

// The largest amount of a weight; not finite if one of them is not.
float LargestAmount(absl::Span<const float> weights) {
  constexpr int32_t kAmount = 0x7fffffff;
  int32_t most = 0;
  for (float weight : weights) {
    const int32_t amount = absl::bit_cast<int32_t>(weight) & kAmount;
    most = amount > most ? amount : most;  // NaN is above infinity, and that above all others
  }
  return absl::bit_cast<float>(most);
}

// What GroupScale needs: the weight with the largest amount, the first of several, or where the
// sign does not matter that amount.
float LargestOf(absl::Span<const float> weights, int bits) {
  const float most = LargestAmount(weights);
  if (bits == 8 || !std::isfinite(most)) return most;
  return *std::find_if(weights.begin(), weights.end(),
                       [most](float weight) { return std::fabs(weight) == most; });
}

// Of the first of a row's weights, from column `begin` on, that is more than `most` or no number.
absl::Status TooLarge(absl::Span<const float> weights, float most, int64_t row, int64_t begin) {
  const auto it = std::find_if(weights.begin(), weights.end(),
                               [most](float weight) { return !(std::fabs(weight) <= most); });
  const int64_t col = begin + (it - weights.begin());
  return absl::InvalidArgumentError(absl::StrCat("the weight at [", row, ", ", col, "] is ", *it,
                                                 "; only up to ", most, " can be quantised"));
}

uint32_t LoadWord(const void* from) {
  uint32_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The values of a block without their scale, as unsigned numbers.
void ReadBlock(const char* block, int bits, uint8_t* q) {
  const char* bytes = block + sizeof(uint16_t);
  if (bits == 8) {
    for (int64_t i = 0; i < BlockRows::kBlockValues; ++i)
      q[i] = static_cast<uint8_t>(bytes[i] ^ 128);
    return;
  }
  constexpr int64_t kHalf = BlockRows::kBlockValues / 2;
  for (int64_t i = 0; i < kHalf; ++i) {
    q[i] = static_cast<uint8_t>(bytes[i]) & 15;
    q[i + kHalf] = static_cast<uint8_t>(bytes[i]) >> 4;
  }
}

}  // namespace

IntMatrix::IntMatrix(int64_t rows, int64_t cols, int bits, int64_t group, bool may_spread)
    : rows_(rows),
      cols_(cols),
      bits_(bits),
      group_(std::min(group, CeilDiv(cols, 16) * 16)),
      n_groups_(CeilDiv(cols, group_)),
      n_panels_(CeilDiv(rows, kPanelCols)),
      panel_bytes_(n_groups_ * group_ * kPanelCols * bits / 8),
      spreads_(may_spread && bits == 8 && group_ == kSpreadGroup),
      unit_(UsualUnit(bits)),
      weights_(static_cast<uint8_t*>(AllocateAligned(n_panels_ * panel_bytes_ + kIntPaddingBytes))),
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

void IntMatrix::SetGroup(int64_t row, int64_t g, const uint8_t* q) {
  uint8_t* to = Place(row, g * group_ / kDotWidth);
  const uint8_t* const end = q + group_;
  if (bits_ == 8) {
    for (; q < end; q += kDotWidth, to += kStepBytes) std::memcpy(to, q, kDotWidth);
    return;
  }
  for (; q < end; q += 2 * kDotWidth, to += kStepBytes) {
    const uint32_t both = LoadWord(q) | LoadWord(q + kDotWidth) << 4;
    std::memcpy(to, &both, sizeof both);
  }
}

bool IntMatrix::SuitsUnit(float largest) const {
  const float scale = std::fabs(GroupScale(largest, bits_)) / unit_;
  return largest == 0 || (scale >= kLeastScale && scale <= kMostScale);
}

absl::StatusOr<double> IntMatrix::SetRounded(const WeightRows& weight, const IntKernels& kernels) {
  HEED_ASSIGN_OR_RETURN(Rounding all, RoundAll(weight, kernels));
  // Those of subnormal numbers have no unit; they become 0.
  if (all.largest >= std::numeric_limits<float>::min() && !SuitsUnit(all.largest)) {
    unit_ = std::ldexp(1.0f, std::ilogb(all.largest / (bits_ == 8 ? 127.0f : 8.0f)));
    HEED_ASSIGN_OR_RETURN(all, RoundAll(weight, kernels));
  }
  return all.count > 0 ? all.error / static_cast<double>(all.count) : 0;
}

absl::StatusOr<IntMatrix::Rounding> IntMatrix::RoundAll(const WeightRows& weight,
                                                        const IntKernels& kernels) {
  std::vector<Rounding> strips(n_panels_);
  HEED_RETURN_IF_ERROR(
      ForEachStrip(weight, kPanelCols, [&](int64_t first, ConstMatrixRef rows) -> absl::Status {
        return RoundStrip(first, rows, kernels, strips[first / kPanelCols]);
      }));
  Rounding all;
  for (const Rounding& strip : strips) {
    all.error += strip.error;
    all.count += strip.count;
    all.largest = std::max(all.largest, strip.largest);
  }
  return all;
}

// Group by group, so that the part of the panel which the rows share stays in the cache.
absl::Status IntMatrix::RoundStrip(int64_t first, ConstMatrixRef rows, const IntKernels& kernels,
                                   Rounding& result) {
  const float most = std::numeric_limits<float>::max() / (spreads_ ? kMostSpread : 1);
  std::vector<uint8_t> q(group_, static_cast<uint8_t>(zero()));
  for (int64_t g = 0; g < n_groups_; ++g) {
    const int64_t begin = g * group_, count = std::min(group_, cols_ - begin);
    for (int64_t r = 0; r < rows.rows; ++r) {
      const absl::Span<const float> weights = rows.Row(r).subspan(begin, count);
      float largest = LargestOf(weights, bits_);
      if (!(std::fabs(largest) <= most)) return TooLarge(weights, most, first + r, begin);
      const WeightsRounded group =
          RoundGroup(weights, largest, first + r, g, kernels, true, q.data());
      result.error += group.error;
      result.count += group.count;
      if (spreads_ && count == kSpreadGroup) {
        float spread[kSpreadGroup];
        kernels.spread(weights.data(), count, spread);
        largest = LargestOf(spread, bits_);
        RoundGroup(spread, largest, first + r, g, kernels, false, q.data());
      }
      SetGroup(first + r, g, q.data());
      result.largest = std::max(result.largest, std::fabs(largest));
    }
  }
  return absl::OkStatus();
}

// Sets the group's scale, and `q` to what SetGroup is to be given; nothing is returned unless it
// `measures`.
WeightsRounded IntMatrix::RoundGroup(absl::Span<const float> weights, float largest, int64_t row,
                                     int64_t g, const IntKernels& kernels, bool measures,
                                     uint8_t* q) {
  const float wanted = GroupScale(largest, bits_) / unit_;
  const uint16_t half = FloatToHalf(std::clamp(wanted, -kLargestHalf, kLargestHalf));
  scales_[ScaleIndex(row / kPanelCols, g, row % kPanelCols)] = half;
  return kernels.round_weights({.w = weights.data(),
                                .n = static_cast<int64_t>(weights.size()),
                                .scale = HalfToFloat(half) * unit_,
                                .least = bits_ == 8 ? -127.0f : -8.0f,
                                .most = bits_ == 8 ? 127.0f : 7.0f,
                                .zero = zero(),
                                .q = q,
                                .measures = measures ? 1 : 0});
}

absl::Status IntMatrix::SetBlocks(const BlockRows& blocks) {
  const int64_t block_bytes = BlockRows::BlockBytes(bits_);
  unit_ = 1;
  HEED_RETURN_IF_ERROR(ForEachStrip(
      blocks, kPanelCols, [&](int64_t first, absl::Span<const char> rows) -> absl::Status {
        const auto count = static_cast<int64_t>(rows.size()) / blocks.row_bytes();
        for (int64_t g = 0; g < n_groups_; ++g) {
          for (int64_t r = 0; r < count; ++r) {
            const char* const block = rows.data() + r * blocks.row_bytes() + g * block_bytes;
            uint16_t half = 0;
            std::memcpy(&half, block, sizeof half);
            if (!std::isfinite(HalfToFloat(half))) {
              return absl::InvalidArgumentError(absl::StrCat("the scale of block ", g, " in row ",
                                                             first + r, " is ", HalfToFloat(half)));
            }
            scales_[ScaleIndex(first / kPanelCols, g, r)] = half;
            uint8_t q[BlockRows::kBlockValues];
            ReadBlock(block, bits_, q);
            SetGroup(first + r, g, q);
          }
        }
        return absl::OkStatus();
      }));
  CenterScales();
  return absl::OkStatus();
}

// Moves a power of two from all scales to the unit, so that the largest suits. That is exact for
// scales that stay normal numbers; and those that do not are 2^20 times smaller than the largest.
void IntMatrix::CenterScales() {
  float largest = 0;
  for (uint16_t scale : scales_) largest = std::max(largest, std::fabs(HalfToFloat(scale)));
  if (largest == 0) return;
  const int exponent = std::ilogb(kMostScale) - 1 - std::ilogb(largest);
  unit_ = std::ldexp(unit_, -exponent);
  ParallelBlocks(static_cast<int64_t>(scales_.size()), 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      scales_[i] = FloatToHalf(std::ldexp(HalfToFloat(scales_[i]), exponent));
    }
  });
}

std::vector<absl::Span<char>> IntMatrix::storage() {
  return {{reinterpret_cast<char*>(weights_.get()), static_cast<size_t>(n_panels_ * panel_bytes_)},
          {reinterpret_cast<char*>(scales_.data()), scales_.size() * sizeof(uint16_t)},
          {reinterpret_cast<char*>(&unit_), sizeof unit_}};
}

// The first weights of a group, as many as fit. `weight_of` makes a weight of its group's scale and
// of its value without one: what SetGroup was given, less zero().
template <typename WeightOf>
void IntMatrix::CopyGroup(int64_t row, int64_t g, absl::Span<float> out,
                          const WeightOf& weight_of) const {
  const uint16_t scale = scales_[ScaleIndex(row / kPanelCols, g, row % kPanelCols)];
  const int mask = bits_ == 8 ? 255 : 15;
  const auto count = static_cast<int64_t>(out.size());
  for (int64_t begin = 0; begin < count; begin += kDotWidth) {
    const int64_t step = (g * group_ + begin) / kDotWidth;
    const uint32_t word = LoadWord(Place(row, step)) >> (bits_ == 4 && step % 2 == 1 ? 4 : 0);
    for (int64_t k = begin; k < std::min(begin + kDotWidth, count); ++k) {
      const int q = static_cast<int>(word >> 8 * (k - begin) & mask) - zero();
      out[k] = weight_of(scale, q) * unit_;
    }
  }
}

template <typename WeightOf>
void IntMatrix::CopyWeights(int64_t row, absl::Span<float> out, const WeightOf& weight_of) const {
  // Each step of a row lies on a line of its own: ask for all of them at once.
  for (int64_t step = 0; step < n_groups_ * group_ / kDotWidth; ++step) {
    __builtin_prefetch(Place(row, step));
  }
  for (int64_t g = 0; g < n_groups_; ++g) {
    const absl::Span<float> group = out.subspan(g * group_, group_);
    CopyGroup(row, g, group, weight_of);
    if (spreads_ && group.size() == kSpreadGroup) GatherGroup(group.data());
  }
}

void IntMatrix::CopyRow(int64_t row, absl::Span<float> out) const {
  CopyWeights(row, out,
              [](uint16_t scale, int q) { return HalfToFloat(scale) * static_cast<float>(q); });
}

void IntMatrix::CopyRowInBf16(int64_t row, absl::Span<float> out) const {
  CopyWeights(row, out, RoundedWeightValue);
}

}  // namespace heed
