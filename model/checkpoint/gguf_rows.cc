#include "model/checkpoint/gguf_rows.h"

namespace heed {

GgufRowRun FindRows(const GgufRowOrder& order, int64_t row_count, int64_t row) {
  if (order.outer <= 1 || order.inner <= 1) return {row, row_count - row};
  const int64_t group_rows = row_count / order.groups;
  const int64_t run = group_rows / order.outer / order.inner;
  const int64_t group = row / group_rows, within = row % run;
  const int64_t place = row % group_rows / run;  // [inner, outer]
  const int64_t inner = place / order.outer, outer = place % order.outer;
  return {group * group_rows + (outer * order.inner + inner) * run + within, run - within};
}

}  // namespace heed
