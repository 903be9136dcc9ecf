// Principal components: vectors of many dimensions drawn in two or three.
#ifndef HEED_MODEL_INSPECT_PCA_H_
#define HEED_MODEL_INSPECT_PCA_H_

#include <vector>

#include "model/base/matrix.h"

namespace heed {

// The rows' coordinates along the `dimensions` directions of largest variance, centred; each
// direction's sign makes its largest element positive.
struct PrincipalComponents {
  std::vector<float> coordinates;  // [rows, dimensions]
  std::vector<double> explained;   // [dimensions], shares of the whole variance
};
PrincipalComponents Pca(ConstMatrixRef x, int dimensions);

}  // namespace heed

#endif  // HEED_MODEL_INSPECT_PCA_H_
