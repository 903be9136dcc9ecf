// What keys and values become by being stored, in plain arithmetic: for the scalar twin, and for
// whoever looks at them before they are. The kernels do the same to the bit.
#ifndef HEED_MODEL_KERNELS_KV_ROUNDING_H_
#define HEED_MODEL_KERNELS_KV_ROUNDING_H_

#include <cstdint>

#include "absl/types/span.h"
#include "model/base/layer_kinds.h"
#include "model/base/matrix.h"

namespace heed {

// With 8 bits, the scale of one head of one token: the largest magnitude over 127, in 16 bits of
// precision, so that it times any of its numbers is exact in f32, and rounding what was rounded
// changes nothing. 0 where all are next to nothing, NaN where one is not finite.
float KvScale(absl::Span<const float> head);

// The number that stands for `value`: the nearest, ties to even. 0 when the scale is not positive.
int8_t KvNumber(float value, float scale);

// Each head of each row, [rows, n_kv_heads * head_dim], as it would be read from the pages.
void RoundAsStored(KvType type, int64_t head_dim, MatrixRef rows);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_KV_ROUNDING_H_
