// The vector kernels, written once over F32x16. Included by the file of each instruction set, after
// its vector header.
//
// Every sum runs in an order that depends only on positions, so a row's bits do not depend on which
// rows share its tile.
#ifndef HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
#define HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/kernels/isa_kernels.h"

namespace heed {
namespace {

constexpr int64_t kLanes = 16;  // of F32x16

// e^x within 2 units in the last place for x in [-87.3, 88]; below that, e^-87.3, the smallest
// normal number. Of a NaN, NaN: which Max returns where it comes second.
inline F32x16 Exp(F32x16 x) {
  const F32x16 lowest = F32x16::Broadcast(-87.33654f);
  const F32x16 clamped = Max(lowest, x);
  const F32x16 n = Round(clamped * F32x16::Broadcast(1.44269504f));
  // r = x - n ln 2, with ln 2 in two parts; |r| <= 0.347.
  F32x16 r = MulAdd(n, F32x16::Broadcast(-0.693145752f), clamped);
  r = MulAdd(n, F32x16::Broadcast(-1.42860677e-6f), r);
  // Taylor to the seventh power: the remainder is below 2e-8 of the sum.
  F32x16 p = F32x16::Broadcast(1.0f / 5040);
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 720));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 120));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 24));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f / 6));
  p = MulAdd(p, r, F32x16::Broadcast(0.5f));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f));
  p = MulAdd(p, r, F32x16::Broadcast(1.0f));
  return p * Pow2(n);
}

inline float Exp(float x) {
  float lanes[kLanes];
  Exp(F32x16::Broadcast(x)).Store(lanes);
  return lanes[0];
}

// Accurate in relative terms on both sides: e^-|x| never overflows.
inline F32x16 Sigmoid(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 e = Exp(F32x16::Broadcast(0.0f) - Abs(x));
  return IfNegative(x, e, one) / (one + e);
}

// tanh within 2e-7 of its value: below 0.625 four levels of its continued fraction (Abramowitz and
// Stegun, 4.5.70), which subtract nothing; above, through e^-2|x|.
inline F32x16 Tanh(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 a = Abs(x);
  const F32x16 s = x * x;
  const F32x16 above = MulAdd(s + F32x16::Broadcast(105.0f), s, F32x16::Broadcast(945.0f));
  const F32x16 below = MulAdd(MulAdd(F32x16::Broadcast(15.0f), s, F32x16::Broadcast(420.0f)), s,
                              F32x16::Broadcast(945.0f));
  const F32x16 e = Exp(F32x16::Broadcast(-2.0f) * a);
  const F32x16 far = CopySign((one - e) / (one + e), x);
  return IfNegative(a - F32x16::Broadcast(0.625f), x * above / below, far);
}

inline F32x16 Capped(F32x16 x, float cap) {
  return F32x16::Broadcast(cap) * Tanh(x * F32x16::Broadcast(1.0f / cap));
}

// erf within 2e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
inline F32x16 Erf(F32x16 x) {
  const F32x16 one = F32x16::Broadcast(1.0f);
  const F32x16 a = Abs(x);
  const F32x16 t = one / MulAdd(F32x16::Broadcast(0.3275911f), a, one);
  F32x16 p = F32x16::Broadcast(1.061405429f);
  p = MulAdd(p, t, F32x16::Broadcast(-1.453152027f));
  p = MulAdd(p, t, F32x16::Broadcast(1.421413741f));
  p = MulAdd(p, t, F32x16::Broadcast(-0.284496736f));
  p = MulAdd(p, t, F32x16::Broadcast(0.254829592f));
  const F32x16 tail = p * t * Exp(F32x16::Broadcast(0.0f) - a * a);
  return CopySign(one - tail, x);
}

template <ActivationCode kCode>
inline F32x16 Act(F32x16 x) {
  if constexpr (kCode == ActivationCode::kGeluTanh) {
    // 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
    const F32x16 cubic = MulAdd(F32x16::Broadcast(0.044715f) * x * x, x, x);
    return x * Sigmoid(F32x16::Broadcast(1.5957691216f) * cubic);
  } else if constexpr (kCode == ActivationCode::kGeluErf) {
    const F32x16 half = F32x16::Broadcast(0.5f);
    return x * MulAdd(half, Erf(x * F32x16::Broadcast(0.7071067812f)), half);
  } else if constexpr (kCode == ActivationCode::kSilu) {
    return x * Sigmoid(x);
  } else {
    return Max(F32x16::Broadcast(0.0f), x);  // NaN stays NaN
  }
}

// How far ahead of the arithmetic what it reads is asked for, in floats: a page, which is where the
// machine by itself stops.
constexpr int64_t kActivateAhead = 1024;

template <ActivationCode kCode>
void ActivateAs(const float* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __builtin_prefetch(x + i + kActivateAhead);
    Act<kCode>(F32x16::Load(x + i)).Store(y + i);
  }
  if (i < n) Act<kCode>(F32x16::LoadPartial(x + i, n - i)).StorePartial(y + i, n - i);
}

template <ActivationCode kCode>
void ActivateGatedAs(const float* gate, const float* up, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __builtin_prefetch(gate + i + kActivateAhead);
    __builtin_prefetch(up + i + kActivateAhead);
    (Act<kCode>(F32x16::Load(gate + i)) * F32x16::Load(up + i)).Store(y + i);
  }
  if (i < n) {
    const F32x16 g = Act<kCode>(F32x16::LoadPartial(gate + i, n - i));
    (g * F32x16::LoadPartial(up + i, n - i)).StorePartial(y + i, n - i);
  }
}

void ActivateKernel(ActivationCode code, const float* x, float* y, int64_t n) {
  switch (code) {
    case ActivationCode::kGeluTanh:
      return ActivateAs<ActivationCode::kGeluTanh>(x, y, n);
    case ActivationCode::kGeluErf:
      return ActivateAs<ActivationCode::kGeluErf>(x, y, n);
    case ActivationCode::kSilu:
      return ActivateAs<ActivationCode::kSilu>(x, y, n);
    case ActivationCode::kRelu:
      return ActivateAs<ActivationCode::kRelu>(x, y, n);
  }
}

void ActivateGatedKernel(ActivationCode code, const float* gate, const float* up, float* y,
                         int64_t n) {
  switch (code) {
    case ActivationCode::kGeluTanh:
      return ActivateGatedAs<ActivationCode::kGeluTanh>(gate, up, y, n);
    case ActivationCode::kGeluErf:
      return ActivateGatedAs<ActivationCode::kGeluErf>(gate, up, y, n);
    case ActivationCode::kSilu:
      return ActivateGatedAs<ActivationCode::kSilu>(gate, up, y, n);
    case ActivationCode::kRelu:
      return ActivateGatedAs<ActivationCode::kRelu>(gate, up, y, n);
  }
}

void SoftCapKernel(float cap, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    Capped(F32x16::LoadPartial(x + i, k), cap).StorePartial(x + i, k);
  }
}

// Sum over i of (x[i] - shift)^2, or of x[i] - shift.
template <bool kSquare>
float ShiftedSum(const float* x, float shift, int64_t n) {
  const F32x16 s = F32x16::Broadcast(shift);
  F32x16 sum = F32x16::Broadcast(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32x16 d = F32x16::Load(x + i) - s;
    sum = kSquare ? MulAdd(d, d, sum) : sum + d;
  }
  if (i < n) {
    const F32x16 d = KeepFirst(F32x16::LoadPartial(x + i, n - i) - s, n - i, 0.0f);
    sum = kSquare ? MulAdd(d, d, sum) : sum + d;
  }
  return ReduceAdd(sum);
}

void LayerNormKernel(const float* x, const float* weight, const float* bias, double eps, float* y,
                     int64_t n) {
  const float mean = ShiftedSum<false>(x, 0.0f, n) / static_cast<float>(n);
  const double variance = ShiftedSum<true>(x, mean, n) / static_cast<double>(n);
  const F32x16 m = F32x16::Broadcast(mean);
  const F32x16 r = F32x16::Broadcast(static_cast<float>(1.0 / sqrt(variance + eps)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    const F32x16 b = bias != nullptr ? F32x16::LoadPartial(bias + i, k) : F32x16::Broadcast(0.0f);
    const F32x16 normal = (F32x16::LoadPartial(x + i, k) - m) * r;
    MulAdd(normal, F32x16::LoadPartial(weight + i, k), b).StorePartial(y + i, k);
  }
}

void RmsNormKernel(const float* x, const float* weight, double eps, float* y, int64_t n) {
  const double mean_square = ShiftedSum<true>(x, 0.0f, n) / static_cast<double>(n);
  const F32x16 r = F32x16::Broadcast(static_cast<float>(1.0 / sqrt(mean_square + eps)));
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    (F32x16::LoadPartial(weight + i, k) * (F32x16::LoadPartial(x + i, k) * r))
        .StorePartial(y + i, k);
  }
}

void RotateKernel(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t k = half - i < kLanes ? half - i : kLanes;
    const F32x16 a = F32x16::LoadPartial(x + i, k);
    const F32x16 b = F32x16::LoadPartial(x + half + i, k);
    const F32x16 c = F32x16::LoadPartial(cos + i, k);
    const F32x16 s = F32x16::LoadPartial(sin + i, k);
    (a * c - b * s).StorePartial(x + i, k);
    (b * c + a * s).StorePartial(x + half + i, k);
  }
}

constexpr IsaKernels kKernels = {LayerNormKernel,     RmsNormKernel, ActivateKernel,
                                 ActivateGatedKernel, SoftCapKernel, RotateKernel};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ISA_KERNELS_IMPL_H_
