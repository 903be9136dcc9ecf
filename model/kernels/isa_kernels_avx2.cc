#include "model/kernels/vector_avx2.h"

#include "model/kernels/isa_kernels_impl.h"

namespace heed {

const IsaKernels& Avx2Kernels() {
  return kKernels;
}

}  // namespace heed
