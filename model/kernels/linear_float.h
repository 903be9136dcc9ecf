// Linear with weights of 32 or 16 bits in our own kernels; activations and sums are float.
#ifndef HEED_MODEL_KERNELS_LINEAR_FLOAT_H_
#define HEED_MODEL_KERNELS_LINEAR_FLOAT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/kernels/backend.h"
#include "model/kernels/float_kernels.h"

namespace heed {

// Part of Backend::packing: to be raised when what the storage of these layers holds changes its
// meaning.
inline constexpr int kFloatStorageVersion = 1;

// Packs `weight` [out, in] in `bits` (32 or 16); `bias` [out] or empty. `kernels` lives for ever.
// 16 bits: as Backend::PackRounded. Apply takes nothing from the heap once a thread has seen as
// many rows.
absl::StatusOr<std::unique_ptr<Linear>> PackFloatLinear(const WeightRows& weight,
                                                        absl::Span<const float> bias, int bits,
                                                        const FloatKernels* kernels,
                                                        double* relative_error = nullptr);

// As Backend::NewLinear, for 32 and 16 bits.
absl::StatusOr<std::unique_ptr<Linear>> NewFloatLinear(const LinearForm& form,
                                                       const FloatKernels* kernels);

// The kernels of `isa`, which live for ever.
const FloatKernels* FloatKernelsFor(Isa isa);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LINEAR_FLOAT_H_
