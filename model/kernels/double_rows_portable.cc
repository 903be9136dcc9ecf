#include "model/kernels/double_rows_impl.h"

namespace heed {

const DoubleRows& PortableDoubleRows() {
  return kDoubleRows;
}

}  // namespace heed
