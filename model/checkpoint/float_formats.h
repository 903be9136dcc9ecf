// Stored floating-point formats to f32. Sources need no alignment.
#ifndef HEED_MODEL_CHECKPOINT_FLOAT_FORMATS_H_
#define HEED_MODEL_CHECKPOINT_FLOAT_FORMATS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace heed {

// `bytes` holds 2 * out.size() bytes, little-endian IEEE 754 binary16. Exact for every value.
void F16ToF32(const char* bytes, absl::Span<float> out);

// `bytes` holds 2 * out.size() bytes: the upper halves of little-endian f32.
void BF16ToF32(const char* bytes, absl::Span<float> out);

// Index of the first NaN or infinity; -1 when there is none.
int64_t FindNonFinite(absl::Span<const float> values);

}  // namespace heed

#endif  // HEED_MODEL_CHECKPOINT_FLOAT_FORMATS_H_
