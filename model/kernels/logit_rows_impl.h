// The passes of logit_rows.h in vectors that a compiler makes of what it was told that there is. No
// product is fused with a sum (the folder's flags), so the bits are the same.
#ifndef HEED_MODEL_KERNELS_LOGIT_ROWS_IMPL_H_
#define HEED_MODEL_KERNELS_LOGIT_ROWS_IMPL_H_

#include <stdint.h>
#include <string.h>

#include "model/kernels/exp_impl.h"
#include "model/kernels/lanes_impl.h"
#include "model/kernels/logit_rows.h"

namespace heed {
namespace {

typedef int64_t Integers __attribute__((vector_size(kLanes * 8)));
typedef uint64_t Weights __attribute__((vector_size(kLanes * 8)));

constexpr int64_t kWideLanes = 2 * kLanes;
typedef float WideFloats __attribute__((vector_size(kWideLanes * 4)));
typedef int32_t WideIntegers __attribute__((vector_size(kWideLanes * 4)));

struct ExpSumParts {
  Doubles weights[kVectors], weighted_offsets[kVectors];
};

// Of kSumParts logits, of which the first `count` are there.
inline void AddExp(const float* logits, int64_t count, double largest, ExpSumParts* sums) {
  constexpr double kOnes[] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (int64_t v = 0; v < kVectors; ++v) {
    const int64_t here = count - v * kLanes;
    Floats some = {};
    Doubles are_there = Doubles{} + 1.0;
    if (here >= kLanes) {
      some = Load<Floats>(logits + v * kLanes);
    } else {
      const int64_t first = here < 0 ? 0 : here;
      some = LoadFirst<Floats>(logits + v * kLanes, first, static_cast<float>(largest));
      are_there = LoadFirst<Doubles>(kOnes, first, 0.0);
    }
    const Doubles offsets = __builtin_convertvector(some, Doubles) - largest;
    const Doubles weights = ExpOf<Doubles, Weights>(offsets) * are_there;
    sums->weights[v] += weights;
    sums->weighted_offsets[v] += weights * offsets;
  }
}

ExpSums SumExp(const float* logits, int64_t n, double largest) {
  ExpSumParts sums = {};
  int64_t i = 0;
  for (; i + kSumParts <= n; i += kSumParts) AddExp(logits + i, kSumParts, largest, &sums);
  if (i < n) AddExp(logits + i, n - i, largest, &sums);
  return {SumOfLanes<double>(sums.weights), SumOfLanes<double>(sums.weighted_offsets)};
}

// Log-probabilities of kLanes logits at most; of those that are not there, one whose exponential is
// 0.
inline Doubles LogProbabilities(const float* logits, int64_t count, double log_sum) {
  constexpr float kNone = -3e38f;
  const Floats some =
      count >= kLanes ? Load<Floats>(logits) : LoadFirst<Floats>(logits, count, kNone);
  return __builtin_convertvector(some, Doubles) - log_sum;
}

double Diverge(const float* a, double log_sum_a, const float* b, double log_sum_b, int64_t n) {
  Doubles sums[kVectors] = {};
  for (int64_t i = 0; i < n; i += kSumParts) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const int64_t at = i + v * kLanes;
      if (at >= n) break;
      const Doubles x = LogProbabilities(a + at, n - at, log_sum_a);
      sums[v] += ExpOf<Doubles, Weights>(x) * (x - LogProbabilities(b + at, n - at, log_sum_b));
    }
  }
  return SumOfLanes<double>(sums);
}

void Apart(const float* a, double log_sum_a, const float* b, double log_sum_b, int64_t n,
           double* out) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Doubles difference = ExpOf<Doubles, Weights>(LogProbabilities(a + i, n - i, log_sum_a)) -
                               ExpOf<Doubles, Weights>(LogProbabilities(b + i, n - i, log_sum_b));
    const Doubles apart = difference < 0 ? -difference : difference;
    memcpy(out + i, &apart, (n - i < kLanes ? n - i : kLanes) * sizeof(double));
  }
}

inline Integers Weigh(Floats logits, double largest, double scale, double unit) {
  const Doubles offsets = (__builtin_convertvector(logits, Doubles) - largest) * scale;
  return __builtin_convertvector(ExpOf<Doubles, Weights>(offsets) * unit + 0.5, Integers);
}

void WeighRow(const float* logits, int64_t n, double largest, double scale, double unit,
              uint64_t* weights) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Integers some = Weigh(Load<Floats>(logits + i), largest, scale, unit);
    memcpy(weights + i, &some, sizeof(some));
  }
  if (i == n) return;
  const Floats last = LoadFirst<Floats>(logits + i, n - i, static_cast<float>(largest));
  const Integers rest = Weigh(last, largest, scale, unit);
  memcpy(weights + i, &rest, (n - i) * sizeof(uint64_t));
}

uint64_t Sum(const uint64_t* weights, int64_t n) {
  Weights sums = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sums += Load<Weights>(weights + i);
  if (i < n) sums += LoadFirst<Weights>(weights + i, n - i, uint64_t{0});
  return SumOfLanes<uint64_t>(sums);
}

// Values whose largest is found without asking where it is.
constexpr int64_t kBlock = 256;

inline float LargestOf(const float* values, int64_t n) {
  float largest = values[0];
  if (n >= kWideLanes) {
    WideFloats most = Load<WideFloats>(values);
    for (int64_t i = kWideLanes; i + kWideLanes <= n; i += kWideLanes) {
      const WideFloats some = Load<WideFloats>(values + i);
      most = some > most ? some : most;
    }
    float lanes[kWideLanes];
    memcpy(lanes, &most, sizeof(most));
    for (float lane : lanes) largest = lane > largest ? lane : largest;
  }
  for (int64_t i = n - n % kWideLanes; i < n; ++i) {
    largest = values[i] > largest ? values[i] : largest;
  }
  return largest;
}

int64_t IndexOfLargest(const float* values, int64_t n) {
  int64_t block = 0;
  float largest = values[0];
  for (int64_t i = 0; i < n; i += kBlock) {
    const float here = LargestOf(values + i, n - i < kBlock ? n - i : kBlock);
    if (here <= largest) continue;
    largest = here;
    block = i;
  }
  while (values[block] != largest) ++block;
  return block;
}

// `is_counted` gives all bits for an element that is, and none for others.
template <typename Fn>
inline int64_t Count(const float* values, int64_t n, float not_counted, Fn is_counted) {
  WideIntegers counts = {};  // negative
  int64_t i = 0;
  for (; i + kWideLanes <= n; i += kWideLanes) counts += is_counted(Load<WideFloats>(values + i));
  if (i < n) counts += is_counted(LoadFirst<WideFloats>(values + i, n - i, not_counted));
  return -SumOfLanes<int32_t>(counts);
}

int64_t CountAbove(const float* values, int64_t n, float bound) {
  return Count(values, n, bound, [=](WideFloats v) { return v > bound; });
}

int64_t CountEqual(const float* values, int64_t n, float bound) {
  return Count(values, n, __builtin_nanf(""), [=](WideFloats v) { return v == bound; });
}

int64_t CountNonfinite(const float* values, int64_t n) {
  return Count(values, n, 0.0f, [](WideFloats v) {
    const WideIntegers exponent = (WideIntegers)v & 0x7f800000;
    return exponent == 0x7f800000;
  });
}

// Loops that compilers make vectors of themselves, of single and double width together.
Mass MassAbove(const float* logits, const uint64_t* weights, int64_t n, float bound) {
  Mass mass = {};
  for (int64_t i = 0; i < n; ++i) {
    mass.count += logits[i] > bound ? 1 : 0;
    mass.weight += logits[i] > bound ? weights[i] : 0;
  }
  return mass;
}

void DropOthers(const float* logits, uint64_t* weights, int64_t n, float bound) {
  for (int64_t i = 0; i < n; ++i) weights[i] = logits[i] > bound ? weights[i] : 0;
}

// Values of which it is first asked whether one of them is looked for.
constexpr int64_t kFew = 128;

int64_t FindBetween(const float* values, int64_t n, float low, float high, int32_t* found) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < n; begin += kFew) {
    const int64_t end = begin + kFew < n ? begin + kFew : n;
    const int64_t here = Count(values + begin, end - begin, low,
                               [=](WideFloats v) { return (v > low) & (v <= high); });
    for (int64_t i = begin, left = here; left > 0; ++i) {
      if (!(values[i] > low && values[i] <= high)) continue;
      found[count++] = static_cast<int32_t>(i);
      --left;
    }
  }
  return count;
}

int64_t FirstAbove(const float* values, int64_t begin, int64_t n, float bound) {
  for (; begin < n; begin += kFew) {
    const int64_t end = begin + kFew < n ? begin + kFew : n;
    if (CountAbove(values + begin, end - begin, bound) == 0) continue;
    while (!(values[begin] > bound)) ++begin;
    return begin;
  }
  return n;
}

constexpr LogitRows kLogitRows = {SumExp,     Diverge,    Apart,         WeighRow,   Sum,
                                  MassAbove,  DropOthers, FindBetween,   FirstAbove, IndexOfLargest,
                                  CountAbove, CountEqual, CountNonfinite};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LOGIT_ROWS_IMPL_H_
