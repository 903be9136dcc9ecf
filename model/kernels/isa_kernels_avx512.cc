#include "model/kernels/vector_avx512.h"

#include "model/kernels/isa_kernels_impl.h"

#include "model/kernels/attention_tile_impl.h"
#include "model/kernels/row_kernels_impl.h"
#include "model/kernels/top_k_impl.h"

namespace heed {

const IsaKernels& Avx512Kernels() {
  return kKernels;
}

const AttentionKernels& Avx512Attention() {
  return kAttentionKernels;
}

const RowKernels& Avx512RowKernels() {
  return kRowKernels;
}

const TopKKernels& Avx512TopK() {
  return kTopK;
}

}  // namespace heed
