#include "model/kernels/vector_portable.h"

#include "model/kernels/isa_kernels_impl.h"

#include "model/kernels/attention_tile_impl.h"
#include "model/kernels/row_kernels_impl.h"
#include "model/kernels/top_k_impl.h"

namespace heed {

const IsaKernels& PortableKernels() {
  return kKernels;
}

const AttentionKernels& PortableAttention() {
  return kAttentionKernels;
}

const RowKernels& PortableRowKernels() {
  return kRowKernels;
}

const TopKKernels& PortableTopK() {
  return kTopK;
}

}  // namespace heed
