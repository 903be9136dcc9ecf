// The natural logarithm as one formula for a number and for a vector of them, as exp_impl.h has the
// exponential. Included by files of each instruction set, so C headers only (logit_rows.h).
#ifndef HEED_MODEL_KERNELS_LOG_IMPL_H_
#define HEED_MODEL_KERNELS_LOG_IMPL_H_

#include <stdint.h>

namespace heed {
namespace {

// ln x within a unit in the last place, for finite x of at least 2^-1022; of others, 0 and NaN
// among them, some finite number. F64 is double and U64 uint64_t, or both are vectors of as many.
// Without branches: x = 2^k * m with m from sqrt(1/2) to sqrt(2), and ln m = 2 artanh(s) for
// s = (m - 1) / (m + 1).
template <typename F64, typename U64>
inline F64 LogOf(F64 x) {
  constexpr uint64_t kOne = 0x3ff0000000000000, kRootOfHalf = 0x3fe6a09e667f3bcd;
  constexpr uint64_t kMantissa = 0x000fffffffffffff;
  constexpr double kLn2High = 0x1.62e42feep-1;  // 32 significant bits: k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const U64 bits = __builtin_bit_cast(U64, x) + (kOne - kRootOfHalf);
  const F64 m = __builtin_bit_cast(F64, (bits & kMantissa) + kRootOfHalf);
  // The biased exponent as the last bits of 2^52.
  const U64 exponent = (bits >> 52) | 0x4330000000000000;
  const F64 k = __builtin_bit_cast(F64, exponent) - (0x1p52 + 1023);
  const F64 f = m - 1.0;
  const F64 s = f / (f + 2.0);
  const F64 z = s * s, z2 = z * z, z4 = z2 * z2;
  // 2 artanh(s) = 2 s (1 + z / 3 + z^2 / 5 + ...), of which the first term that is left out,
  // z^10 / 21, is below 3e-17. 2 s = f - s f, and f is exact.
  const F64 p1 = z * (2.0 / 5) + 2.0 / 3;
  const F64 p3 = z * (2.0 / 9) + 2.0 / 7;
  const F64 p5 = z * (2.0 / 13) + 2.0 / 11;
  const F64 p7 = z * (2.0 / 17) + 2.0 / 15;
  const F64 series = ((z4 * (2.0 / 19) + (p7 * z2 + p5)) * z4 + (p3 * z2 + p1)) * z;
  return k * kLn2High - ((s * (f - series) - k * kLn2Low) - f);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LOG_IMPL_H_
