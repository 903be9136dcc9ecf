#include "model/kernels/double_rows.h"

#include "model/base/cpu.h"

namespace heed {

const DoubleRows& DoubleRowsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512DoubleRows();
  if (isa == Isa::kAvx2) return Avx2DoubleRows();
#endif
  return PortableDoubleRows();
}

const DoubleRows& BestDoubleRows() {
  static const DoubleRows& rows = DoubleRowsFor(DetectCpu().isa);
  return rows;
}

}  // namespace heed
