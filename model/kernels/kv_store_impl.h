// How keys and values come into their pages, written once over F32x16. Part of
// attention_tile_impl.h.
#ifndef HEED_MODEL_KERNELS_KV_STORE_IMPL_H_
#define HEED_MODEL_KERNELS_KV_STORE_IMPL_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/attention_tile.h"

namespace heed {
namespace {

// The scale of one head, KvScale of kv_rounding.h. What is not finite ends up in `poison`.
inline float ScaleOf(const float* head, int64_t n) {
  F32x16 largest = F32x16::Broadcast(0.0f), poison = largest;
  for (int64_t i = 0; i < n; i += kLanes) {
    const F32x16 some = F32x16::LoadPartial(head + i, n - i < kLanes ? n - i : kLanes);
    largest = Max(largest, Abs(some));
    poison = poison + (some - some);
  }
  const float most = ReduceMax(largest), scale = most / 127;
  if (ReduceAdd(poison) != 0) return NAN;
  if (most < 0x1p-100f) return 0;
  uint32_t bits;
  memcpy(&bits, &scale, sizeof(bits));
  bits = (bits + 0x80u) & ~0xffu;
  float rounded;
  memcpy(&rounded, &bits, sizeof(rounded));
  return rounded;
}

// Puts one head of one token into a page, numbers at to + i * stride.
template <KvType kType>
void StoreHead(const float* head, int64_t n, float scale, int64_t stride, char* to) {
  const F32x16 inverse = F32x16::Broadcast(scale > 0 ? 1 / scale : 0.0f);
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    const F32x16 some = F32x16::LoadPartial(head + i, k);
    if constexpr (kType == KvType::kF16) {
      uint16_t halves[kLanes];
      StoreHalf(some, halves);
      uint16_t* const out = reinterpret_cast<uint16_t*>(to) + i * stride;
      for (int64_t l = 0; l < k; ++l) out[l * stride] = halves[l];
    } else {
      int8_t bytes[kLanes];
      StoreInt8(some * inverse, bytes);
      int8_t* const out = reinterpret_cast<int8_t*>(to) + i * stride;
      for (int64_t l = 0; l < k; ++l) out[l * stride] = bytes[l];
    }
  }
}

// The same in f32, of all rows of one head at once, because that is what most pages get.
void StoreHeadF32(const KvStoreArgs& args, const KvHeadPlace& place, int64_t kv_head) {
  const int64_t n = args.head_dim;
  float* const keys = reinterpret_cast<float*>(args.page + place.keys) + args.token;
  const float* const from = args.keys + kv_head * n;
  int64_t i = 0;
  if (args.rows == kLanes) {
    for (; i + kLanes <= n; i += kLanes) Transpose16(from + i, args.key_stride, keys + i * kLanes);
  }
  for (; i < n; ++i) {
    for (int64_t r = 0; r < args.rows; ++r) {
      keys[i * kLanes + r] = from[r * args.key_stride + i];
    }
  }
  float* const values = reinterpret_cast<float*>(args.page + place.values) + args.token * n;
  for (int64_t r = 0; r < args.rows; ++r) {
    memcpy(values + r * n, args.values + r * args.value_stride + kv_head * n, n * sizeof(float));
  }
}

template <KvType kType>
void StoreHeadRounded(const KvStoreArgs& args, const KvHeadPlace& place, int64_t kv_head) {
  const int64_t n = args.head_dim, bytes = KvNumberBytes(kType);
  for (int64_t r = 0; r < args.rows; ++r) {
    const int64_t token = args.token + r;
    const float* const key = args.keys + r * args.key_stride + kv_head * n;
    const float* const value = args.values + r * args.value_stride + kv_head * n;
    float key_scale = 1, value_scale = 1;
    if (kType == KvType::kInt8) {
      key_scale = ScaleOf(key, n);
      value_scale = ScaleOf(value, n);
      reinterpret_cast<float*>(args.page + place.key_scales)[token] = key_scale;
      reinterpret_cast<float*>(args.page + place.value_scales)[token] = value_scale;
    }
    StoreHead<kType>(key, n, key_scale, kLanes, args.page + place.keys + token * bytes);
    StoreHead<kType>(value, n, value_scale, 1, args.page + place.values + token * n * bytes);
  }
}

void StoreKernel(const KvStoreArgs& args) {
  for (int64_t h = 0; h < args.n_kv_heads; ++h) {
    const KvHeadPlace place = PlaceOfKvHead(args.kv_type, args.n_kv_heads, args.head_dim, h);
    switch (args.kv_type) {
      case KvType::kF32:
        StoreHeadF32(args, place, h);
        break;
      case KvType::kF16:
        StoreHeadRounded<KvType::kF16>(args, place, h);
        break;
      case KvType::kInt8:
        StoreHeadRounded<KvType::kInt8>(args, place, h);
        break;
    }
  }
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_KV_STORE_IMPL_H_
