#include "model/kernels/logit_rows_impl.h"

namespace heed {

const LogitRows& Avx2LogitRows() {
  return kLogitRows;
}

}  // namespace heed
