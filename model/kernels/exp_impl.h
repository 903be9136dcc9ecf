// The exponential function as one formula for a number and for a vector of them. Included by files
// of each instruction set, so C headers only (logit_rows.h).
#ifndef HEED_MODEL_KERNELS_EXP_IMPL_H_
#define HEED_MODEL_KERNELS_EXP_IMPL_H_

#include <stdint.h>

namespace heed {
namespace {

// e^x for x <= 0; 0 below -708. F64 is double and U64 uint64_t, or both are vectors of as many.
// Without branches: e^x = 2^k * e^r with k the nearest integer to x / ln 2.
template <typename F64, typename U64>
inline F64 ExpOf(F64 x) {
  const F64 lowest = F64{} - 708.0;             // the results stay normal numbers
  constexpr double kRounder = 0x1.8p52;         // adding it rounds to an integer in the low bits
  constexpr double kLn2High = 0x1.62e42feep-1;  // 32 significant bits: k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const F64 clamped = x < lowest ? lowest : x;
  const F64 shifted = clamped * 0x1.71547652b82fep0 + kRounder;
  const F64 k = shifted - kRounder;
  const F64 r = (clamped - k * kLn2High) - k * kLn2Low;  // |r| <= ln(2) / 2
  // The exponential series, whose first term that is left out, r^14 / 14!, is below 5e-18: behind
  // 1 + r, what is to be multiplied by r^2, in pairs of terms and pairs of those.
  const F64 r2 = r * r, r4 = r2 * r2;
  const F64 p2 = r * (1.0 / 6.0) + 0.5;
  const F64 p4 = r * (1.0 / 120.0) + 1.0 / 24.0;
  const F64 p6 = r * (1.0 / 5040.0) + 1.0 / 720.0;
  const F64 p8 = r * (1.0 / 362880.0) + 1.0 / 40320.0;
  const F64 p10 = r * (1.0 / 39916800.0) + 1.0 / 3628800.0;
  const F64 p12 = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  const F64 q = (p4 * r2 + p2) + ((p8 * r2 + p6) + (p12 * r2 + p10) * r4) * r4;
  const F64 p = (q * r2 + r) + 1.0;
  const U64 power = (__builtin_bit_cast(U64, shifted) + 1023) << 52;
  return x < lowest ? F64{} : p * __builtin_bit_cast(F64, power);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_EXP_IMPL_H_
