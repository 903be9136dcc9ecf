#include "model/kernels/logit_rows_impl.h"

namespace heed {

const LogitRows& PortableLogitRows() {
  return kLogitRows;
}

}  // namespace heed
