// The product of quantised weights and activations where the machine multiplies tiles of bfloat16.
#ifndef HEED_MODEL_KERNELS_LINEAR_BF16_H_
#define HEED_MODEL_KERNELS_LINEAR_BF16_H_

#include "absl/types/span.h"
#include "model/kernels/backend.h"
#include "model/kernels/bf16_kernels.h"
#include "model/kernels/int_matrix.h"

namespace heed {

// Whether a scale holds for all weights that one tile takes.
inline bool SuitsBf16(const IntMatrix& weight) {
  return weight.group() % kTileFeatures == 0;
}

// y = x weight^T + bias, or y += that: as bf16_kernels.h says, for a weight that SuitsBf16. `bias`
// has kPanelCols numbers for each panel. Runs on the calling thread's team; safe on several threads
// at once.
void MultiplyInBf16(const IntMatrix& weight, absl::Span<const float> bias,
                    const Bf16Kernels& kernels, ConstMatrixRef x, MatrixRef y, Linear::Write write);

// The same of y.rows rows that are made where they are used.
void MultiplyMadeInBf16(const IntMatrix& weight, absl::Span<const float> bias,
                        const Bf16Kernels& kernels, RowMaker make, MatrixRef y,
                        Linear::Write write);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LINEAR_BF16_H_
