// Colours for weights: the same scale in the terminal and on the page.
#ifndef HEED_CLIENT_CLI_PICTURES_COLORMAP_H_
#define HEED_CLIENT_CLI_PICTURES_COLORMAP_H_

#include "absl/types/span.h"
#include "client/cli/base/terminal.h"

namespace heed::cli {

// The colours that the scale goes through, from weight 0 to 1 at even steps of the square root.
absl::Span<const Rgb> WeightStops(bool dark_background);

// The colour of a weight in [0, 1]: from near the background to vivid. Weights are shown on a
// square-root scale, so that a tenth can be told from nothing.
Rgb WeightColor(double weight, bool dark_background);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PICTURES_COLORMAP_H_
