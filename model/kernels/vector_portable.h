// F32x16 without instruction-set extensions: sixteen lanes that the compiler maps to what the
// baseline has.
#ifndef HEED_MODEL_KERNELS_VECTOR_PORTABLE_H_
#define HEED_MODEL_KERNELS_VECTOR_PORTABLE_H_

#include <stdint.h>
#include <string.h>

namespace heed {
namespace {

// F32x16s whose sums stay in registers.
constexpr int kSumVectors = 1;

struct F32x16 {
  float lane[16];

  static F32x16 Load(const float* p) {
    F32x16 v;
    memcpy(v.lane, p, sizeof(v.lane));
    return v;
  }
  // Lanes [0, n) from memory, the rest 0; n in 0..16.
  static F32x16 LoadPartial(const float* p, int64_t n) {
    F32x16 v = Broadcast(0);
    for (int64_t i = 0; i < n; ++i) v.lane[i] = p[i];
    return v;
  }
  static F32x16 Broadcast(float x) {
    F32x16 v;
    for (float& lane : v.lane) lane = x;
    return v;
  }
  void Store(float* p) const { memcpy(p, lane, sizeof(lane)); }
  void StorePartial(float* p, int64_t n) const {
    for (int64_t i = 0; i < n; ++i) p[i] = lane[i];
  }
};

#define HEED_LANEWISE(result, expr) \
  F32x16 result;                    \
  for (int i = 0; i < 16; ++i) result.lane[i] = (expr)

inline F32x16 operator+(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] + b.lane[i]);
  return v;
}
inline F32x16 operator-(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] - b.lane[i]);
  return v;
}
inline F32x16 operator*(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] * b.lane[i]);
  return v;
}
inline F32x16 operator/(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] / b.lane[i]);
  return v;
}
// a * b + c.
inline F32x16 MulAdd(const F32x16& a, const F32x16& b, const F32x16& c) {
  HEED_LANEWISE(v, a.lane[i] * b.lane[i] + c.lane[i]);
  return v;
}
inline F32x16 Max(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
  return v;
}
inline F32x16 Min(const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
  return v;
}
inline F32x16 Abs(const F32x16& a) {
  HEED_LANEWISE(v, a.lane[i] < 0 ? -a.lane[i] : a.lane[i]);
  return v;
}
// Magnitude of a, sign of s.
inline F32x16 CopySign(const F32x16& a, const F32x16& s) {
  HEED_LANEWISE(v, __builtin_copysignf(a.lane[i], s.lane[i]));
  return v;
}
// Lanes of a where x is negative, of b elsewhere.
inline F32x16 IfNegative(const F32x16& x, const F32x16& a, const F32x16& b) {
  HEED_LANEWISE(v, x.lane[i] < 0 ? a.lane[i] : b.lane[i]);
  return v;
}
// Nearest integer; |a| < 2^22.
inline F32x16 Round(const F32x16& a) {
  HEED_LANEWISE(
      v, static_cast<float>(static_cast<int32_t>(a.lane[i] + (a.lane[i] < 0 ? -0.5f : 0.5f))));
  return v;
}
// 2^n for integral n in -126..127.
inline F32x16 Pow2(const F32x16& n) {
  F32x16 v;
  for (int i = 0; i < 16; ++i) {
    const int32_t bits = (static_cast<int32_t>(n.lane[i]) + 127) << 23;
    memcpy(&v.lane[i], &bits, sizeof(bits));
  }
  return v;
}
// Lanes [0, n) of a, the rest `fill`.
inline F32x16 KeepFirst(const F32x16& a, int64_t n, float fill) {
  HEED_LANEWISE(v, i < n ? a.lane[i] : fill);
  return v;
}
// Lanes [n, 16) of a, the rest `fill`.
inline F32x16 KeepFrom(const F32x16& a, int64_t n, float fill) {
  HEED_LANEWISE(v, i < n ? fill : a.lane[i]);
  return v;
}
// IEEE 754 binary16, by shifting the fields to where they are in binary32 and mending the exponent
// with a product; infinities and NaNs keep the largest exponent.
inline float FromHalf(uint16_t half) {
  const uint32_t fields = (uint32_t)(half & 0x7fff) << 13;
  float magnitude;
  memcpy(&magnitude, &fields, sizeof(magnitude));
  magnitude *= 0x1p112f;
  uint32_t bits;
  memcpy(&bits, &magnitude, sizeof(bits));
  if ((half & 0x7c00) == 0x7c00) bits = fields | 0x7f800000u;
  bits |= (uint32_t)(half & 0x8000) << 16;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
// Below the smallest normal half, the sum with 1/2 has the half's last bit as its own last bit.
inline uint16_t ToHalf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00;
  if (bits >= 0x477ff000u) return sign | 0x7c00;  // 65520
  if (bits < 0x38800000u) {                       // 2^-14
    float sum;
    memcpy(&sum, &bits, sizeof(sum));
    sum += 0.5f;
    memcpy(&bits, &sum, sizeof(bits));
    return sign | (uint16_t)(bits - 0x3f000000u);
  }
  bits += 0xfff + (bits >> 13 & 1);  // a carry may move on into the exponent, as it should
  return sign | (uint16_t)((bits - (112u << 23)) >> 13);
}
// 16 numbers of fewer bits, exactly.
inline F32x16 LoadHalf(const void* p) {
  uint16_t halves[16];
  memcpy(halves, p, sizeof(halves));
  HEED_LANEWISE(v, FromHalf(halves[i]));
  return v;
}
inline F32x16 LoadInt8(const void* p) {
  int8_t bytes[16];
  memcpy(bytes, p, sizeof(bytes));
  HEED_LANEWISE(v, static_cast<float>(bytes[i]));
  return v;
}
// To the nearest, ties to even; |a| <= 127 for the integers, whose nearest is what remains of a
// sum with 1.5 * 2^23.
inline void StoreHalf(const F32x16& a, void* p) {
  uint16_t halves[16];
  for (int i = 0; i < 16; ++i) halves[i] = ToHalf(a.lane[i]);
  memcpy(p, halves, sizeof(halves));
}
inline void StoreInt8(const F32x16& a, void* p) {
  int8_t bytes[16];
  for (int i = 0; i < 16; ++i) {
    const float sum = a.lane[i] + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &sum, sizeof(bits));
    bytes[i] = static_cast<int8_t>(bits - 0x4b400000);
  }
  memcpy(p, bytes, sizeof(bytes));
}

inline float ReduceMax(const F32x16& a) {
  float max = a.lane[0];
  for (int i = 1; i < 16; ++i) max = a.lane[i] > max ? a.lane[i] : max;
  return max;
}

// The largest lane of each of at most 16 rows, in lanes that follow each other; what is in those
// behind them has no meaning.
template <int kRows>
inline F32x16 ReduceMaxOfEach(const F32x16 (&rows)[kRows]) {
  float largest[16] = {};
  for (int r = 0; r < kRows; ++r) largest[r] = ReduceMax(rows[r]);
  return F32x16::Load(largest);
}

// As a fixed tree: the lanes of each half added to those of the other.
inline float ReduceAdd(F32x16 a) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) a.lane[i] += a.lane[i + width];
  }
  return a.lane[0];
}

// Matrix [16, 16] with `stride` between rows, to its transpose without gaps.
inline void Transpose16(const float* from, int64_t stride, float* to) {
  for (int i = 0; i < 16; ++i) {
    for (int r = 0; r < 16; ++r) to[i * 16 + r] = from[r * stride + i];
  }
}

#undef HEED_LANEWISE

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_VECTOR_PORTABLE_H_
