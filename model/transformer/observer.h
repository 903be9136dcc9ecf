// Watching a forward pass: data handed in with the call, absent by default, asked first what it
// wants.
#ifndef HEED_MODEL_TRANSFORMER_OBSERVER_H_
#define HEED_MODEL_TRANSFORMER_OBSERVER_H_

#include <cstdint>

#include "absl/types/span.h"
#include "model/base/matrix.h"
#include "model/kernels/backend.h"
#include "model/transformer/site.h"

namespace heed {

// Sees one sequence's forward pass. Unwatched heads and rows take the path they would take without
// an observer, and watching never changes a result.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;

  // Before this position it wants nothing, so that a sequence may begin there with the keys and
  // values of another one that began with the same tokens. Asked before the first pass.
  virtual int64_t FirstWatchedPosition() const { return 0; }

  // What the last pass showed of positions from `size` on is void: its tokens were guesses, and
  // wrong. Another pass brings other tokens there, or none does. On the engine thread.
  virtual void OnTruncate(int64_t /*size*/) {}

  // Asked before each layer, on the engine thread: which rows of the positions [begin, end), which
  // this pass computes. What the spans point to must stay valid until the layer is done.
  virtual AttentionRows WantAttention(int layer, int64_t begin, int64_t end) = 0;

  // The exact post-softmax weights of one row, F32 [n_visible_keys]: keys 0..query for a causal
  // model, all keys otherwise. Called once for each wanted row, from several threads at once for
  // different rows; the span is only valid during the call.
  virtual void OnAttentionRow(int layer, int head, int64_t query,
                              absl::Span<const float> weights) = 0;

  // The same of several rows, for who takes them quicker together.
  virtual void OnAttentionRows(int layer, absl::Span<const WatchedRow> rows) {
    for (const WatchedRow& row : rows) OnAttentionRow(layer, row.head, row.query, row.weights);
  }

  // Where a wanted row is best made: AttentionRowSink::RoomFor.
  virtual absl::Span<float> RoomForAttentionRow(int /*layer*/, int /*head*/, int64_t /*query*/) {
    return {};
  }

  // Asked in the last layer and after it, on the engine thread: of which of the positions
  // [begin, end) of this pass the final hidden states are wanted. Ascending; what the span points
  // to must stay valid until the pass is done.
  virtual absl::Span<const int64_t> WantHiddenStates(int64_t /*begin*/, int64_t /*end*/) {
    return {};
  }

  // The final hidden state of one position, F32 [width]: what the unembedding reads, after the
  // final norm where the model has one; for a masked language model what its head reads. Called on
  // the engine thread, once for each wanted position; the span is only valid during the call.
  virtual void OnHiddenState(int64_t /*position*/, absl::Span<const float> /*state*/) {}

  // Asked at each site a pass comes by, on the engine thread, and at those behind the last
  // attention before they are come by.
  virtual bool WantSite(Site /*site*/, int /*layer*/) { return false; }

  // Before this position it looks at no row of a wanted site behind the last attention, so that the
  // pass need not make them.
  virtual int64_t FirstPositionBehindAttention() const { return 0; }

  // The rows of a wanted site, of the positions from `first_position` on that this pass computes.
  // Called on the engine thread; the rows are only valid during the call.
  virtual void OnSite(Site /*site*/, int /*layer*/, int64_t /*first_position*/,
                      ConstMatrixRef /*rows*/) {}
};

}  // namespace heed

#endif  // HEED_MODEL_TRANSFORMER_OBSERVER_H_
