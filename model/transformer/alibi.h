// Attention with linear biases: the slopes (Press et al. 2021, arXiv 2108.12409).
#ifndef HEED_MODEL_TRANSFORMER_ALIBI_H_
#define HEED_MODEL_TRANSFORMER_ALIBI_H_

#include <vector>

namespace heed {

// How much each head's scores fall for each position of distance: powers of 2^(-8/n) for n heads
// where n is a power of two; otherwise those of the power of two below, and every other one of the
// power above.
std::vector<float> AlibiSlopes(int n_heads);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_ALIBI_H_
