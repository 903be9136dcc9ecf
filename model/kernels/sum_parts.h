#ifndef HEED_MODEL_KERNELS_SUM_PARTS_H_
#define HEED_MODEL_KERNELS_SUM_PARTS_H_

#include <stdint.h>

namespace heed {

// Sums that have the same bits with any instruction set are made in so many parts, of every eighth
// element, which are then added in order.
constexpr int64_t kSumParts = 8;

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_SUM_PARTS_H_
