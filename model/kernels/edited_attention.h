// Attention rows that somebody edits: the same arithmetic, which stops at the scores and at the
// weights for the editor to change them. Slower than the fast path, which takes many rows at once
// and knows no edit but a factor of a row's scores, so only rows that are edited otherwise come
// this way.
#ifndef HEED_MODEL_KERNELS_EDITED_ATTENTION_H_
#define HEED_MODEL_KERNELS_EDITED_ATTENTION_H_

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "model/kernels/backend.h"
#include "model/kernels/row_kernels.h"

namespace heed {

// Whether the slice's editor changes the row of `head` at position `query`.
bool IsEdited(const AttentionSlice& slice, int head, int64_t query);

// What the fast path multiplies the row's scores by: 1 for a row that is not edited. Nothing where
// the row has to come this way. Soft caps and slopes come before an editor's factor, and the fast
// path multiplies before them.
std::optional<float> FactorOf(const AttentionShape& shape, const AttentionSlice& slice, int head,
                              int64_t query);

// The keys [begin, end) that a row sees, and how many weights a sink gets: those up to the row's
// own key, or all of them where the shape or the mask is not causal.
struct RowKeys {
  int64_t begin, end;
  int64_t reported;
};

// Of the row at `position` of a sequence of `keys` positions, under `mask`. A window reaches as far
// to the side that another mask opens.
inline RowKeys KeysOfRow(const AttentionShape& shape, AttentionMask mask, int64_t position,
                         int64_t keys) {
  const bool causal = mask == AttentionMask::kOwn ? shape.causal : mask == AttentionMask::kCausal;
  const int64_t reach = shape.window == 0 ? keys : shape.window - 1;
  const int64_t end = causal ? position + 1 : std::min(keys, position + reach + 1);
  return {std::max<int64_t>(0, position - reach), end,
          shape.causal && causal ? position + 1 : keys};
}

// What ALiBi takes from the score of a key `distance` positions before the query. A later key,
// which only an edited mask shows, is as far away as an earlier one.
inline double SlopeOver(double slope, int64_t distance) {
  return slope * static_cast<double>(distance < 0 ? -distance : distance);
}

// Computes the edited rows of all slices that have no factor: their outputs, and the watched ones'
// weights for their sinks.
void AttendEdited(const RowKernels& kernels, const AttentionShape& shape,
                  absl::Span<const AttentionSlice> slices);

}  // namespace heed

#endif  // HEED_MODEL_KERNELS_EDITED_ATTENTION_H_
