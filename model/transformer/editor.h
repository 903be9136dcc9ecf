// Changing a forward pass: edits handed in with the call, absent by default, asked first what they
// touch.
#ifndef HEED_MODEL_TRANSFORMER_EDITOR_H_
#define HEED_MODEL_TRANSFORMER_EDITOR_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/transformer/site.h"

namespace heed {

// Changes one sequence's forward pass. Observers see what it has made. What it does not touch, or
// leaves as it was, keeps every bit; other sequences of the batch are not concerned.
class ForwardEditor {
 public:
  virtual ~ForwardEditor() = default;

  // Whether EditSite is to be called there. The answer for a site and layer is always the same.
  virtual bool EditsSite(Site /*site*/, int /*layer*/) const { return false; }

  // `rows` are those of the positions from `first_position` on, to be changed in place. Called on
  // the engine thread.
  virtual void EditSite(Site /*site*/, int /*layer*/, int64_t /*first_position*/,
                        MatrixRef /*rows*/) const {}

  // Asked before each layer, on the engine thread: which attention rows of the positions
  // [begin, end), which this pass computes, are edited: those of these heads and queries that
  // EditsRow does not take out. What the spans point to must stay valid until the layer is done.
  virtual AttentionRows EditedAttention(int /*layer*/, int64_t /*begin*/, int64_t /*end*/) {
    return {};
  }

  // The rest is called from several threads at once for different rows.
  virtual bool EditsRow(int /*layer*/, int /*head*/, int64_t /*query*/) const { return true; }

  // Which keys one edited row sees. Later positions are those of the same pass.
  virtual AttentionMask MaskOf(int /*layer*/, int /*head*/, int64_t /*query*/) const {
    return AttentionMask::kOwn;
  }

  // What multiplies one edited row's scores, as AttentionRowEditor's.
  virtual std::optional<float> ScoreFactor(int /*layer*/, int /*head*/, int64_t /*query*/) const {
    return std::nullopt;
  }

  // The scores of one edited row, as AttentionRowEditor's.
  virtual void EditScores(int /*layer*/, int /*head*/, int64_t /*query*/,
                          absl::Span<float> /*scores*/) const {}

  // The weights of the same row, after the softmax and before values are blended.
  virtual void EditWeights(int /*layer*/, int /*head*/, int64_t /*query*/,
                           absl::Span<float> /*weights*/) const {}
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_EDITOR_H_
