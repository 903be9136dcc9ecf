// Kernels for machines that multiply tiles of bfloat16 (AMX): weights of 8 or 4 bits become
// bfloat16 a few at a time while they are in the cache, activations once for each layer. The rules
// of isa_kernels.h for the files that implement a table hold here.
//
// Weights lie as int_kernels.h says. What is multiplied is, for a weight of value `q` under the
// half-precision scale `s`, RoundedWeight(s, q) of bf16.h, and for an activation x the nearest
// bfloat16, ties to even. Sums are in single precision, kTileFeatures features at a time in order:
// those of the features at even places of a tile and those at odd places are summed for themselves,
// the two are added, and that to the sum so far. So a result's bits depend on its own row and its
// own weights only.
//
// A tile is 16 rows of kTileFeatures numbers: of activations, 16 rows of a batch; of weights, for
// each pair of features those of 16 output features. Its features are in TileOrder.
#ifndef HEED_MODEL_KERNELS_BF16_KERNELS_H_
#define HEED_MODEL_KERNELS_BF16_KERNELS_H_

#include <stdint.h>

namespace heed {

constexpr int64_t kTileFeatures = 32;
constexpr int64_t kTileSide = 16;  // rows of a batch, and output features
constexpr int64_t kTileNumbers = kTileSide * kTileFeatures;
constexpr int64_t kTileSumCount = kTileSide * kTileSide;
constexpr int64_t kPanelTiles = 4;  // of kTileSide output features in a panel of int_kernels.h

// Activations and weights are far from 1, so that the products of neither fall out of the range of
// single precision: activations are multiplied by 2^kBf16ActivationShift, weights by
// 2^-kBf16WeightShift (half precision's exponents read as bfloat16's). An activation of 2^63 or
// more counts as infinite.
constexpr int kBf16ActivationShift = 64;
constexpr int kBf16WeightShift = 112;

// Where the feature at place `i` of four neighbours lies among them: 0 2 1 3. Bytes of weights are
// taken apart two at a time.
static inline int64_t TileOrder(int64_t i) {
  return i == 1 ? 2 : i == 2 ? 1 : i;
}

// Up to kTileSide rows against a panel.
struct Bf16PanelArgs {
  const uint16_t* x;  // [n_tiles, kTileSide, kTileFeatures]
  int64_t rows;
  const uint8_t* w;         // the panel
  const uint16_t* w_scale;  // half precision, [n_groups, kPanelCols]
  int64_t group;            // a multiple of kTileFeatures
  int64_t n_tiles;          // of features
  int bits;
  float factor;       // the sums are multiplied by it
  const float* bias;  // [kPanelCols]
  float* y;           // row r at y + r * y_stride, [cols]
  int64_t y_stride;
  int64_t cols;    // 1..kPanelCols
  int accumulate;  // y += instead of y =
};

// Two times kTileSide rows against two tiles' output features, over some features.
struct Bf16PairArgs {
  const uint16_t* x[2];  // [n_tiles, kTileSide, kTileFeatures]
  const uint16_t* w[2];  // [n_tiles, kTileFeatures / 2, kTileSide, 2]
  int64_t n_tiles;
  int is_first;     // these features begin the sums
  float* total[4];  // [kTileSide, kTileSide]: x[0] w[0], x[0] w[1], x[1] w[0], x[1] w[1]
};

// Sums of up to kTileSide rows and some tiles of a panel, to y.
struct Bf16FinishArgs {
  const float* total;  // [cols / kTileSide, rounded up, kTileSide, kTileSide]
  int64_t rows;
  float factor;
  const float* bias;
  float* y;
  int64_t y_stride;
  int64_t cols;
  int accumulate;
};

struct Bf16Kernels {
  // One row of n activations, to every kTileNumbers numbers of `out`, which begins at the row's
  // place in its first tile; filled up with zeros to whole tiles.
  void (*round)(const float* x, int64_t n, uint16_t* out);

  // A thread calls the next ones between `enter` and `leave`. `rows`: as Bf16PanelArgs for `panel`;
  // kTileSide for `add_pair`.
  void (*enter)(int64_t rows);
  void (*leave)();
  void (*panel)(const Bf16PanelArgs& args);
  void (*add_pair)(const Bf16PairArgs& args);

  // n_tiles tiles of features of a panel, from tile `first` of its features on: output features 16
  // c and further to out + c * out_stride, as Bf16PairArgs::w.
  void (*widen8)(const uint8_t* w, const uint16_t* w_scale, int64_t group, int64_t first,
                 int64_t n_tiles, uint16_t* out, int64_t out_stride);
  void (*widen4)(const uint8_t* w, const uint16_t* w_scale, int64_t group, int64_t first,
                 int64_t n_tiles, uint16_t* out, int64_t out_stride);
  void (*finish)(const Bf16FinishArgs& args);
};

// The same in plain arithmetic, bit for bit. For tests.
const Bf16Kernels& PortableBf16Kernels();
#if defined(__x86_64__)
const Bf16Kernels& AmxBf16Kernels();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_BF16_KERNELS_H_
