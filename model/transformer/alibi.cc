#include "model/transformer/alibi.h"

#include <cmath>

namespace heed {

std::vector<float> AlibiSlopes(int n_heads) {
  int power = 1;
  while (2 * power <= n_heads) power *= 2;
  std::vector<float> slopes;
  for (int k = 1; k <= power; ++k) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * k / power)));
  }
  for (int k = 1; static_cast<int>(slopes.size()) < n_heads; k += 2) {
    slopes.push_back(static_cast<float>(std::exp2(-8.0 * k / (2.0 * power))));
  }
  return slopes;
}

}  // namespace heed
