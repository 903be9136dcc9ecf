// The passes of double_rows.h, as logit_rows_impl.h has those of logit_rows.h.
#ifndef HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_
#define HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_

#include <stdint.h>
#include <string.h>

#include "model/kernels/double_rows.h"
#include "model/kernels/lanes_impl.h"
#include "model/kernels/log_impl.h"

namespace heed {
namespace {

inline Doubles LoadDoubles(const float* p) {
  return __builtin_convertvector(Load<Floats>(p), Doubles);
}

inline Doubles LoadDoubles(const double* p) {
  return Load<Doubles>(p);
}

// Adds to several vectors of columns, whose sums stay in registers.
template <int kCount, typename Element>
inline void MixColumns(const Element* rows, int64_t n_rows, int64_t stride, const double* weights,
                       Doubles (&sums)[kCount]) {
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int v = 0; v < kCount; ++v) {
      sums[v] += LoadDoubles(rows + r * stride + v * kLanes) * weights[r];
    }
  }
}

// What is in `out` is added to, or taken for zeros.
template <int kCount, bool kAdds, typename Element>
inline void MixInto(const Element* rows, int64_t n_rows, int64_t stride, const double* weights,
                    double* out) {
  Doubles sums[kCount] = {};
  if constexpr (kAdds) memcpy(sums, out, sizeof(sums));
  MixColumns(rows, n_rows, stride, weights, sums);
  memcpy(out, sums, sizeof(sums));
}

template <bool kAdds, typename Element>
inline void MixRows(const Element* rows, int64_t n_rows, int64_t stride, int64_t n,
                    const double* weights, double* out) {
  constexpr int kMany = 8;
  int64_t i = 0;
  for (; i + kMany * kLanes <= n; i += kMany * kLanes) {
    MixInto<kMany, kAdds>(rows + i, n_rows, stride, weights, out + i);
  }
  for (; i + kLanes <= n; i += kLanes) {
    MixInto<1, kAdds>(rows + i, n_rows, stride, weights, out + i);
  }
  for (; i < n; ++i) {
    double sum = kAdds ? out[i] : 0;
    for (int64_t r = 0; r < n_rows; ++r) sum += rows[r * stride + i] * weights[r];
    out[i] = sum;
  }
}

void Mix(const float* rows, int64_t n_rows, int64_t n, const double* weights, double* out) {
  MixRows<false>(rows, n_rows, n, n, weights, out);
}

void AddMix(const double* rows, int64_t n_rows, int64_t stride, int64_t n, const double* weights,
            double* sums) {
  MixRows<true>(rows, n_rows, stride, n, weights, sums);
}

void Add(const double* x, int64_t n, double* sums) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Doubles sum = Load<Doubles>(sums + i) + Load<Doubles>(x + i);
    memcpy(sums + i, &sum, sizeof(sum));
  }
  for (; i < n; ++i) sums[i] += x[i];
}

template <typename Vector, typename Element>
inline Vector LoadSome(const Element* p, int64_t count) {
  return count == kLanes ? Load<Vector>(p) : LoadFirst<Vector>(p, count, Element{0});
}

// `add(i, count, v)` adds what starts at i to the v-th vector of each sum; of kLanes elements the
// first `count` are there.
template <typename Fn>
inline void ForEachVector(int64_t n, Fn add) {
  for (int64_t i = 0; i < n; i += kSumParts) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const int64_t left = n - i - v * kLanes;
      if (left > 0) add(i + v * kLanes, left < kLanes ? left : kLanes, v);
    }
  }
}

double SumSquares(const double* x, int64_t n) {
  Doubles sums[kVectors] = {};
  ForEachVector(n, [&](int64_t i, int64_t count, int64_t v) {
    const Doubles some = LoadSome<Doubles>(x + i, count);
    sums[v] += some * some;
  });
  return SumOfLanes<double>(sums);
}

inline Doubles Size(Doubles x) {
  return x < 0 ? -x : x;
}

inline Doubles Larger(Doubles x, Doubles y) {
  return x > y ? x : y;
}

inline Doubles Widened(const float* p, int64_t count) {
  return __builtin_convertvector(LoadSome<Floats>(p, count), Doubles);
}

double Distance(const float* y, const double* x, int64_t n) {
  Doubles sums[kVectors] = {};
  ForEachVector(n, [&](int64_t i, int64_t count, int64_t v) {
    sums[v] += Size(Widened(y + i, count) - LoadSome<Doubles>(x + i, count));
  });
  return SumOfLanes<double>(sums);
}

typedef uint64_t Words __attribute__((vector_size(kLanes * 8)));

// Whether there is nothing to take logarithms of, as behind a causal row's end.
inline bool AreZeros(const float* p, int64_t count) {
  uint64_t pairs[kLanes / 2], some = 0;
  const Floats values = LoadSome<Floats>(p, count);
  memcpy(pairs, &values, sizeof(pairs));
  for (uint64_t pair : pairs) some |= pair;
  return some == 0;
}

WeightSums Weigh(const float* weights, int64_t n, int64_t query) {
  constexpr double kOffsets[] = {0, 1, 2, 3, 4, 5, 6, 7};
  static_assert(sizeof(kOffsets) == kSumParts * sizeof(double));
  Doubles entropy[kVectors] = {}, distance[kVectors] = {}, largest[kVectors] = {};
  ForEachVector(n, [&](int64_t i, int64_t count, int64_t v) {
    if (AreZeros(weights + i, count)) return;
    const Doubles w = Widened(weights + i, count);
    const Doubles away = Load<Doubles>(kOffsets) + static_cast<double>(i - query);
    entropy[v] -= w * LogOf<Doubles, Words>(w);
    distance[v] += w * Size(away);
    largest[v] = Larger(largest[v], w);
  });
  WeightSums sums = {SumOfLanes<double>(entropy), SumOfLanes<double>(distance), 0};
  for (const Doubles& some : largest) {
    for (int64_t i = 0; i < kLanes; ++i) {
      if (some[i] > sums.largest) sums.largest = some[i];
    }
  }
  return sums;
}

PatternSums Match(const float* weights, const float* pattern, int64_t n) {
  Doubles matched[kVectors] = {}, all[kVectors] = {}, apart[kVectors] = {};
  ForEachVector(n, [&](int64_t i, int64_t count, int64_t v) {
    const Doubles w = Widened(weights + i, count), d = Widened(pattern + i, count);
    matched[v] += w * d;
    all[v] += w;
    apart[v] += Size(w - d);
  });
  return {SumOfLanes<double>(matched), SumOfLanes<double>(all), SumOfLanes<double>(apart)};
}

// p ln(p / m); 0 for a p of 0, whatever m is.
inline Doubles Part(Doubles p, Doubles m) {
  return p * LogOf<Doubles, Words>(p / m);
}

double Diverge(const float* p, const float* q, int64_t n) {
  Doubles sums[kVectors] = {};
  ForEachVector(n, [&](int64_t i, int64_t count, int64_t v) {
    if (AreZeros(p + i, count) && AreZeros(q + i, count)) return;
    const Doubles some_p = Widened(p + i, count), some_q = Widened(q + i, count);
    const Doubles m = (some_p + some_q) * 0.5;
    sums[v] += Part(some_p, m) + Part(some_q, m);
  });
  return SumOfLanes<double>(sums);
}

constexpr DoubleRows kDoubleRows = {Mix, AddMix, Add, SumSquares, Distance, Weigh, Match, Diverge};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_DOUBLE_ROWS_IMPL_H_
