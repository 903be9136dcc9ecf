#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

constexpr int kVectors = kPanelCols / 16;  // registers that hold a panel's columns
constexpr int64_t kStepBytes = kPanelCols * kDotWidth;
// How far ahead of the arithmetic weights are asked for: they come from memory exactly once when
// there are few rows.
constexpr int64_t kPrefetchBytes = 2048;

inline __mmask16 Lanes(int64_t cols, int v) {
  const int64_t n = cols - 16 * v;
  return n >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1u);
}

inline int32_t FourBytes(const int8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return bytes;
}

// Sums in progress of kRows rows: exact within a group, in single precision over the groups.
template <int kRows>
struct Sums {
  __m512i dot[kRows][kVectors];

  void Begin(const IntTileArgs& args, int64_t g) {
    for (int r = 0; r < kRows; ++r) {
      const __m512i start = _mm512_set1_epi32(-args.zero * args.x_sum[r * args.n_groups + g]);
      for (int v = 0; v < kVectors; ++v) dot[r][v] = start;
    }
  }

  void Step(const __m512i (&w)[kVectors], const int8_t* x, int64_t x_stride) {
    for (int r = 0; r < kRows; ++r) {
      const __m512i four = _mm512_set1_epi32(FourBytes(x + r * x_stride));
      for (int v = 0; v < kVectors; ++v) dot[r][v] = _mm512_dpbusd_epi32(dot[r][v], w[v], four);
    }
  }

  // total += dot * w_scale * x_scale.
  void End(const IntTileArgs& args, int64_t g) const {
    for (int v = 0; v < kVectors; ++v) {
      const __m512 w_scale = _mm512_cvtph_ps(_mm256_loadu_si256(
          reinterpret_cast<const __m256i*>(args.w_scale + g * kPanelCols + 16 * v)));
      for (int r = 0; r < kRows; ++r) {
        const __m512 x_scale = _mm512_set1_ps(args.x_scale[r * args.n_groups + g]);
        const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r][v]), w_scale);
        float* const sum = args.total + r * kPanelCols + 16 * v;
        _mm512_store_ps(sum, _mm512_fmadd_ps(scaled, x_scale, _mm512_load_ps(sum)));
      }
    }
  }
};

void StoreTile(const IntTileArgs& args) {
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const total = args.total + r * kPanelCols;
    float* const y = args.y + r * args.y_stride;
    for (int v = 0; v < kVectors; ++v) {
      const __mmask16 lanes = Lanes(args.cols, v);
      __m512 sum =
          _mm512_add_ps(_mm512_load_ps(total + 16 * v), _mm512_loadu_ps(args.bias + 16 * v));
      if (args.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, y + 16 * v), sum);
      _mm512_mask_storeu_ps(y + 16 * v, lanes, sum);
    }
  }
}

inline void Load8(const uint8_t* w, __m512i (&out)[kVectors]) {
  for (int v = 0; v < kVectors; ++v) {
    _mm_prefetch(reinterpret_cast<const char*>(w + 64 * v + kPrefetchBytes), _MM_HINT_T0);
    out[v] = _mm512_loadu_si512(w + 64 * v);
  }
}

template <int kRows>
void GroupDot8(const IntTileArgs& args, int64_t g, Sums<kRows>& sums) {
  const uint8_t* w = args.w + g * args.group * kPanelCols;
  const int8_t* x = args.x + g * args.group;
  __m512i weights[kVectors];
  for (int64_t k = 0; k < args.group; k += kDotWidth, w += kStepBytes, x += kDotWidth) {
    Load8(w, weights);
    sums.Step(weights, x, args.x_stride);
  }
}

template <int kRows>
void GroupDot4(const IntTileArgs& args, int64_t g, Sums<kRows>& sums) {
  const __m512i low_half = _mm512_set1_epi8(15);
  const uint8_t* w = args.w + g * args.group * kPanelCols / 2;
  const int8_t* x = args.x + g * args.group;
  __m512i both[kVectors], weights[kVectors];
  for (int64_t k = 0; k < args.group; k += 2 * kDotWidth, w += kStepBytes, x += 2 * kDotWidth) {
    Load8(w, both);
    for (int v = 0; v < kVectors; ++v) weights[v] = _mm512_and_si512(both[v], low_half);
    sums.Step(weights, x, args.x_stride);
    for (int v = 0; v < kVectors; ++v) {
      weights[v] = _mm512_and_si512(_mm512_srli_epi16(both[v], 4), low_half);
    }
    sums.Step(weights, x + kDotWidth, args.x_stride);
  }
}

template <int kRows, void (*kGroupDot)(const IntTileArgs&, int64_t, Sums<kRows>&)>
void RunTile(const IntTileArgs& args) {
  if (args.begin_group == 0) __builtin_memset(args.total, 0, kRows * kPanelCols * sizeof(float));
  Sums<kRows> sums;
  for (int64_t g = args.begin_group; g < args.end_group; ++g) {
    sums.Begin(args, g);
    kGroupDot(args, g, sums);
    sums.End(args, g);
  }
  if (args.end_group == args.n_groups) StoreTile(args);
}

using TileFunction = void (*)(const IntTileArgs&);

void Tile8(const IntTileArgs& args) {
  static constexpr TileFunction kByRows[] = {RunTile<1, GroupDot8<1>>, RunTile<2, GroupDot8<2>>,
                                             RunTile<3, GroupDot8<3>>, RunTile<4, GroupDot8<4>>,
                                             RunTile<5, GroupDot8<5>>, RunTile<6, GroupDot8<6>>};
  kByRows[args.rows - 1](args);
}

void Tile4(const IntTileArgs& args) {
  static constexpr TileFunction kByRows[] = {RunTile<1, GroupDot4<1>>, RunTile<2, GroupDot4<2>>,
                                             RunTile<3, GroupDot4<3>>, RunTile<4, GroupDot4<4>>,
                                             RunTile<5, GroupDot4<5>>, RunTile<6, GroupDot4<6>>};
  kByRows[args.rows - 1](args);
}

void Quantize(const float* x, int64_t n, int64_t padded, int8_t* q, float* scale, int32_t* sum) {
  __m512 most = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16) {
    most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_maskz_loadu_ps(Lanes(n - i, 0), x + i)));
  }
  const float largest = _mm512_reduce_max_ps(most);
  const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  *scale = largest / 127.0f;
  __m512i total = _mm512_setzero_si512();
  for (int64_t i = 0; i < padded; i += 16) {
    const __m512 some = _mm512_maskz_loadu_ps(Lanes(n - i, 0), x + i);
    const __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(some, inverse));
    total = _mm512_add_epi32(total, integers);
    _mm512_mask_cvtepi32_storeu_epi8(q + i, Lanes(padded - i, 0), integers);
  }
  *sum = _mm512_reduce_add_epi32(total);
}

constexpr IntKernels kKernels = {Tile8, Tile4, Quantize};

}  // namespace

const IntKernels& VnniIntKernels() {
  return kKernels;
}

}  // namespace heed
