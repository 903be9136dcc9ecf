// The integer kernels of 256 bits, but for how bytes are multiplied. The rules of isa_kernels.h
// hold here.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_

#include <immintrin.h>
#include <stdint.h>

#include "model/kernels/int_kernels.h"
#include "model/kernels/int_kernels_quantize.h"
#include "model/kernels/int_kernels_spread.h"

namespace heed {
namespace {

constexpr int64_t kStepBytes = kPanelCols * kDotWidth;

// Columns whose sums one register holds, and registers of columns that go together.
constexpr int64_t kCols = 8;
constexpr int kVectors = 2;

// How far ahead of the arithmetic weights are asked for.
constexpr int64_t kPrefetchBytes = 2048;

// The four activations of a step, for each column.
inline __m256i FourBytes(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i LoadBytes(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// The weights of two steps, of four bits each, in bytes of their own.
struct Halves {
  __m256i first, second;
};
inline Halves Split(__m256i bytes) {
  const __m256i low = _mm256_set1_epi8(15);
  return {_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low)};
}

// total += dots * w_scale * x_scale, for kCols columns.
inline void AddScaled(__m256i dots, const uint16_t* w_scale, float x_scale, float* total) {
  const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w_scale)));
  const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dots), scales);
  _mm256_storeu_ps(total, _mm256_fmadd_ps(scaled, _mm256_set1_ps(x_scale), _mm256_loadu_ps(total)));
}

// One group of the rows from `first` on, and all columns. Dot says how:
//   kBits                  of a weight
//   kTakesOffZero          from each weight by itself
//   kSteps                 that it takes at once: those that share bytes
//   kMaxRows               whose sums fit the registers beside its weights
//   Load(bytes)            the weights of kCols columns in kSteps steps
//   Add(weights, x, sums)  adds their products with the activations of a row in kSteps steps
template <typename Dot, int kRows>
void AddGroup(const IntTileArgs& args, int64_t g, int64_t first) {
  const uint8_t* const w = args.w + g * args.group * kPanelCols * Dot::kBits / 8;
  const int64_t steps = args.group / kDotWidth;
  const int8_t* const x = args.x + g * steps * kStepActivations + first * kDotWidth;
  const int32_t* const x_start = args.x_start + g * kMaxIntTileRows + first;
  for (int64_t col = 0; col < kPanelCols; col += kVectors * kCols) {
    __m256i sums[kRows][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i start = _mm256_set1_epi32(Dot::kTakesOffZero ? 0 : x_start[r]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = start;
    }
#pragma GCC unroll 2
    for (int64_t step = 0; step < steps; step += Dot::kSteps) {
      const uint8_t* const bytes = w + step / Dot::kSteps * kStepBytes + col * kDotWidth;
      _mm_prefetch(reinterpret_cast<const char*>(bytes + kPrefetchBytes), _MM_HINT_T0);
      typename Dot::Weights weights[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        weights[v] = Dot::Load(LoadBytes(bytes + v * kCols * kDotWidth));
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          Dot::Add(weights[v], x + step * kStepActivations + r * kDotWidth, sums[r][v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float x_scale = args.x_scale[g * kMaxIntTileRows + first + r];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const int64_t c = col + v * kCols;
        AddScaled(sums[r][v], args.w_scale + g * kPanelCols + c, x_scale,
                  args.total + (first + r) * kPanelCols + c);
      }
    }
  }
}

template <typename Dot>
void AddGroups(const IntTileArgs& args, int64_t first, int64_t rows) {
  using Function = void (*)(const IntTileArgs&, int64_t, int64_t);
  static constexpr Function kByRows[] = {AddGroup<Dot, 1>, AddGroup<Dot, 2>, AddGroup<Dot, 3>,
                                         AddGroup<Dot, 4>, AddGroup<Dot, 5>, AddGroup<Dot, 6>};
  for (int64_t g = args.begin_group; g < args.end_group; ++g) kByRows[rows - 1](args, g, first);
}

template <typename Dot>
void Tile(const IntTileArgs& args) {
  if (args.begin_group == 0) {
    __builtin_memset(args.total, 0, args.rows * kPanelCols * sizeof(float));
  }
  for (int64_t r = 0; r < args.rows; r += Dot::kMaxRows) {
    AddGroups<Dot>(args, r, args.rows - r < Dot::kMaxRows ? args.rows - r : Dot::kMaxRows);
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
      q[lane / kDotWidth * kStepActivations + lane % kDotWidth] =
          static_cast<int8_t>(integers[lane]);
      sum += integers[lane];
    }
    q += 8 / kDotWidth * kStepActivations;
  }
  return sum;
}

// The Hadamard matrix of 8 times x: in each step, of pairs of lanes the sum, and in the second of a
// pair the difference.
inline __m256 AddLanes(__m256 x) {
  x = _mm256_fmadd_ps(x, _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1), _mm256_permute_ps(x, 0xb1));
  x = _mm256_fmadd_ps(x, _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1), _mm256_permute_ps(x, 0x4e));
  return _mm256_fmadd_ps(x, _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1),
                         _mm256_permute2f128_ps(x, x, 1));
}

inline void SpreadOne(const float* x, float* out) {
  constexpr int kParts = kSpreadGroup / 8;
  __m256 v[kParts];
#pragma GCC unroll 8
  for (int i = 0; i < kParts; ++i) {
    const __m256 factors = _mm256_load_ps(kSpreadFactors.values + 8 * i);
    v[i] = AddLanes(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), factors));
  }
#pragma GCC unroll 8
  for (int apart = 1; apart < kParts; apart *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kParts; ++i) {
      if ((i & apart) != 0) continue;
      const __m256 a = v[i], b = v[i + apart];
      v[i] = _mm256_add_ps(a, b);
      v[i + apart] = _mm256_sub_ps(a, b);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kParts; ++i) _mm256_storeu_ps(out + 8 * i, v[i]);
}

// Dot8 takes 128 off each weight, or nothing, where its zero is 8.
template <typename Dot8>
void Unpack4(const uint8_t* w4, int64_t bytes, uint8_t* w8) {
  constexpr uint8_t kOffset = Dot8::kTakesOffZero ? 128 - 8 : 0;
  for (int64_t i = 0; i < bytes; i += kStepBytes, w8 += 2 * kStepBytes) {
    for (int64_t j = 0; j < kStepBytes; ++j) {
      w8[j] = (w4[i + j] & 15) + kOffset;
      w8[kStepBytes + j] = (w4[i + j] >> 4) + kOffset;
    }
  }
}

template <typename Dot8, typename Dot4>
constexpr IntKernels kKernelsOf = {.bf16 = nullptr,
                                   .tile8 = Tile<Dot8>,
                                   .tile4 = Tile<Dot4>,
                                   .unpack4 = Unpack4<Dot8>,
                                   .quantize = QuantizeRow<LargestOf, RoundGroup>,
                                   .spread = SpreadRow<SpreadOne>,
                                   .round_weights = RoundWeights};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_AVX2_H_
