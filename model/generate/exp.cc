#include "model/generate/exp.h"

#include <bit>
#include <cstddef>
#include <cstdint>

namespace heed {
namespace {

// Branch-free, so that loops over it vectorise. e^x = 2^k * e^r with k the nearest integer to x /
// ln 2.
inline double Exp(double x) {
  constexpr double kLowest = -708;              // the results stay normal numbers
  constexpr double kRounder = 0x1.8p52;         // adding it rounds to an integer in the low bits
  constexpr double kLn2High = 0x1.62e42feep-1;  // 32 significant bits: k * kLn2High is exact
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double clamped = x < kLowest ? kLowest : x;
  const double shifted = clamped * 0x1.71547652b82fep0 + kRounder;
  const double k = shifted - kRounder;
  const double r = (clamped - k * kLn2High) - k * kLn2Low;  // |r| <= ln(2) / 2
  // The exponential series; the first term left out, r^14 / 14!, is below 5e-18.
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r + 1.0;
  const double power = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);
  return x < kLowest ? 0.0 : p * power;
}

}  // namespace

double NegativeExp(double x) {
  return Exp(x);
}

void ExpBelow(absl::Span<const float> logits, double largest, double scale,
              absl::Span<double> out) {
  const float* in = logits.data();
  double* result = out.data();
  const size_t size = logits.size();
  for (size_t i = 0; i < size; ++i) result[i] = Exp((in[i] - largest) * scale);
}

}  // namespace heed
