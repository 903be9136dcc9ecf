#include "model/kernels/vector_avx512.h"

#include "model/kernels/isa_kernels_impl.h"

namespace heed {

const IsaKernels& Avx512Kernels() {
  return kKernels;
}

}  // namespace heed
