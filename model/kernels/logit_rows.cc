#include "model/kernels/logit_rows.h"

#include "model/base/cpu.h"

namespace heed {

const LogitRows& LogitRowsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512LogitRows();
  if (isa == Isa::kAvx2) return Avx2LogitRows();
#endif
  return PortableLogitRows();
}

const LogitRows& BestLogitRows() {
  static const LogitRows& rows = LogitRowsFor(DetectCpu().isa);
  return rows;
}

}  // namespace heed
