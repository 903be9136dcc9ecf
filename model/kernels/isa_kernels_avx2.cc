#include "model/kernels/vector_avx2.h"

#include "model/kernels/isa_kernels_impl.h"

#include "model/kernels/attention_tile_impl.h"
#include "model/kernels/row_kernels_impl.h"
#include "model/kernels/top_k_impl.h"

namespace heed {

const IsaKernels& Avx2Kernels() {
  return kKernels;
}

const AttentionKernels& Avx2Attention() {
  return kAttentionKernels;
}

const RowKernels& Avx2RowKernels() {
  return kRowKernels;
}

const TopKKernels& Avx2TopK() {
  return kTopK;
}

}  // namespace heed
