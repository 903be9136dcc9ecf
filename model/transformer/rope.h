// Rotary position encoding: the angles (Su et al. 2021, arXiv 2104.09864; scaling as transformers'
// modeling_rope_utils.py).
#ifndef HEED_MODEL_TRANSFORMER_ROPE_H_
#define HEED_MODEL_TRANSFORMER_ROPE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "model/checkpoint/model_config.h"

namespace heed {

// Rotations per position of each pair of dimensions, f32 [rotary_dim / 2], scaling applied. In
// kinds of scaling for which FollowsLength holds, `length` is that of the sequence; up to the
// original context it makes no difference.
std::vector<float> RopeFrequencies(int rotary_dim, double theta, const RopeScaling& scaling,
                                   int64_t length = 0);

// Dynamic scaling and LongRoPE: frequencies differ with the length of the sequence.
bool FollowsLength(const RopeScaling& scaling);

// Cosines and sines of one position's angles, times `factor`, [frequencies.size()] each. The angle
// is rounded to f32 as the reference rounds it.
void RopeAngles(absl::Span<const float> frequencies, int64_t position, float factor,
                absl::Span<float> cos, absl::Span<float> sin);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_ROPE_H_
