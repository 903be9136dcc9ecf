#include "model/transformer/rope.h"

#include <cmath>

namespace heed {
namespace {

// Llama 3: long wavelengths are stretched by the factor, short ones kept, those between blended.
double ScaleLlama3(double frequency, const RopeScaling& scaling) {
  const double original = static_cast<double>(scaling.original_context);
  const double wavelength = 2 * M_PI / frequency;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth = (original / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return frequency * ((1 - smooth) / scaling.factor + smooth);
}

}  // namespace

std::vector<float> RopeFrequencies(int head_dim, double theta, const RopeScaling& scaling) {
  std::vector<float> frequencies;
  for (int i = 0; i < head_dim; i += 2) {
    // In the reference's order of f32 roundings, so that angles agree to the last digit far into a
    // sequence.
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    const float period = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    double frequency = 1.0f / period;
    if (scaling.kind == RopeScaling::Kind::kLinear) frequency /= scaling.factor;
    if (scaling.kind == RopeScaling::Kind::kLlama3) frequency = ScaleLlama3(frequency, scaling);
    if (!scaling.divisors.empty()) frequency /= scaling.divisors[static_cast<size_t>(i) / 2];
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

void RopeAngles(absl::Span<const float> frequencies, int64_t position, absl::Span<float> cos,
                absl::Span<float> sin) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
  }
}

}  // namespace heed
