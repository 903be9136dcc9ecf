#include "model/transformer/rope.h"

#include <algorithm>
#include <cmath>
#include <optional>

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

// YaRN: pairs that turn often within the original context keep their frequency, pairs that turn
// seldom are stretched by the factor, with a ramp between.
class YarnRamp {
 public:
  YarnRamp(int rotary_dim, double theta, const RopeScaling& scaling) : scaling_(scaling) {
    low_ = PairThatTurns(scaling.beta_fast, rotary_dim, theta);
    high_ = PairThatTurns(scaling.beta_slow, rotary_dim, theta);
    if (scaling.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, static_cast<double>(rotary_dim - 1));
    if (low_ == high_) high_ += 0.001;  // as the reference avoids the division by zero
  }

  // In the reference's order of f32 roundings.
  float Frequency(int pair, float period) const {
    const float stretch = std::clamp(
        (static_cast<float>(pair) - static_cast<float>(low_)) / static_cast<float>(high_ - low_),
        0.0f, 1.0f);
    const float keep = 1.0f - stretch;
    const float stretched = 1.0f / (static_cast<float>(scaling_.factor) * period);
    return stretched * (1.0f - keep) + (1.0f / period) * keep;
  }

 private:
  double PairThatTurns(double turns, int rotary_dim, double theta) const {
    const double original = static_cast<double>(scaling_.original_context);
    return rotary_dim * std::log(original / (turns * 2 * M_PI)) / (2 * std::log(theta));
  }

  const RopeScaling& scaling_;
  double low_, high_;
};

// Dynamic NTK: the base grows with the sequence. In the reference's order of f32 roundings.
double DynamicTheta(int rotary_dim, double theta, const RopeScaling& scaling, int64_t length) {
  const float factor = static_cast<float>(scaling.factor);
  const float stretched =
      factor * static_cast<float>(length) / static_cast<float>(scaling.original_context);
  const float growth = stretched - static_cast<float>(scaling.factor - 1);
  const double exponent = static_cast<double>(rotary_dim) / (rotary_dim - 2);
  return static_cast<float>(theta) *
         static_cast<float>(std::pow(growth, static_cast<float>(exponent)));
}

}  // namespace

bool FollowsLength(const RopeScaling& scaling) {
  return scaling.kind == RopeScaling::Kind::kDynamic ||
         scaling.kind == RopeScaling::Kind::kLongRope;
}

std::vector<float> RopeFrequencies(int rotary_dim, double theta, const RopeScaling& scaling,
                                   int64_t length) {
  const bool is_long = FollowsLength(scaling) && length > scaling.original_context;
  if (is_long && scaling.kind == RopeScaling::Kind::kDynamic) {
    theta = DynamicTheta(rotary_dim, theta, scaling, length);
  }
  const std::vector<float>& stretches = is_long ? scaling.long_factors : scaling.short_factors;
  std::optional<YarnRamp> yarn;
  if (scaling.kind == RopeScaling::Kind::kYarn) yarn.emplace(rotary_dim, theta, scaling);
  std::vector<float> frequencies;
  for (int i = 0; i < rotary_dim; i += 2) {
    // In the reference's order of f32 roundings, so that angles agree to the last digit far into a
    // sequence.
    const float exponent = static_cast<float>(i) / static_cast<float>(rotary_dim);
    const float period = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    const float stretch = stretches.empty() ? 1.0f : stretches[static_cast<size_t>(i) / 2];
    double frequency = 1.0f / (stretch * period);
    if (scaling.kind == RopeScaling::Kind::kLinear) frequency /= scaling.factor;
    if (scaling.kind == RopeScaling::Kind::kLlama3) frequency = ScaleLlama3(frequency, scaling);
    if (yarn) frequency = yarn->Frequency(i / 2, period);
    if (!scaling.divisors.empty()) frequency /= scaling.divisors[static_cast<size_t>(i) / 2];
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

void RopeAngles(absl::Span<const float> frequencies, int64_t position, float factor,
                absl::Span<float> cos, absl::Span<float> sin) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * factor;
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * factor;
  }
}

}  // namespace heed
