// Linear with weights of 8 or 4 bits, and activations of 8 bits made on the way.
#ifndef HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_
#define HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/kernels/int_kernels.h"

namespace heed {

// Weights of `bits` (8 or 4) with one half-precision scale for every `group` consecutive input
// features of an output feature. 8 bits: w = scale * q, q in [-127, 127]. 4 bits: q in [-8, 7].
struct QuantizedFormat {
  int bits = 8;
  int64_t group = 128;  // a multiple of 16, at most 65536
};

// Rounds `weight` [out, in] to `format` and packs it; `bias` [out] or empty. INVALID_ARGUMENT for a
// weight that is not finite, naming its place. `kernels` lives for ever.
//
// The layer's rows are exact functions of the rounded weights and of activations rounded to 8 bits
// with one scale for each group of a row: products are summed in 32-bit integers within a group,
// and the groups in order.
absl::StatusOr<std::unique_ptr<Linear>> PackQuantizedLinear(ConstMatrixRef weight,
                                                            absl::Span<const float> bias,
                                                            const QuantizedFormat& format,
                                                            const IntKernels* kernels);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_
