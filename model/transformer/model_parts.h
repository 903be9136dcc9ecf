// The pieces of a model that analyses read: what a half of a layer makes of the blended values, and
// what the head makes of the stream.
#ifndef HEED_MODEL_TRANSFORMER_MODEL_PARTS_H_
#define HEED_MODEL_TRANSFORMER_MODEL_PARTS_H_

#include <vector>

#include "model/base/aligned_buffer.h"
#include "model/base/layer_kinds.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"

namespace heed {

// All are borrowed from the model. A norm without weights is absent: what it is given stays.
struct NormPart {
  NormKind kind = NormKind::kRmsNorm;
  NormParameters parameters;

  bool present() const { return !parameters.weight.empty(); }
};

// The stream becomes after(x + inside(out(...))).
struct HalfParts {
  const Linear* out = nullptr;  // null: what it is given is the result
  NormPart inside, after;
};

struct LayerParts {
  AttentionShape shape;
  HalfParts attention, mlp;
};

// Logits are cap(unembedding(act_norm(projection(norm(x))))).
struct HeadParts {
  NormPart norm;                       // the final norm
  const Linear* projection = nullptr;  // null: none
  Activation activation = Activation::kGeluErf;
  NormPart activated_norm;              // present: the activation and this norm follow
  const Linear* unembedding = nullptr;  // null: the model has no head
  float soft_cap = 0;                   // 0: none
  bool one_row_at_a_time = false;       // as the model does it, so that rows have its bits

  // Whether logits are a linear map of the stream, once the final norm's scale is known.
  bool is_linear() const { return unembedding != nullptr && !activated_norm.present(); }
};

struct ModelParts {
  const Backend* backend = nullptr;  // of attention and norms
  std::vector<LayerParts> layers;    // empty: the model does not show its parts
  HeadParts head;
};

// The logits [rows, vocab_size] of rows of the final stream, Site::kResidual after the last layer,
// with the bits that the forward pass gives them. Overwrites x. The model must have a head.
void Unembed(const ModelParts& parts, MatrixRef x, MatrixRef logits, AlignedBuffer& scratch);

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_MODEL_PARTS_H_
