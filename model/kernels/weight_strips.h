// Takes the rows of a weight strip by strip, on the team.
#ifndef HEED_MODEL_KERNELS_WEIGHT_STRIPS_H_
#define HEED_MODEL_KERNELS_WEIGHT_STRIPS_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"

namespace heed {

// Calls use(first, rows) once for each strip of `strip` rows, the last of which may have fewer,
// from several threads at once. What it is given is gone after the call. Returns the error of the
// first strip that has one; RESOURCE_EXHAUSTED when there is no memory for a strip.
absl::Status ForEachStrip(const WeightRows& weight, int64_t strip,
                          absl::FunctionRef<absl::Status(int64_t first, ConstMatrixRef rows)> use);

// The same with rows in blocks, row after row.
absl::Status ForEachStrip(
    const BlockRows& blocks, int64_t strip,
    absl::FunctionRef<absl::Status(int64_t first, absl::Span<const char> rows)> use);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_WEIGHT_STRIPS_H_
