// F32x16 as vectors that the compiler has on every processor, in a form whose sums stay in
// registers; what products of matrices need of vector_portable.h.
#ifndef HEED_MODEL_KERNELS_VECTOR_COMPILER_H_
#define HEED_MODEL_KERNELS_VECTOR_COMPILER_H_

#include <stdint.h>
#include <string.h>

#include "model/kernels/half.h"

namespace heed {
namespace {

// F32x16s whose sums stay in registers.
constexpr int kSumVectors = 1;

// Where the compiler fuses a product and a sum, it does so in every tile.
typedef float F32x4 __attribute__((vector_size(16)));

struct F32x16 {
  F32x4 part[4];

  // Of n lanes; n may be outside 0..16.
  static int64_t BytesOf(int64_t n) {
    const int64_t lanes = n < 0 ? 0 : (n > 16 ? 16 : n);
    return lanes * static_cast<int64_t>(sizeof(float));
  }

  static F32x16 Load(const float* p) {
    F32x16 v;
    memcpy(v.part, p, sizeof v.part);
    return v;
  }
  static F32x16 Broadcast(float x) {
    F32x16 v;
    for (F32x4& part : v.part) part = F32x4{x, x, x, x};
    return v;
  }
  static F32x16 LoadPartial(const float* p, int64_t n) {
    F32x16 v = Broadcast(0);
    memcpy(v.part, p, BytesOf(n));
    return v;
  }
  void Store(float* p) const { memcpy(p, part, sizeof part); }
  void StorePartial(float* p, int64_t n) const { memcpy(p, part, BytesOf(n)); }
};

inline F32x16 operator+(const F32x16& a, const F32x16& b) {
  F32x16 v;
  for (int i = 0; i < 4; ++i) v.part[i] = a.part[i] + b.part[i];
  return v;
}
inline F32x16 operator*(const F32x16& a, const F32x16& b) {
  F32x16 v;
  for (int i = 0; i < 4; ++i) v.part[i] = a.part[i] * b.part[i];
  return v;
}
inline F32x16 MulAdd(const F32x16& a, const F32x16& b, const F32x16& c) {
  F32x16 v;
  for (int i = 0; i < 4; ++i) v.part[i] = a.part[i] * b.part[i] + c.part[i];
  return v;
}

// Of finite numbers: their exponent and fraction are a float's, but for a factor.
inline F32x16 LoadHalf(const uint16_t* p) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) {
    const uint32_t magnitude = static_cast<uint32_t>(p[i] & 0x7fff) << 13;
    const uint32_t sign = static_cast<uint32_t>(p[i] & 0x8000) << 16;
    const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
    lanes[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
  }
  return F32x16::Load(lanes);
}

inline void StoreHalf(const F32x16& v, uint16_t* p) {
  float lanes[16];
  v.Store(lanes);
  for (int i = 0; i < 16; ++i) p[i] = FloatToHalf(lanes[i]);
}

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_VECTOR_COMPILER_H_
