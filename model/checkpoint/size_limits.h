// Sizes that a config.json may speak of: far above any model, and such that the sizes of all
// tensors and of a whole KV cache fit in 64 bits.
#ifndef HEED_MODEL_CHECKPOINT_SIZE_LIMITS_H_
#define HEED_MODEL_CHECKPOINT_SIZE_LIMITS_H_

#include "model/checkpoint/config_reader.h"

namespace heed {

inline constexpr IntRange kLayersRange{1, 1 << 10};
inline constexpr IntRange kHeadsRange{1, 1 << 12};
inline constexpr IntRange kHeadDimRange{1, 1 << 12};
inline constexpr IntRange kWidthRange{1, 1 << 20};
inline constexpr IntRange kFfnRange{1, 1 << 22};
inline constexpr IntRange kVocabRange{1, 1 << 26};
inline constexpr IntRange kContextRange{1, 1 << 26};
inline constexpr IntRange kTokenTypesRange{1, 1 << 16};

// Of rotary positions and the ways to stretch them.
inline constexpr DoubleRange kRopeThetaRange{1, 1e12};
inline constexpr DoubleRange kRopeFactorRange{1, 1e6};
inline constexpr DoubleRange kRopeFrequencyRange{1e-3, 1e6};
inline constexpr DoubleRange kRopeAttentionFactorRange{1e-3, 1e3};

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_SIZE_LIMITS_H_
