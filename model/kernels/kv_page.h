// How one layer's part of a page of keys and values lies in memory.
//
// Keys, [n_kv_heads, head_dim, kPageTokens], so that the scores of 16 keys fill one vector; then
// values, [n_kv_heads, kPageTokens, head_dim]; then, with 8 bits, the f32 scales of the keys and of
// the values, [n_kv_heads, kPageTokens] each.
//
// Included by the files of each instruction set, so C headers only (isa_kernels.h).
#ifndef HEED_MODEL_KERNELS_KV_PAGE_H_
#define HEED_MODEL_KERNELS_KV_PAGE_H_

#include <stdint.h>

#include "model/base/layer_kinds.h"

namespace heed {

// Tokens of one page: the lanes of one vector.
constexpr int64_t kPageTokens = 16;

static inline int64_t KvNumberBytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1;
}

// What one kv head has there, in bytes from the beginning of the layer's part.
struct KvHeadPlace {
  int64_t keys, values;
  int64_t key_scales, value_scales;  // kInt8 only
};

static inline KvHeadPlace PlaceOfKvHead(KvType type, int64_t n_kv_heads, int64_t head_dim,
                                        int64_t kv_head) {
  const int64_t head = head_dim * kPageTokens * KvNumberBytes(type);
  const int64_t scales = kPageTokens * 4;
  const int64_t first_scales = 2 * n_kv_heads * head;
  return {kv_head * head, (n_kv_heads + kv_head) * head, first_scales + kv_head * scales,
          first_scales + (n_kv_heads + kv_head) * scales};
}

// Bytes of the part; a multiple of 64.
static inline int64_t KvPartBytes(KvType type, int64_t n_kv_heads, int64_t head_dim) {
  const int64_t scale_bytes = type == KvType::kInt8 ? 4 : 0;
  const int64_t bytes =
      2 * n_kv_heads * kPageTokens * (head_dim * KvNumberBytes(type) + scale_bytes);
  return (bytes + 63) / 64 * 64;
}

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_KV_PAGE_H_
