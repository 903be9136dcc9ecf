// The integer kernels' interface to the rest: plain functions over plain pointers, one table for
// each instruction set. The rules of isa_kernels.h for the files that implement a table hold here.
//
// A quantised matrix W [out, in] is cut into panels of kPanelCols output features, and each panel
// into groups of `group` consecutive input features, the last of which may be filled up with zeros.
// In a group w = scale * (q - zero) with q unsigned and one scale for each output feature. The
// activations of a row are x = scale * q with q signed and one scale for each group. The products
// are summed exactly in 32 bits, and the groups in order in single precision, so a result's bits
// depend on its own row and panel only.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_H_

#include <stdint.h>

namespace heed {

constexpr int64_t kPanelCols = 64;

// Input features whose products with one output feature lie together: the width of one dot product
// instruction.
constexpr int64_t kDotWidth = 4;

// Bytes of 8-bit weights in one step of a panel.
constexpr int64_t kStepBytes = kPanelCols * kDotWidth;

// Values that are spread over each other; see int_kernels_spread.h.
constexpr int64_t kSpreadGroup = 64;

// Most rows that one tile takes.
constexpr int64_t kMaxIntTileRows = 6;

// Bytes of activations from one step of kDotWidth input features to the next: each row has its
// place, whether a tile has so many or not.
constexpr int64_t kStepActivations = kMaxIntTileRows * kDotWidth;

// Some rows against some groups of one panel. `total` carries a tile's sums from one call to the
// next when the groups come in several calls, in order: group 0 begins it, the last group finishes
// it and writes y.
//
// Bytes of a group of 8-bit weights: [group / 4, kPanelCols, 4]. Of 4-bit weights, groups being
// multiples of 8: [group / 8, kPanelCols, 4], a byte holding the weight of step 2 s in its low half
// and that of step 2 s + 1 in its high half.
struct IntTileArgs {
  const int8_t* x;          // [n_groups * group / kDotWidth, kMaxIntTileRows, kDotWidth]
  const float* x_scale;     // [n_groups, kMaxIntTileRows]
  const int32_t* x_start;   // what a group's sums begin with: -zero times its sum of q, as x_scale
  const uint8_t* w;         // [n_groups, bytes of a group]
  const uint16_t* w_scale;  // half precision, [n_groups, kPanelCols]
  float unit;               // the sums are multiplied by it, a power of two
  const float* bias;        // [kPanelCols]
  float* y;                 // row r at y + r * y_stride, [cols]
  int64_t y_stride;
  int64_t rows;         // 1..kMaxIntTileRows
  int64_t cols;         // 1..kPanelCols; the rest of the panel is filled up
  int64_t n_groups;     // of the whole panel
  int64_t begin_group;  // [begin_group, end_group) in this call
  int64_t end_group;
  float* total;  // [rows, kPanelCols], aligned to 64 bytes
  int64_t group;
  int accumulate;  // y += instead of y =
  int is_warm;     // 1: the weights are in a cache, since other rows have just passed by them
  // What comes next, to be asked for meanwhile.
  const uint8_t* ahead;
  int64_t ahead_bytes;
};

// How far behind the weights that they need kernels may read.
constexpr int64_t kIntPaddingBytes = 4096;

// Weights of one group that are rounded to integers: q = w / scale, ties to even, held to [least,
// most], and `zero` added. All q of a scale of 0 are `zero`.
struct RoundWeightsArgs {
  const float* w;
  int64_t n;
  float scale;
  float least;
  float most;
  int32_t zero;
  uint8_t* q;
  int measures;  // whether WeightsRounded is wanted, rather than zeros
};
struct WeightsRounded {
  float error;  // the sum of min(1, |rounded - weight| / |weight|) over the weights that are not 0
  int32_t count;  // of those
};

struct Bf16Kernels;

struct IntKernels {
  // Better ones, with another arithmetic, for groups of whole tiles; null where the machine has
  // none.
  const Bf16Kernels* bf16;

  void (*tile8)(const IntTileArgs& args);
  void (*tile4)(const IntTileArgs& args);

  // One row of n elements in groups, the last of which is filled up with zeros, to its place in a
  // tile, of whose x, x_scale and x_start (see IntTileArgs) it gets what belongs to row 0: q =
  // round(x / scale) with scale = max |x| / 127. All q of a group are 0 where all its x are; and
  // where one is not finite, with a scale that is NaN, so that the row's results are too.
  void (*quantize)(const float* x, int64_t n, int64_t group, int32_t zero, int8_t* q, float* scale,
                   int32_t* start);

  // One row of n elements in groups of kSpreadGroup, each spread; what is left at the end stays as
  // it is. The same bits on every machine. Where an element is not finite, none of its group is.
  void (*spread)(const float* x, int64_t n, float* out);

  // The same q on every machine; the error to the last digits.
  WeightsRounded (*round_weights)(RoundWeightsArgs args);
};

const IntKernels& PortableIntKernels();
#if defined(__x86_64__)
const IntKernels& Avx2IntKernels();
const IntKernels& AvxVnniIntKernels();  // AVX2 with VNNI
const IntKernels& VnniIntKernels();     // AVX-512 with VNNI
const IntKernels& AmxIntKernels();      // VNNI's, and tiles of bfloat16
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_H_
