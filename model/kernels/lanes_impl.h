// Vectors as wide as the instructions that a file is compiled for, for passes that give the same
// bits with any: what they add up they add up in kSumParts parts.
#ifndef HEED_MODEL_KERNELS_LANES_IMPL_H_
#define HEED_MODEL_KERNELS_LANES_IMPL_H_

#include <stdint.h>
#include <string.h>

#include "model/kernels/sum_parts.h"

namespace heed {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 8;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 4;
#else
constexpr int64_t kLanes = 2;
#endif
constexpr int64_t kVectors = kSumParts / kLanes;
typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef double Doubles __attribute__((vector_size(kLanes * 8)));

template <typename Vector, typename Element>
inline Vector Load(const Element* p) {
  Vector v;
  memcpy(&v, p, sizeof(v));
  return v;
}

// The first `n` elements, and `filler` behind them.
template <typename Vector, typename Element>
inline Vector LoadFirst(const Element* p, int64_t n, Element filler) {
  Vector v = Vector{} + filler;
  memcpy(&v, p, n * sizeof(Element));
  return v;
}

// Of one part after the other. By a call, without which GCC 12 would have the vector in memory all
// along.
template <typename Element, int64_t kCount>
__attribute__((noinline)) Element SumOf(const Element (&lanes)[kCount]) {
  Element sum = lanes[0];
  for (int64_t i = 1; i < kCount; ++i) sum += lanes[i];
  return sum;
}

// Of a vector or several.
template <typename Element, typename Vector>
inline Element SumOfLanes(const Vector& v) {
  constexpr size_t kBytes = sizeof(v);
  Element lanes[kBytes / sizeof(Element)];
  memcpy(lanes, &v, sizeof(v));
  return SumOf(lanes);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LANES_IMPL_H_
