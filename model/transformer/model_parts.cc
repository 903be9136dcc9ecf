#include "model/transformer/model_parts.h"

#include <cstdint>

namespace heed {

void Unembed(const ModelParts& parts, MatrixRef x, MatrixRef logits, AlignedBuffer& scratch) {
  const HeadParts& head = parts.head;
  const Backend& backend = *parts.backend;
  if (head.norm.present()) backend.Normalize(head.norm.kind, head.norm.parameters, x, x);
  MatrixRef h = x;
  if (head.projection != nullptr) {
    scratch.Grow(x.rows * head.projection->out_features());
    h = {scratch.data(), x.rows, head.projection->out_features()};
    head.projection->Apply(x, h);
  }
  if (head.activated_norm.present()) {
    backend.Activate(head.activation, h);
    backend.Normalize(head.activated_norm.kind, head.activated_norm.parameters, h, h);
  }
  const int64_t step = head.one_row_at_a_time ? 1 : h.rows;
  for (int64_t row = 0; row < h.rows; row += step) {
    head.unembedding->Apply(h.Rows(row, step), logits.Rows(row, step));
  }
  if (head.soft_cap != 0) backend.SoftCap(head.soft_cap, logits);
}

}  // namespace heed
