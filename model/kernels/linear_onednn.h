// Linear through oneDNN's matmul. Builds with oneDNN 2.6 and 3.x.
#ifndef HEED_MODEL_KERNELS_LINEAR_ONEDNN_H_
#define HEED_MODEL_KERNELS_LINEAR_ONEDNN_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/base/cpu.h"
#include "model/kernels/backend.h"
#include "model/kernels/float_kernels.h"

namespace heed {

// Packs `weight` [out, in] into the layout that oneDNN likes best on this machine. `bias` [out] or
// empty. Each thread of the calling thread's team runs oneDNN by itself, on rows of its own. Up to
// FewRows::kMost rows are multiplied by the kernels `few_rows`, which live for ever, where these
// give the same bits; null: by oneDNN.
absl::StatusOr<std::unique_ptr<Linear>> PackOneDnnLinear(const WeightRows& weight,
                                                         absl::Span<const float> bias,
                                                         const FloatKernels* few_rows);

// As Backend::NewLinear, for 32 bits.
absl::StatusOr<std::unique_ptr<Linear>> NewOneDnnLinear(const LinearForm& form,
                                                        const FloatKernels* few_rows);

// The library's version and the implementation it chose for a typical layer, for logs:
// "oneDNN 2.6.3 brg:avx512_core".
std::string DescribeOneDnn();

// Whether a row's bits do not depend on how many are multiplied together, and by how many threads,
// which oneDNN keeps to in the kernels that it has for AVX-512.
bool OneDnnKeepsRows();

// FAILED_PRECONDITION for an implementation of oneDNN's that is only there to say what is right:
// plain loops, named "ref:any" or the like, a hundred times slower than any other. Packing a layer
// ends so.
absl::Status CheckOneDnnImplementation(absl::string_view name);

// Holds oneDNN to an instruction set. FAILED_PRECONDITION once it has computed something.
absl::Status LimitOneDnn(Isa isa);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_LINEAR_ONEDNN_H_
