// IntKernels::spread over what an instruction set does to one group, and the way back. The rules of
// isa_kernels.h hold here.
//
// A group of values becomes (1 / 8) H D times itself, where D changes the signs of some values,
// chosen by lot once and for all, and H is Sylvester's Hadamard matrix, whose elements are 1 and -1
// (QuIP#: Tseng et al. 2024, arXiv 2402.04396; QuaRot: Ashkboos et al. 2024, arXiv 2404.00456).
// That is orthogonal. So products of two groups stay what they are when both are spread; but one
// value that dwarfs the others has become a share in all of them, and rounding to integers with one
// scale for the group costs the others less. Without D values of one sign would become one that
// dwarfs the others.
#ifndef HEED_MODEL_KERNELS_INT_KERNELS_SPREAD_H_
#define HEED_MODEL_KERNELS_INT_KERNELS_SPREAD_H_

#include <stdint.h>

#include "model/kernels/int_kernels.h"

namespace heed {
namespace {

// D / 8. A power of two, so that multiplying by it is exact.
struct SpreadFactors {
  alignas(64) float values[kSpreadGroup];
};
constexpr SpreadFactors MakeSpreadFactors() {
  constexpr uint64_t kSigns = 0x5851f42d4c957f2d;
  SpreadFactors factors{};
  for (int64_t i = 0; i < kSpreadGroup; ++i) {
    factors.values[i] = (kSigns >> i & 1) != 0 ? -0.125f : 0.125f;
  }
  return factors;
}
constexpr SpreadFactors kSpreadFactors = MakeSpreadFactors();
static_assert(kSpreadGroup == 64);

// How many times as large as the largest value of a group those that it is spread to may be.
constexpr float kMostSpread = 8;

// x [kSpreadGroup] = H x: in each step sums and differences of values twice as far from each other
// as in the step before. All instruction sets add in this order.
inline void Hadamard(float* x) {
  for (int64_t apart = 1; apart < kSpreadGroup; apart *= 2) {
    for (int64_t first = 0; first < kSpreadGroup; first += 2 * apart) {
      for (int64_t i = first; i < first + apart; ++i) {
        const float a = x[i], b = x[i + apart];
        x[i] = a + b;
        x[i + apart] = a - b;
      }
    }
  }
}

inline void SpreadGroup(const float* x, float* out) {
  for (int64_t i = 0; i < kSpreadGroup; ++i) out[i] = x[i] * kSpreadFactors.values[i];
  Hadamard(out);
}

// The group that SpreadGroup made x [kSpreadGroup] of, but for the last digits.
inline void GatherGroup(float* x) {
  Hadamard(x);
  for (int64_t i = 0; i < kSpreadGroup; ++i) x[i] *= kSpreadFactors.values[i];
}

// kSpread: SpreadGroup.
template <void (*kSpread)(const float* x, float* out)>
void SpreadRow(const float* x, int64_t n, float* out) {
  for (; n >= kSpreadGroup; n -= kSpreadGroup, x += kSpreadGroup, out += kSpreadGroup) {
    kSpread(x, out);
  }
  __builtin_memcpy(out, x, n * sizeof(float));
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_INT_KERNELS_SPREAD_H_
