#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"

namespace heed {
namespace {

// Columns that one register of products covers. Each column's four products become two 32-bit
// sums, which are added up at the end of a group.
constexpr int64_t kCols = 4;

// Rows and registers of columns whose sums are in registers together.
constexpr int kMaxRows = 4;
constexpr int kVectors = 2;

inline __m256i SixteenBits(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// The four activations of a step, for each of kCols columns.
inline __m256i Activations(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}

// The weights of kCols columns in one step, [kCols, 4] in 16 bits each. A product of two bytes, and
// the sum of two such, need more than 16 bits signed, which is all that multiplying bytes gives.
struct Weights8 {
  static constexpr int64_t kBits = 8;
  static __m256i Load(const uint8_t* group, int64_t step, int64_t col) {
    return SixteenBits(group + (step * kPanelCols + col) * kDotWidth);
  }
};
struct Weights4 {
  static constexpr int64_t kBits = 4;
  static __m256i Load(const uint8_t* group, int64_t step, int64_t col) {
    const __m256i both = SixteenBits(group + (step / 2 * kPanelCols + col) * kDotWidth);
    return step % 2 == 0 ? _mm256_and_si256(both, _mm256_set1_epi16(15))
                         : _mm256_srli_epi16(both, 4);
  }
};

// total += the dot products of kCols columns, times their scales.
inline void AddScaled(const IntTileArgs& args, int64_t g, int64_t r, int64_t col, __m256i sums) {
  const int64_t index = r * args.n_groups + g;
  const __m128i dots =
      _mm_hadd_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  const __m128i dot = _mm_add_epi32(_mm_set1_epi32(-args.zero * args.x_sum[index]), dots);
  const __m128 w_scale = _mm_cvtph_ps(
      _mm_loadl_epi64(reinterpret_cast<const __m128i*>(args.w_scale + g * kPanelCols + col)));
  const __m128 scaled = _mm_mul_ps(_mm_cvtepi32_ps(dot), w_scale);
  float* const total = args.total + r * kPanelCols + col;
  _mm_storeu_ps(total, _mm_fmadd_ps(scaled, _mm_set1_ps(args.x_scale[index]), _mm_loadu_ps(total)));
}

// One group of the rows from `first` on, and all columns.
template <typename Weights, int kRows>
void AddGroup(const IntTileArgs& args, int64_t g, int64_t first) {
  const uint8_t* w = args.w + g * args.group * kPanelCols * Weights::kBits / 8;
  const int8_t* x = args.x + first * args.x_stride + g * args.group;
  for (int64_t col = 0; col < kPanelCols; col += kVectors * kCols) {
    __m256i sums[kRows][kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kRows * kVectors; ++i) {
      sums[i / kVectors][i % kVectors] = _mm256_setzero_si256();
    }
    for (int64_t step = 0; step < args.group / kDotWidth; step += 2) {
#pragma GCC unroll 2
      for (int64_t s = step; s < step + 2; ++s) {
        __m256i weights[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) weights[v] = Weights::Load(w, s, col + v * kCols);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m256i four = Activations(x + r * args.x_stride + s * kDotWidth);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(weights[v], four));
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows * kVectors; ++i) {
      AddScaled(args, g, first + i / kVectors, col + i % kVectors * kCols,
                sums[i / kVectors][i % kVectors]);
    }
  }
}

template <typename Weights>
void AddGroups(const IntTileArgs& args, int64_t first, int64_t rows) {
  for (int64_t g = args.begin_group; g < args.end_group; ++g) {
    if (rows == 1) AddGroup<Weights, 1>(args, g, first);
    if (rows == 2) AddGroup<Weights, 2>(args, g, first);
    if (rows == 3) AddGroup<Weights, 3>(args, g, first);
    if (rows == 4) AddGroup<Weights, 4>(args, g, first);
  }
}

template <typename Weights>
void Tile(const IntTileArgs& args) {
  if (args.begin_group == 0) {
    __builtin_memset(args.total, 0, args.rows * kPanelCols * sizeof(float));
  }
  for (int64_t r = 0; r < args.rows; r += kMaxRows) {
    AddGroups<Weights>(args, r, args.rows - r < kMaxRows ? args.rows - r : kMaxRows);
  }
  if (args.end_group < args.n_groups) return;
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const total = args.total + r * kPanelCols;
    float* const y = args.y + r * args.y_stride;
    for (int64_t col = 0; col < args.cols; ++col) {
      const float sum = total[col] * args.unit + args.bias[col];
      y[col] = args.accumulate ? y[col] + sum : sum;
    }
  }
}

inline __m256 LoadPartial(const float* x, int64_t n) {
  if (n >= 8) return _mm256_loadu_ps(x);
  float lanes[8] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = x[i];
  return _mm256_loadu_ps(lanes);
}

inline float LargestLane(__m256i v) {
  int32_t lanes[8], bits = 0;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), v);
  for (int32_t lane : lanes) bits = lane > bits ? lane : bits;
  float most;
  __builtin_memcpy(&most, &bits, sizeof most);
  return most;
}

// The group's largest magnitude; NaN or infinity where an element is not finite. Magnitudes compare
// as their bits do, and what is no number is larger than all.
inline float LargestOf(const float* x, int64_t n) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256i most = _mm256_setzero_si256();
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 some = _mm256_andnot_ps(sign, LoadPartial(x + i, n - i));
    most = _mm256_max_epi32(most, _mm256_castps_si256(some));
  }
  return LargestLane(most);
}

// q of one group of n elements, filled up to `padded`; returns their sum.
inline int32_t RoundGroup(const float* x, float factor, int64_t n, int64_t padded, int8_t* q) {
  const __m256 factors = _mm256_set1_ps(factor);
  int32_t sum = 0;
  for (int64_t i = 0; i < padded; i += 8) {
    int32_t integers[8];
    const __m256 some = i < n ? LoadPartial(x + i, n - i) : _mm256_setzero_ps();
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(integers),
                        _mm256_cvtps_epi32(_mm256_mul_ps(some, factors)));
    for (int64_t lane = 0; lane < 8; ++lane) {
      q[i + lane] = static_cast<int8_t>(integers[lane]);
      sum += integers[lane];
    }
  }
  return sum;
}

void Unpack4(const uint8_t* w4, int64_t bytes, uint8_t* w8) {
  constexpr int64_t kStepBytes = kPanelCols * kDotWidth;
  for (int64_t i = 0; i < bytes; i += kStepBytes, w8 += 2 * kStepBytes) {
    for (int64_t j = 0; j < kStepBytes; ++j) {
      w8[j] = w4[i + j] & 15;
      w8[kStepBytes + j] = w4[i + j] >> 4;
    }
  }
}

constexpr IntKernels kKernels = {.bf16 = nullptr,
                                 .tile8 = Tile<Weights8>,
                                 .tile4 = Tile<Weights4>,
                                 .unpack4 = Unpack4,
                                 .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                 .round_weights = RoundWeights};

}  // namespace

const IntKernels& Avx2IntKernels() {
  return kKernels;
}

}  // namespace heed
