// Linear with weights of 8 or 4 bits, and activations rounded on the way.
#ifndef HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_
#define HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/kernels/backend.h"
#include "model/kernels/int_kernels.h"

namespace heed {

// Weights of `bits` (8 or 4) with one half-precision scale for every `group` consecutive input
// features of an output feature. 8 bits: w = scale * q, q in [-127, 127]. 4 bits: q in [-8, 7].
struct QuantizedFormat {
  int bits = 8;
  int64_t group = 64;  // a multiple of 16, at most kMostGroup
};
inline constexpr int64_t kMostGroup = 65536;

// The group that weights are rounded in unless a file says otherwise.
inline constexpr int64_t kRoundedGroup = kSpreadGroup;

// Rounds `weight` [out, in] to `format` and packs it; `bias` [out] or empty. INVALID_ARGUMENT for a
// weight that is not finite, naming its place. `kernels` lives for ever. `relative_error`: as
// Backend::PackRounded.
//
// The layer's rows are exact functions of the rounded weights and of rounded activations. With
// kernels that have tiles, and groups of whole tiles, as bf16_kernels.h says. Otherwise activations
// are rounded to 8 bits with one scale for each group of a row, products are summed in 32-bit
// integers within a group, and the groups in order. Weights of 8 bits in groups of kSpreadGroup,
// and their activations, are then rounded as IntKernels::spread makes them.
absl::StatusOr<std::unique_ptr<Linear>> PackQuantizedLinear(const WeightRows& weight,
                                                            absl::Span<const float> bias,
                                                            const QuantizedFormat& format,
                                                            const IntKernels* kernels,
                                                            double* relative_error = nullptr);

// The same with the very weights and scales of `blocks`. INVALID_ARGUMENT for a scale that is not
// finite, naming its place.
absl::StatusOr<std::unique_ptr<Linear>> PackBlockLinear(const BlockRows& blocks,
                                                        absl::Span<const float> bias,
                                                        const IntKernels* kernels);

// As Backend::NewLinear, for 8 and 4 bits.
absl::StatusOr<std::unique_ptr<Linear>> NewQuantizedLinear(const LinearForm& form,
                                                           const IntKernels* kernels);

// As Backend::packing, of these layers.
std::string IntPacking(const IntKernels& kernels);

// The best kernels for this machine of those that `isa` has. They live for ever.
const IntKernels* IntKernelsFor(Isa isa);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LINEAR_QUANTIZED_H_
