#include "model/kernels/logit_rows_impl.h"

namespace heed {

const LogitRows& Avx512LogitRows() {
  return kLogitRows;
}

}  // namespace heed
