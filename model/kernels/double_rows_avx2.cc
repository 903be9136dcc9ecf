#include "model/kernels/double_rows_impl.h"

namespace heed {

const DoubleRows& Avx2DoubleRows() {
  return kDoubleRows;
}

}  // namespace heed
