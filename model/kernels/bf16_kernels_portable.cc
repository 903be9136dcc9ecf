#include <cmath>
#include <cstring>

#include "model/kernels/bf16.h"
#include "model/kernels/bf16_kernels.h"
#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

constexpr int64_t kPairs = kTileFeatures / 2;

void Round(const float* x, int64_t n, uint16_t* out) {
  for (int64_t begin = 0; begin < n; begin += kTileFeatures, out += kTileNumbers) {
    for (int64_t i = 0; i < kTileFeatures; ++i) {
      const float value = begin + i < n ? std::ldexp(x[begin + i], kBf16ActivationShift) : 0.0f;
      out[i / 4 * 4 + TileOrder(i % 4)] = FloatToBf16(value);
    }
  }
}

// The weight of input feature k in column `col` of a panel, without its scale.
template <int kBits>
int WeightAt(const uint8_t* w, int64_t k, int64_t col) {
  const int64_t step = k / kDotWidth, in_step = k % kDotWidth;
  if (kBits == 8) return w[(step * kPanelCols + col) * kDotWidth + in_step] - 128;
  const int both = w[(step / 2 * kPanelCols + col) * kDotWidth + in_step];
  return (step % 2 == 0 ? both & 15 : both >> 4) - 8;
}

template <int kBits>
void Widen(const uint8_t* w, const uint16_t* w_scale, int64_t group, int64_t first, int64_t n_tiles,
           uint16_t* out, int64_t out_stride) {
  for (int64_t t = 0; t < n_tiles; ++t) {
    for (int64_t i = 0; i < kTileFeatures; ++i) {
      const int64_t k = (first + t) * kTileFeatures + i;
      const int64_t place = i / 4 * 4 + TileOrder(i % 4);
      for (int64_t col = 0; col < kPanelCols; ++col) {
        uint16_t* const tile = out + col / kTileSide * out_stride + t * kTileNumbers;
        tile[(place / 2 * kTileSide + col % kTileSide) * 2 + place % 2] =
            RoundedWeight(w_scale[k / group * kPanelCols + col], WeightAt<kBits>(w, k, col));
      }
    }
  }
}

// total += x w, of one tile each. Products of two bfloat16 are exact.
void AddTile(const uint16_t* x, int64_t rows, const uint16_t* w, float* total) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < kTileSide; ++c) {
      float even = 0, odd = 0;
      for (int64_t p = 0; p < kPairs; ++p) {
        const uint16_t* const pair = w + (p * kTileSide + c) * 2;
        even += Bf16ToFloat(x[r * kTileFeatures + 2 * p]) * Bf16ToFloat(pair[0]);
        odd += Bf16ToFloat(x[r * kTileFeatures + 2 * p + 1]) * Bf16ToFloat(pair[1]);
      }
      total[r * kTileSide + c] += even + odd;
    }
  }
}

void Finish(const Bf16FinishArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t col = 0; col < args.cols; ++col) {
      const float sum =
          args.total[col / kTileSide * kTileSumCount + r * kTileSide + col % kTileSide];
      float& y = args.y[r * args.y_stride + col];
      const float value = std::fma(sum, args.factor, args.bias[col]);
      y = args.accumulate != 0 ? y + value : value;
    }
  }
}

void Panel(const Bf16PanelArgs& args) {
  float total[kPanelTiles * kTileSumCount] = {};
  uint16_t w[kPanelTiles * kTileNumbers];
  for (int64_t t = 0; t < args.n_tiles; ++t) {
    (args.bits == 8 ? Widen<8> : Widen<4>)(args.w, args.w_scale, args.group, t, 1, w, kTileNumbers);
    for (int64_t c = 0; c < kPanelTiles; ++c) {
      AddTile(args.x + t * kTileNumbers, args.rows, w + c * kTileNumbers,
              total + c * kTileSumCount);
    }
  }
  Finish({total, args.rows, args.factor, args.bias, args.y, args.y_stride, args.cols,
          args.accumulate});
}

void AddPair(const Bf16PairArgs& args) {
  for (int i = 0; i < 4; ++i) {
    if (args.is_first != 0) std::memset(args.total[i], 0, kTileSumCount * sizeof(float));
    for (int64_t t = 0; t < args.n_tiles; ++t) {
      AddTile(args.x[i / 2] + t * kTileNumbers, kTileSide, args.w[i % 2] + t * kTileNumbers,
              args.total[i]);
    }
  }
}

constexpr Bf16Kernels kKernels = {.round = Round,
                                  .enter = [](int64_t) {},
                                  .leave = [] {},
                                  .panel = Panel,
                                  .add_pair = AddPair,
                                  .widen8 = Widen<8>,
                                  .widen4 = Widen<4>,
                                  .finish = Finish};

}  // namespace

const Bf16Kernels& PortableBf16Kernels() {
  return kKernels;
}

}  // namespace heed
