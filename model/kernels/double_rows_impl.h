// The passes of double_rows.h, as logit_rows_impl.h has those of logit_rows.h.
#ifndef HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_
#define HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_

#include <stdint.h>
#include <string.h>

#include "model/kernels/double_rows.h"
#include "model/kernels/lanes_impl.h"

namespace heed {
namespace {

// Several vectors of columns, whose sums stay in registers.
template <int kCount>
inline void MixColumns(const float* rows, int64_t n_rows, int64_t n, const double* weights,
                       double* out) {
  Doubles sums[kCount] = {};
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int v = 0; v < kCount; ++v) {
      const Floats some = Load<Floats>(rows + r * n + v * kLanes);
      sums[v] += __builtin_convertvector(some, Doubles) * weights[r];
    }
  }
  memcpy(out, sums, sizeof(sums));
}

void Mix(const float* rows, int64_t n_rows, int64_t n, const double* weights, double* out) {
  constexpr int kMany = 8;
  int64_t i = 0;
  for (; i + kMany * kLanes <= n; i += kMany * kLanes) {
    MixColumns<kMany>(rows + i, n_rows, n, weights, out + i);
  }
  for (; i + kLanes <= n; i += kLanes) MixColumns<1>(rows + i, n_rows, n, weights, out + i);
  for (; i < n; ++i) {
    double sum = 0;
    for (int64_t r = 0; r < n_rows; ++r) sum += rows[r * n + i] * weights[r];
    out[i] = sum;
  }
}

void Add(const double* x, int64_t n, double* sums) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Doubles sum = Load<Doubles>(sums + i) + Load<Doubles>(x + i);
    memcpy(sums + i, &sum, sizeof(sum));
  }
  for (; i < n; ++i) sums[i] += x[i];
}

// `term_at(i, count)` gives the terms from i on, of which the first `count`, at most kLanes, are
// there, and zeros.
template <typename Fn>
inline double SumInParts(int64_t n, Fn term_at) {
  Doubles sums[kVectors] = {};
  for (int64_t i = 0; i < n; i += kSumParts) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const int64_t left = n - i - v * kLanes;
      if (left > 0) sums[v] += term_at(i + v * kLanes, left < kLanes ? left : kLanes);
    }
  }
  return SumOfLanes<double>(sums);
}

template <typename Vector, typename Element>
inline Vector LoadSome(const Element* p, int64_t count) {
  return count == kLanes ? Load<Vector>(p) : LoadFirst<Vector>(p, count, Element{0});
}

double SumSquares(const double* x, int64_t n) {
  return SumInParts(n, [=](int64_t i, int64_t count) {
    const Doubles some = LoadSome<Doubles>(x + i, count);
    return some * some;
  });
}

double Distance(const float* y, const double* x, int64_t n) {
  return SumInParts(n, [=](int64_t i, int64_t count) {
    const Doubles to = __builtin_convertvector(LoadSome<Floats>(y + i, count), Doubles);
    const Doubles difference = to - LoadSome<Doubles>(x + i, count);
    return difference < 0 ? -difference : difference;
  });
}

constexpr DoubleRows kDoubleRows = {Mix, Add, SumSquares, Distance};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_
