// The steps of attention over one row, for rows that are stopped at between them: a table for each
// instruction set, as in isa_kernels.h.
#ifndef HEED_MODEL_KERNELS_ROW_KERNELS_H_
#define HEED_MODEL_KERNELS_ROW_KERNELS_H_

#include <stdint.h>

#include "model/kernels/kv_page.h"

namespace heed {

// Keys and values of one head.
struct RowPages {
  const char* const* pages;  // the layer's part of each
  KvType kv_type;
  KvHeadPlace place;
  int64_t head_dim;
  float* room;  // RowRoomFloats(head_dim)
};

// Where numbers of fewer bits are read to: keys of four pages.
static inline int64_t RowRoomFloats(int64_t head_dim) {
  return 4 * kPageTokens * head_dim;
}

struct RowKernels {
  // scores[j] = scale * q.k_j for the keys of the pages [page, page_end), query [head_dim].
  void (*score)(const RowPages& head, const float* query, float scale, int64_t page,
                int64_t page_end, float* scores);
  // x[i] = e^(x[i] - max), 0 below e^-87; n elements, none above max, which is finite. Returns
  // their sum.
  float (*exponentials)(float* x, int64_t n, float max);
  // output [head_dim] = the sum of weights[j] * v_j over the keys [begin, end), in ascending order.
  // Keys of weight 0 add nothing, whatever their values.
  void (*mix)(const RowPages& head, const float* weights, int64_t begin, int64_t end,
              float* output);
};

const RowKernels& PortableRowKernels();
#if defined(__x86_64__)
const RowKernels& Avx2RowKernels();
const RowKernels& Avx512RowKernels();
#endif

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ROW_KERNELS_H_
