// The vector kernels' interface to the rest: plain functions over plain pointers, one table for
// each instruction set.
//
// The files that implement a table are compiled with that instruction set's flags. They include
// nothing but this header and C headers, so that no inline function of a library is emitted with
// instructions that another machine lacks.
#ifndef HEED_MODEL_KERNELS_ISA_KERNELS_H_
#define HEED_MODEL_KERNELS_ISA_KERNELS_H_

#include <stdint.h>

namespace heed {

// As Activation in model_config.h.
enum class ActivationCode : int { kGeluTanh, kGeluErf, kSilu, kRelu };

// A row of attention is one head of one query position.
constexpr int64_t kMaxTileRows = 48;  // of one attention tile
constexpr int64_t kRowBlock = 6;      // whose sums are in registers together

// Keys that a row takes in one step, from a multiple of as many on: a row's steps depend on its own
// position only.
constexpr int64_t kKeyTile = 64;

// Some query positions, with some of the heads that share keys and values, against the sequence's
// pages. Row r is head r % heads of position r / heads.
struct AttentionTileArgs {
  const float* query;  // position p at query + p * query_stride, [heads, head_dim]
  int64_t query_stride;
  float* output;  // position p at output + p * output_stride, [heads, head_dim]
  int64_t output_stride;
  float* const* pages;  // K of these heads at pages[i] + key_offset, [head_dim, 16];
  int64_t key_offset;   // V at pages[i] + value_offset, [16, head_dim]
  int64_t value_offset;
  int64_t positions;  // 1.., with at most kMaxTileRows rows
  int64_t heads;
  int64_t first_visible;  // keys that position 0 sees, at least 1
  int64_t visible_step;   // keys that each further position sees more: 1 causal, 0 bidirectional
  int64_t key_limit;      // no row sees this key or later ones
  int64_t window;         // each row sees at most the `window` keys before its last; 0: all of them
  int64_t head_dim;
  float scale;
  float soft_cap;          // 0: none
  const float* slopes;     // [heads]: a score falls by it for each key of distance; null: none
  int64_t query_position;  // of position 0; for the slopes
  float* scratch;          // AttentionScratchFloats(args), aligned to 64 bytes
};

// Keys [FirstKey, KeyEnd) are those that position p sees. Static, so that each file has code for
// its own instruction set.
static inline int64_t KeyEnd(const AttentionTileArgs& args, int64_t p) {
  const int64_t end = args.first_visible + p * args.visible_step;
  return end < args.key_limit ? end : args.key_limit;
}
static inline int64_t FirstKey(const AttentionTileArgs& args, int64_t p) {
  const int64_t end = args.first_visible + p * args.visible_step;
  return args.window == 0 || end < args.window ? 0 : end - args.window;
}

// Of the queries and the results of kMaxTileRows rows, and of what is known of each row.
static inline int64_t AttentionScratchFloats(int64_t head_dim) {
  return kMaxTileRows * (2 * ((head_dim + 15) / 16 * 16) + 32) + kRowBlock * kKeyTile;
}

struct IsaKernels {
  // One row: y = norm(x), n elements. bias may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, double eps, float* y,
                     int64_t n);
  void (*rms_norm)(const float* x, const float* weight, double eps, float* y, int64_t n);
  void (*activate)(ActivationCode code, float* x, int64_t n);
  void (*activate_gated)(ActivationCode code, const float* gate, const float* up, float* y,
                         int64_t n);
  // x = cap * tanh(x / cap), n elements.
  void (*soft_cap)(float cap, float* x, int64_t n);
  // One head of one row: pairs (i, i + half).
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);
  void (*attention_tile)(const AttentionTileArgs& args);
  // The softmax's weights of row r, from the scratch that attention_tile has left: of the keys
  // [FirstKey, KeyEnd) of its position, at weights + their index. Others of the same multiples of
  // 16 keys are overwritten.
  void (*attention_weights)(const AttentionTileArgs& args, int64_t r, float* weights);
};

const IsaKernels& PortableKernels();
#if defined(__x86_64__)
const IsaKernels& Avx2Kernels();
const IsaKernels& Avx512Kernels();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_H_
