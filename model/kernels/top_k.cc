#include "model/kernels/top_k.h"

#include "model/base/cpu.h"

namespace heed {
namespace {

const TopKKernels& KernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return Avx512TopK();
  if (isa == Isa::kAvx2) return Avx2TopK();
#endif
  return PortableTopK();
}

}  // namespace

const TopKKernels& BestTopK() {
  static const TopKKernels& kernels = KernelsFor(DetectCpu().isa);
  return kernels;
}

}  // namespace heed
