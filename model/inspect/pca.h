// Principal components: vectors of many dimensions drawn in two or three.
#ifndef HEED_MODEL_INSPECT_PCA_H_
#define HEED_MODEL_INSPECT_PCA_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "model/base/matrix.h"
#include "model/base/stop_signal.h"

namespace heed {

// The rows' coordinates along the `dimensions` directions of largest variance, centred; each
// direction's sign makes its largest element positive.
struct PrincipalComponents {
  std::vector<float> coordinates;  // [rows, dimensions]
  std::vector<double> explained;   // [dimensions], shares of the whole variance
};
// `stop`, which may be null, is looked at again and again.
absl::StatusOr<PrincipalComponents> Pca(ConstMatrixRef x, int dimensions,
                                        const StopSignal* stop = nullptr);

// At most the floating-point operations that it takes; data whose variances differ take fewer.
double PcaFlops(int64_t rows, int64_t width, int dimensions);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_PCA_H_
