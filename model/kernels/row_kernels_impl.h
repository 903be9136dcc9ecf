// The row kernels, written once over F32x16. Included by the file of each instruction set, after
// attention_tile_impl.h.
#ifndef HEED_MODEL_KERNELS_ROW_KERNELS_IMPL_H_
#define HEED_MODEL_KERNELS_ROW_KERNELS_IMPL_H_

#include <stdint.h>

#include "model/kernels/row_kernels.h"

namespace heed {
namespace {

inline const float* ScalesAt(const char* page, int64_t offset) {
  return reinterpret_cast<const float*>(page + offset);
}

// kPages pages from `page` on: as many sums that do not wait for one another.
template <int kPages>
void ScoreRowPages(const RowPages& head, const float* query, float scale, int64_t page,
                   float* scores) {
  F32x16 sum[kPages];
  const float* keys[kPages];
  const int64_t numbers = head.head_dim * kLanes;
  for (int p = 0; p < kPages; ++p) {
    sum[p] = F32x16::Broadcast(0.0f);
    keys[p] = ReadNumbers(head.kv_type, head.pages[page + p] + head.place.keys, numbers,
                          head.room + p * numbers);
  }
  for (int64_t d = 0; d < head.head_dim; ++d) {
    const F32x16 q = F32x16::Broadcast(query[d]);
    for (int p = 0; p < kPages; ++p) {
      sum[p] = MulAdd(q, F32x16::Load(keys[p] + d * kLanes), sum[p]);
    }
  }
  for (int p = 0; p < kPages; ++p) {
    F32x16 score = sum[p] * F32x16::Broadcast(scale);
    if (head.kv_type == KvType::kInt8) {
      score = score * F32x16::Load(ScalesAt(head.pages[page + p], head.place.key_scales));
    }
    score.Store(scores + (page + p) * kLanes);
  }
}

void ScoreRowKernel(const RowPages& head, const float* query, float scale, int64_t page,
                    int64_t page_end, float* scores) {
  for (; page + 4 <= page_end; page += 4) ScoreRowPages<4>(head, query, scale, page, scores);
  for (; page < page_end; ++page) ScoreRowPages<1>(head, query, scale, page, scores);
}

float ExponentialsKernel(float* x, int64_t n, float max) {
  const F32x16 zero = F32x16::Broadcast(0.0f);
  F32x16 sum = zero;
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t k = n - i < kLanes ? n - i : kLanes;
    const F32x16 below = F32x16::LoadPartial(x + i, k) - F32x16::Broadcast(max);
    const F32x16 e = IfNegative(below + F32x16::Broadcast(87.0f), zero, Exp(below));
    e.StorePartial(x + i, k);
    sum = sum + KeepFirst(e, k, 0.0f);
  }
  return ReduceAdd(sum);
}

// Columns [d, d + 16 kBlocks), or of the one block only the first `lanes`.
template <int kBlocks, bool kPartial>
void MixRowBlocks(const RowPages& head, const float* weights, int64_t begin, int64_t end, int64_t d,
                  int64_t lanes, float* output) {
  F32x16 sum[kBlocks];
  for (int b = 0; b < kBlocks; ++b) sum[b] = F32x16::Broadcast(0.0f);
  for (int64_t j = begin; j < end;) {
    const char* const page = head.pages[j / kLanes];
    const float* const values =
        ReadNumbers(head.kv_type, page + head.place.values, head.head_dim * kLanes, head.room);
    const int64_t page_end = (j / kLanes + 1) * kLanes;
    for (const int64_t stop = page_end < end ? page_end : end; j < stop; ++j) {
      float weight = weights[j];
      if (weight == 0) continue;
      if (head.kv_type == KvType::kInt8) {
        weight *= ScalesAt(page, head.place.value_scales)[j % kLanes];
      }
      const float* const value = values + j % kLanes * head.head_dim + d;
      const F32x16 w = F32x16::Broadcast(weight);
      for (int b = 0; b < kBlocks; ++b) {
        const float* const from = value + b * kLanes;
        sum[b] =
            MulAdd(w, kPartial ? F32x16::LoadPartial(from, lanes) : F32x16::Load(from), sum[b]);
      }
    }
  }
  for (int b = 0; b < kBlocks; ++b) {
    float* const to = output + d + b * kLanes;
    if (kPartial) {
      sum[b].StorePartial(to, lanes);
    } else {
      sum[b].Store(to);
    }
  }
}

void MixRowKernel(const RowPages& head, const float* weights, int64_t begin, int64_t end,
                  float* output) {
  const int64_t n = head.head_dim;
  int64_t d = 0;
  for (; d + 4 * kLanes <= n; d += 4 * kLanes) {
    MixRowBlocks<4, false>(head, weights, begin, end, d, 0, output);
  }
  for (; d + 2 * kLanes <= n; d += 2 * kLanes) {
    MixRowBlocks<2, false>(head, weights, begin, end, d, 0, output);
  }
  for (; d + kLanes <= n; d += kLanes) {
    MixRowBlocks<1, false>(head, weights, begin, end, d, 0, output);
  }
  if (d < n) MixRowBlocks<1, true>(head, weights, begin, end, d, n - d, output);
}

constexpr RowKernels kRowKernels = {ScoreRowKernel, ExponentialsKernel, MixRowKernel};

}  // namespace
}  // namespace heed

#endif  // HEED_MODEL_KERNELS_ROW_KERNELS_IMPL_H_
