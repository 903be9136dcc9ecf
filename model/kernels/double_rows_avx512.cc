#include "model/kernels/double_rows_impl.h"

namespace heed {

const DoubleRows& Avx512DoubleRows() {
  return kDoubleRows;
}

}  // namespace heed
