// Attention of many slices by the fast kernels: cut into tiles, and where these are too few for all
// threads, into spans of keys besides. How it is cut changes no bit (attention_tile.h).
#ifndef HEED_MODEL_KERNELS_TILED_ATTENTION_H_
#define HEED_MODEL_KERNELS_TILED_ATTENTION_H_

#include "absl/types/span.h"
#include "model/kernels/attention_tile.h"
#include "model/kernels/backend.h"

namespace heed {

// Backend::Attend, but for edited rows, which are computed as if nobody edited them and shown to
// nobody.
void AttendTiled(const AttentionKernels& kernels, const AttentionShape& shape,
                 absl::Span<const AttentionSlice> slices);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_TILED_ATTENTION_H_
