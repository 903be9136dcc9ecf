#include "client/cli/pictures/colormap.h"

#include <algorithm>
#include <cmath>

namespace heed::cli {
namespace {

// Both run at an even pace of brightness, so that order can be read without telling the hues apart.
constexpr Rgb kOnDark[] = {{18, 22, 36},  {42, 40, 92},   {92, 44, 124},  {158, 58, 116},
                           {220, 98, 84}, {248, 164, 76}, {252, 236, 160}};
constexpr Rgb kOnLight[] = {{250, 250, 247}, {226, 236, 240}, {172, 212, 218}, {104, 176, 196},
                            {48, 126, 170},  {30, 78, 138},   {20, 34, 84}};

uint8_t Mix(uint8_t from, uint8_t to, double share) {
  return static_cast<uint8_t>(std::lround(from + (to - from) * share));
}

}  // namespace

absl::Span<const Rgb> WeightStops(bool dark_background) {
  return dark_background ? absl::MakeConstSpan(kOnDark) : absl::MakeConstSpan(kOnLight);
}

Rgb WeightColor(double weight, bool dark_background) {
  const absl::Span<const Rgb> stops = WeightStops(dark_background);
  const int last = static_cast<int>(stops.size()) - 1;
  const double place = std::sqrt(std::clamp(weight, 0.0, 1.0)) * last;
  const int index = std::min(static_cast<int>(place), last - 1);
  const Rgb from = stops[index];
  const Rgb to = stops[index + 1];
  const double share = place - index;
  return {Mix(from.red, to.red, share), Mix(from.green, to.green, share),
          Mix(from.blue, to.blue, share)};
}

}  // namespace heed::cli
