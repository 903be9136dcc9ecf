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

// Most query rows that one attention tile takes.
constexpr int64_t kMaxTileRows = 8;

// Consecutive query rows of one head against the sequence's pages.
struct AttentionTileArgs {
  const float* query;  // row r at query + r * query_stride, [head_dim]
  int64_t query_stride;
  float* output;  // row r at output + r * output_stride, [head_dim]
  int64_t output_stride;
  float* const* pages;  // K of this head at pages[p] + key_offset, [head_dim, 16];
  int64_t key_offset;   // V at pages[p] + value_offset, [16, head_dim]
  int64_t value_offset;
  int64_t rows;           // 1..kMaxTileRows
  int64_t first_visible;  // keys that row 0 sees, at least 1
  int64_t visible_step;   // keys that each further row sees more: 1 causal, 0 bidirectional
  int64_t key_limit;      // no row sees this key or later ones
  int64_t window;         // each row sees at most the `window` keys before its last; 0: all of them
  int64_t head_dim;
  float scale;
  float soft_cap;          // 0: none
  float slope;             // a score falls by it for each key of distance; 0: none
  int64_t query_position;  // of row 0; for the slope
  float*
      weights;  // scratch and result: post-softmax weights, row r at weights + r * weights_stride
  int64_t weights_stride;  // a multiple of 16, at least the keys that the last row sees
};

// Keys [FirstKey, KeyEnd) are those that row r sees; the weights of others are unspecified. Static,
// so that each file has code for its own instruction set.
static inline int64_t KeyEnd(const AttentionTileArgs& args, int64_t r) {
  const int64_t end = args.first_visible + r * args.visible_step;
  return end < args.key_limit ? end : args.key_limit;
}
static inline int64_t FirstKey(const AttentionTileArgs& args, int64_t r) {
  const int64_t end = args.first_visible + r * args.visible_step;
  return args.window == 0 || end < args.window ? 0 : end - args.window;
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
};

const IsaKernels& PortableKernels();
#if defined(__x86_64__)
const IsaKernels& Avx2Kernels();
const IsaKernels& Avx512Kernels();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_H_
