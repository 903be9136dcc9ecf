// Arrays in NumPy's .npy format, version 1.0: what numpy.load and most array libraries read.
#ifndef HEED_CLIENT_CLI_BASE_NPY_H_
#define HEED_CLIENT_CLI_BASE_NPY_H_

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace heed::cli {

// The header of a row-major float32 array: its length is a multiple of 64 bytes.
std::string NpyHeader(absl::Span<const int64_t> shape);

// Header and data, where `values` holds product(shape) elements. DATA_LOSS when the stream does not
// take them all.
absl::Status WriteNpy(std::ostream& out, absl::Span<const int64_t> shape,
                      absl::Span<const float> values);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_NPY_H_
